/** Every way in which a client of the SDK can be connected. What holds for one holds for all: transports.test.mjs. */

/**
 * `wire` is how frames go. A client that `isDirect` names the channel that it will use, whose own object then holds it;
 * that of any other is a relay.
 * @typedef {{
 *   transport: string, wire: string, isDirect: boolean, options: (channel: string) => import('ably').ClientOptions
 * }} Row
 */

/** @type {[string, import('ably').ClientOptions][]} */
const wires = [
  ['WebSocket with JSON', { transports: ['web_socket'], useBinaryProtocol: false }],
  ['WebSocket with msgpack', { transports: ['web_socket'], useBinaryProtocol: true }],
  ['Comet, streaming', { transports: ['comet'] }],
  ['Comet, polling', { transports: ['comet'], transportParams: { stream: false } }],
];

/** @type {Row[]} */
export const transports = [
  ...wires.map(([wire, options]) => ({ transport: wire, wire, isDirect: false, options: () => options })),
  // What JSON and msgpack differ in, no object knows.
  ...wires.slice(1).map(([wire, options]) => ({
    transport: `${wire}, direct`,
    wire,
    isDirect: true,
    options: (/** @type {string} */ channel) => ({ ...options, transportParams: { ...options.transportParams, channel } }),
  })),
];
