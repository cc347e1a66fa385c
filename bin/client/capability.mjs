/** The operations of a capability, checked as far as is possible without a server, and roles for people at an event. */
import { BadOption, json } from '../readers.mjs';

/** All of them; a test compares them with those of the server. */
export const operations = [
  'admin', 'annotation-publish', 'annotation-subscribe', 'channel-metadata', 'history', 'message-delete-any',
  'message-delete-own', 'message-update-any', 'message-update-own', 'object-publish', 'object-subscribe', 'presence',
  'privileged-headers', 'publish', 'push-admin', 'push-subscribe', 'stats', 'subscribe',
];

const viewer = ['subscribe', 'history', 'object-subscribe'];
const chatter = [...viewer, 'publish', 'presence', 'annotation-publish', 'message-update-own', 'message-delete-own'];
const host = [...chatter, 'annotation-subscribe', 'channel-metadata', 'message-update-any', 'message-delete-any',
  'object-publish'];

export const roles = { viewer, chatter, host };

/** @typedef {keyof typeof roles} Role */

/**
 * Whoever may publish needs a clientId: nobody could answer, mute or remove them without one.
 * @param {Role} role
 */
export const needsName = (role) => role !== 'viewer';

/** @param {Role} role @param {string[]} channels */
export function ofRole(role, channels) {
  return Object.fromEntries(channels.map((channel) => [channel, roles[role]]));
}

/** Reads one, to refuse at once what a server would refuse later. @param {string} text @param {string} from */
export function capability(text, from) {
  const value = json(text, from);
  const lists = value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];
  if (lists.length === 0 || !lists.every(([, list]) => Array.isArray(list) && list.length > 0)) {
    throw new BadOption(`${from} must be lists of operations by channel, such as {"chat:*":["subscribe","publish"]}`);
  }
  const unknown = lists.flatMap(([, list]) => list).find((name) => name !== '*' && !operations.includes(name));
  if (unknown === undefined) return value;
  throw new BadOption(`${from} has an operation ${JSON.stringify(unknown)}; there are *, ${operations.join(', ')}`);
}
