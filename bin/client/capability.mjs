/** The operations of a capability, checked as far as is possible without a server, and roles for people at an event. */
import { BadOption, json } from '../readers.mjs';
import { CAPABILITY_MAX_BYTES, CAPABILITY_MAX_RESOURCES, CHANNEL_NAME_MAX_BYTES } from './limits.mjs';

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

/** Qualifiers that may precede a name in brackets, as in src/auth/resource.rs. */
const qualifiers = ['*', 'filter', 'meta', 'queue'];

/**
 * Fails with {@link BadOption} when the server would take no such names, or not so many.
 * @param {Record<string, string[]>} allowed
 * @param {string} from
 */
export function checkNames(allowed, from) {
  const names = Object.keys(allowed);
  for (const name of names) {
    const why = fault(name);
    if (why) throw new BadOption(`${from} has a channel ${JSON.stringify(name.slice(0, 100))}, ${why}`);
  }
  if (names.length > CAPABILITY_MAX_RESOURCES) {
    throw new BadOption(`${from} names ${names.length} channels; a token names ${CAPABILITY_MAX_RESOURCES} at most`);
  }
  const bytes = Buffer.byteLength(JSON.stringify(allowed));
  if (bytes <= CAPABILITY_MAX_BYTES) return;
  throw new BadOption(`${from} makes a capability of ${bytes} bytes; a token has ${CAPABILITY_MAX_BYTES} at most`);
}

/** The fault of a channel's name or pattern. @param {string} name */
function fault(name) {
  const [, qualifier, plain = name] = name.match(/^\[([^\]]*)\]([^]*)$/) ?? [];
  if (plain.startsWith('[') && qualifier === undefined) return 'whose [ is not closed';
  if (qualifier !== undefined && !qualifiers.includes(qualifier)) {
    return `but only ${qualifiers.map((one) => `[${one}]`).join(', ')} may precede a name`;
  }
  if (plain === '') return 'which names none';
  if (/\p{Cc}/u.test(name)) return 'which holds a control character';
  if (Buffer.byteLength(name) > CHANNEL_NAME_MAX_BYTES) return `which has more than ${CHANNEL_NAME_MAX_BYTES} bytes`;
  return undefined;
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
