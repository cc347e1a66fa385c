/** Every way in which a client of the SDK can be connected. What holds for one holds for all: transports.test.mjs. */

/** @typedef {{ transport: string, options: import('ably').ClientOptions }} Row */

/** @type {Row[]} */
export const transports = [
  { transport: 'WebSocket with JSON', options: { transports: ['web_socket'], useBinaryProtocol: false } },
  { transport: 'WebSocket with msgpack', options: { transports: ['web_socket'], useBinaryProtocol: true } },
  { transport: 'Comet, streaming', options: { transports: ['comet'] } },
  { transport: 'Comet, polling', options: { transports: ['comet'], transportParams: { stream: false } } },
];
