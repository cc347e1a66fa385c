/** A crowd that no single machine can replay, computed from what one relay's share of it was seen to use. */
import { usage } from './replay.mjs';

const viewers = 1_000_000;
const seconds = 4 * 3_600;
const updatesPerSecond = 1;

/** Each viewer connects, and half of them once more: networks change, phones sleep. */
const connectsPerViewer = 1.5;

/** Connections that a relay takes by default; see src/limits. */
const viewersPerRelay = 6_000;

/** Relays that a channel feeds itself, besides the first of a region, and that each relay feeds: src/limits, too. */
const [fedByChannel, fedByRelay] = [8, 16];

/**
 * Within a region relays are in use by tiers that double their number (src/rpc/placement.rs), the last in part full.
 */
const relays = 2 ** Math.ceil(Math.log2(viewers / viewersPerRelay));

/** How far the last of them is from the channel, when it feeds the first of the region alone: at most. */
let levels = 1;
for (let reached = 1, last = 1; reached < relays; levels++) reached += last *= fedByRelay;

/**
 * @param {import('./replay.mjs').Counted} counted of a channel with one relay
 * @param {number} sampled viewers of that relay
 * @returns {{ usage: import('./prices.mjs').Usage, text: string[] }}
 */
export function million({ connecting, perSecond }, sampled) {
  const connects = viewers * connectsPerViewer;
  const updates = updatesPerSecond * seconds;
  const once = usage(connecting);
  const each = (/** @type {number} */ count) => count / sampled;
  const perUpdate = (/** @type {number} */ rate) => rate / perSecond['Channel /call'];
  const [written, read] = [perUpdate(perSecond['rows written']), perUpdate(perSecond['rows read'])];
  const alarms = (/** @type {string} */ what) => (perSecond[`Relay ${what}`] ?? 0) * relays + (perSecond[`Channel ${what}`] ?? 0);
  const used = {
    workerRequests: each(once.workerRequests) * connects,
    objectRequests: each(once.objectRequests) * connects + updates * (1 + relays) + alarms('alarm') * seconds,
    frames: each(once.frames) * connects + updates,
    rowsWritten: once.rowsWritten * relays + updates * written + alarms('alarms set') * seconds,
    rowsRead: once.rowsRead * relays + updates * read,
    awakeSeconds: (relays + 1) * seconds,
  };
  const text = [
    '## A million viewers, one update a second, four hours',
    'Computed, not replayed. It assumes:',
    [
      `each viewer connects ${connectsPerViewer} times; a connect with its attach uses what it used in the replayed chat: `
        + `${each(once.workerRequests).toFixed(2)} requests to the worker, ${each(once.objectRequests).toFixed(2)} `
        + `to objects, ${each(once.frames).toFixed(2)} frames`,
      `all are in one region, which is the dearest: a relay holds ${viewersPerRelay.toLocaleString('en')} viewers at most, their number `
        + `doubles when all are full, so ${relays} are in use, with ${Math.round(viewers / relays).toLocaleString('en')} viewers on average; `
        + 'all are awake throughout, as is the channel, and the publisher is on one of them',
      `the channel feeds ${fedByChannel} relays and the first of the region, each relay ${fedByRelay} more: ${levels} levels at most. Who feeds `
        + 'others has viewers of its own, so no object stands in between',
      `an update is one call to the channel and one to each relay, whoever makes it: ${1 + relays} requests; none fails or is repeated`,
      `it writes ${written.toFixed(2)} rows and reads ${read.toFixed(2)}, and each object's alarm rings as often, as in the replayed chat`,
      `frames to viewers, ${(updates * viewers / 1e9).toFixed(1)} billion of them, are free`,
    ].map((line) => `- ${line}`).join('\n'),
  ];
  return { usage: used, text };
}
