/**
 * What single steps use: as `stepsOf` in benches/cost/million.mjs takes it from the replay of an event in real time,
 * with 500 viewers and 5 messages a second, over a minute in which as many rows are deleted as are written.
 */

/** When that was, and when the prices were looked up. */
export const COUNTED_AT = 'November 2026';

/** @type {import('./model.mjs').Steps} */
export const steps = {
  connect: { workerRequests: 1, objectRequests: 1.01, frames: 1 },
  relay: { rowsWritten: 14, rowsRead: 41 },
  message: { rowsWritten: 2.14, rowsRead: 2.52 },
  alarms: { relay: 0.085, channel: 0.205 },
  alarmsSet: { relay: 0.085, channel: 0.341 },
};
