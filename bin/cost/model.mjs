/** What a crowd of any size uses, computed from what single steps use. */

/** Connections that a relay takes by default; see src/limits. */
export const VIEWERS_PER_RELAY = 6_000;

/** An object is awake for so long after its last event, counted to our disadvantage. */
const AWAKE_SECONDS = 10;

/**
 * What single steps use, as the replay of an event counts it.
 * @typedef {object} Steps
 * @property {{ workerRequests: number, objectRequests: number, frames: number }} connect of one viewer, with its attach
 * @property {{ rowsWritten: number, rowsRead: number }} relay once
 * @property {{ rowsWritten: number, rowsRead: number }} message
 * @property {{ relay: number, channel: number }} alarms a second, that ring
 * @property {{ relay: number, channel: number }} alarmsSet a second
 *
 * @typedef {object} Event
 * @property {number} viewers of one channel
 * @property {number} seconds
 * @property {number} messagesPerSecond to one channel
 * @property {number} connectsPerViewer
 * @property {number} [intervalMs] between deliveries, where the namespace batches or conflates
 */

/**
 * Relays in use in one region, which is the dearest: their number doubles when all are full (src/rpc/placement.rs).
 * @param {number} viewers
 */
export const relaysOf = (viewers) => 2 ** Math.max(0, Math.ceil(Math.log2(viewers / VIEWERS_PER_RELAY)));

/** Of one channel. @param {Event} event @param {Steps} steps @returns {import('./prices.mjs').Usage} */
export function usageOf({ viewers, seconds, messagesPerSecond, connectsPerViewer, intervalMs = 0 }, steps) {
  const { connect, relay, message, alarms, alarmsSet } = steps;
  const connects = viewers * connectsPerViewer;
  const messages = messagesPerSecond * seconds;
  const deliveries = intervalMs > 0 ? Math.min(messages, seconds * 1_000 / intervalMs) : messages;
  const relays = relaysOf(viewers);
  // A channel sleeps between messages that are far apart; its relays say signs of life all the time.
  const channelAwake = Math.min(1, messagesPerSecond * AWAKE_SECONDS);
  const ringing = (/** @type {{ relay: number, channel: number }} */ rates) =>
    (rates.relay * relays + rates.channel * channelAwake) * seconds;
  return {
    workerRequests: connect.workerRequests * connects,
    objectRequests: connect.objectRequests * connects + messages + deliveries * relays + ringing(alarms),
    frames: connect.frames * connects + messages,
    rowsWritten: relay.rowsWritten * relays + messages * message.rowsWritten + ringing(alarmsSet),
    rowsRead: relay.rowsRead * relays + messages * message.rowsRead,
    awakeSeconds: (relays + channelAwake) * seconds,
  };
}
