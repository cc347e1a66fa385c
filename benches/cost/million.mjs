/** A crowd that no single machine can replay, computed from what one relay's share of it was seen to use. */
import { usage } from './replay.mjs';

const viewers = 1_000_000;
const seconds = 4 * 3_600;
const updatesPerSecond = 1;

/** Each viewer connects, and half of them once more: networks change, phones sleep. */
const connectsPerViewer = 1.5;

/** What a relay takes by default, see src/limits.rs. */
const viewersPerRelay = 6_000;

/** Relays that a channel or a relay feeds: one more level in between when there are more. */
const fedByOne = 32;

/**
 * @param {import('./replay.mjs').Counted} counted of a channel with one relay
 * @param {number} sampled viewers of that relay
 * @returns {{ usage: import('./prices.mjs').Usage, text: string[] }}
 */
export function million({ connecting, perSecond }, sampled) {
  const connects = viewers * connectsPerViewer;
  const relays = Math.ceil(viewers / viewersPerRelay);
  const between = relays > fedByOne ? Math.ceil(relays / fedByOne) : 0;
  const updates = updatesPerSecond * seconds;
  const once = usage(connecting);
  const each = (/** @type {number} */ count) => count / sampled;
  const perUpdate = (/** @type {number} */ rate) => rate / perSecond['Channel /call'];
  const [written, read] = [perUpdate(perSecond['rows written']), perUpdate(perSecond['rows read'])];
  const alarms = (/** @type {string} */ what) => (perSecond[`Relay ${what}`] ?? 0) * (relays + between) + (perSecond[`Channel ${what}`] ?? 0);
  const used = {
    workerRequests: each(once.workerRequests) * connects,
    objectRequests: each(once.objectRequests) * connects + updates * (1 + between + relays) + alarms('alarm') * seconds,
    frames: each(once.frames) * connects + updates,
    rowsWritten: once.rowsWritten * (relays + between) + updates * written + alarms('alarms set') * seconds,
    rowsRead: once.rowsRead * (relays + between) + updates * read,
    awakeSeconds: (relays + between + 2) * seconds,
  };
  const text = [
    '## A million viewers, one update a second, four hours',
    'Computed, not replayed. It assumes:',
    [
      `each viewer connects ${connectsPerViewer} times; a connect with its attach uses what it used in the replayed chat: `
        + `${each(once.workerRequests).toFixed(2)} requests to the worker, ${each(once.objectRequests).toFixed(2)} `
        + `to objects, ${each(once.frames).toFixed(2)} frames`,
      `a relay holds ${viewersPerRelay.toLocaleString('en')} viewers: ${relays} relays, all awake throughout, as are the channel and the publisher's relay`,
      `one object feeds at most ${fedByOne} relays, so ${between} more stand in between`,
      `an update is one call to the channel, one to each of the ${between} and one to each of the ${relays}: `
        + `${1 + between + relays} requests; none fails or is repeated`,
      `it writes ${written.toFixed(2)} rows and reads ${read.toFixed(2)}, and each object's alarm rings as often, as in the replayed chat`,
      `frames to viewers, ${(updates * viewers / 1e9).toFixed(1)} billion of them, are free`,
    ].map((line) => `- ${line}`).join('\n'),
  ];
  return { usage: used, text };
}
