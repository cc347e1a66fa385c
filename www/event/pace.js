/**
 * Slow mode: which messages are shown. Hosts switch it in the chat itself, so each page that has the same messages
 * shows the same ones, also to those who come later. Pure.
 */
import { isHost } from './people.js';

/** @typedef {import('./log.js').Entry} Entry */

/** What clocks and networks may shave off the interval, as the server sees it. */
const SLACK_MS = 250;

/** @param {Pick<Entry, 'name' | 'data' | 'clientId'>} entry */
export const isSwitch = ({ name, data, clientId }) => name === 'slow' && isHost(clientId)
  && Number.isFinite(data?.seconds);

/**
 * @template {Pick<Entry, 'name' | 'data' | 'clientId' | 'at'>} T
 * @param {T[]} entries in their order @param {number} now the interval in seconds that holds now
 */
export function paced(entries, now) {
  const first = entries.find(isSwitch);
  let seconds = first ? Number(first.data.before) || 0 : now;
  /** @type {Map<string, number>} */
  const lastAt = new Map();
  return entries.filter((entry) => {
    if (isSwitch(entry)) {
      seconds = entry.data.seconds;
      return true;
    }
    if (isHost(entry.clientId)) return true;
    const isTooFast = entry.at - (lastAt.get(entry.clientId) ?? -Infinity) < seconds * 1_000 - SLACK_MS;
    if (!isTooFast) lastAt.set(entry.clientId, entry.at);
    return !isTooFast;
  });
}
