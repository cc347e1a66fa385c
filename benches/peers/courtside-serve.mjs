import { startServed } from '../lib/courtside.mjs';

/**
 * The same as `courtside`, as `npm start` and `courtside serve` run it.
 * @type {import('../lib/peer.mjs').Peer}
 */
export const peer = {
  name: 'courtside-serve',
  title: 'Courtside, courtside serve',
  place: 1.5,
  durable: true,
  ordered: true,
  dialects: { json: 'ably-json', msgpack: 'ably-msgpack' },
  resumes: true,
  start: startServed,
};
