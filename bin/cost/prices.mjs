/**
 * What the platform charges beyond its monthly plan, in dollars. What the plan includes is not taken off, so that the
 * figures hold for those who have used it up. Outgoing messages and traffic are free.
 */
export const prices = {
  workerRequest: 0.30e-6,
  objectRequest: 0.15e-6,
  gigabyteSecond: 12.50e-6,
  rowWritten: 1.00e-6,
  rowRead: 0.001e-6,
};

/** Incoming WebSocket messages that count as one request to an object. */
const framesPerRequest = 20;

/** What an awake object is charged for, whatever it uses. */
const gigabytes = 0.128;

/**
 * What is billed of one event.
 *
 * @typedef {object} Usage
 * @property {number} workerRequests
 * @property {number} objectRequests by fetch or alarm
 * @property {number} frames incoming
 * @property {number} rowsWritten an alarm that is set counts as one
 * @property {number} rowsRead
 * @property {number} awakeSeconds over all objects
 */

/** @param {Usage} usage @returns {{ what: string, count: string, dollars: number }[]} */
export function bill(usage) {
  const count = (/** @type {number} */ number) => Math.round(number).toLocaleString('en');
  const requests = usage.frames / framesPerRequest;
  const { workerRequests, objectRequests, awakeSeconds } = usage;
  const gigabyteSeconds = usage.awakeSeconds * gigabytes;
  return [
    { what: 'requests to the worker', count: count(workerRequests), dollars: workerRequests * prices.workerRequest },
    { what: 'requests to objects', count: count(objectRequests), dollars: objectRequests * prices.objectRequest },
    { what: 'incoming frames', count: `${count(usage.frames)} / ${framesPerRequest} = ${count(requests)} requests`,
      dollars: requests * prices.objectRequest },
    { what: 'rows written', count: count(usage.rowsWritten), dollars: usage.rowsWritten * prices.rowWritten },
    { what: 'rows read', count: count(usage.rowsRead), dollars: usage.rowsRead * prices.rowRead },
    { what: 'awake objects', count: `${count(awakeSeconds)} s × ${gigabytes} GB = ${count(gigabyteSeconds)} GB-s`,
      dollars: gigabyteSeconds * prices.gigabyteSecond },
  ];
}

/** @param {Usage} usage */
export function total(usage) {
  return bill(usage).reduce((sum, { dollars }) => sum + dollars, 0);
}

/** @param {Usage} usage @param {number} factor @returns {Usage} */
export function times(usage, factor) {
  return each(usage, (key) => usage[key] * factor);
}

/** @param {Usage} one @param {Usage} other @returns {Usage} */
export function sum(one, other) {
  return each(one, (key) => one[key] + other[key]);
}

/** @param {Usage} usage @param {(key: keyof Usage) => number} value @returns {Usage} */
function each(usage, value) {
  const keys = /** @type {(keyof Usage)[]} */ (Object.keys(usage));
  return /** @type {Usage} */ (Object.fromEntries(keys.map((key) => [key, value(key)])));
}
