/** A crowd that no single machine can replay, computed from what one relay's share of it was seen to use. */
import { VIEWERS_PER_RELAY, relaysOf, usageOf } from '../../bin/cost/model.mjs';
import { usage } from './replay.mjs';

const viewers = 1_000_000;
const seconds = 4 * 3_600;
const updatesPerSecond = 1;

/** Each viewer connects, and half of them once more: networks change, phones sleep. */
const connectsPerViewer = 1.5;

/** Relays that a channel feeds itself, besides the first of a region, and that each relay feeds: src/limits, too. */
const [fedByChannel, fedByRelay] = [8, 16];

const relays = relaysOf(viewers);

/** How far the last of them is from the channel, when it feeds the first of the region alone: at most. */
let levels = 1;
for (let reached = 1, last = 1; reached < relays; levels++) reached += last *= fedByRelay;

/**
 * The usage of single steps.
 * @param {import('./replay.mjs').Counted} counted of a channel with one relay
 * @param {number} sampled viewers of that relay
 * @returns {import('../../bin/cost/model.mjs').Steps}
 */
export function stepsOf({ connecting, perSecond }, sampled) {
  const once = usage(connecting);
  const each = (/** @type {number} */ count) => count / sampled;
  const perUpdate = (/** @type {string} */ what) => (perSecond[what] ?? 0) / (perSecond['Channel /call'] ?? 1);
  const rates = (/** @type {string} */ what) => ({ relay: perSecond[`Relay ${what}`] ?? 0, channel: perSecond[`Channel ${what}`] ?? 0 });
  return {
    connect: { workerRequests: each(once.workerRequests), objectRequests: each(once.objectRequests), frames: each(once.frames) },
    relay: { rowsWritten: once.rowsWritten, rowsRead: once.rowsRead },
    message: { rowsWritten: perUpdate('rows written'), rowsRead: perUpdate('rows read') },
    alarms: rates('alarm'),
    alarmsSet: rates('alarms set'),
  };
}

/**
 * @param {import('./replay.mjs').Counted} counted of a channel with one relay
 * @param {number} sampled viewers of that relay
 * @returns {{ usage: import('../../bin/cost/prices.mjs').Usage, text: string[] }}
 */
export function million(counted, sampled) {
  const steps = stepsOf(counted, sampled);
  const updates = updatesPerSecond * seconds;
  const used = usageOf({ viewers, seconds, messagesPerSecond: updatesPerSecond, connectsPerViewer }, steps);
  const text = [
    '## A million viewers, one update a second, four hours',
    'Computed, not replayed. It assumes:',
    [
      `each viewer connects ${connectsPerViewer} times; a connect with its attach uses what it used in the replayed chat: `
        + `${steps.connect.workerRequests.toFixed(2)} requests to the worker, ${steps.connect.objectRequests.toFixed(2)} `
        + `to objects, ${steps.connect.frames.toFixed(2)} frames`,
      `all are in one region, which is the dearest: a relay holds ${VIEWERS_PER_RELAY.toLocaleString('en')} viewers at most, their number `
        + `doubles when all are full, so ${relays} are in use, with ${Math.round(viewers / relays).toLocaleString('en')} viewers on average; `
        + 'all are awake throughout, as is the channel, and the publisher is on one of them',
      `the channel feeds ${fedByChannel} relays and the first of the region, each relay ${fedByRelay} more: ${levels} levels at most. Who feeds `
        + 'others has viewers of its own, so no object stands in between',
      `an update is one call to the channel and one to each relay, whoever makes it: ${1 + relays} requests; none fails or is repeated`,
      `it writes ${steps.message.rowsWritten.toFixed(2)} rows and reads ${steps.message.rowsRead.toFixed(2)}, and each object's alarm rings as often, as in the replayed chat`,
      `frames to viewers, ${(updates * viewers / 1e9).toFixed(1)} billion of them, are free`,
    ].map((line) => `- ${line}`).join('\n'),
  ];
  return { usage: used, text };
}
