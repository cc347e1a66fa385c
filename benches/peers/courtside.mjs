import { startCourtside } from '../lib/courtside.mjs';

/**
 * As an SDK finds it by default: relays hold the connections, the channel's object orders.
 * @type {import('../lib/peer.mjs').Peer}
 */
export const peer = {
  name: 'courtside',
  title: 'Courtside',
  place: 1,
  durable: true,
  ordered: true,
  dialects: { json: 'ably-json', msgpack: 'ably-msgpack' },
  resumes: true,
  start: startCourtside,
  startBounded: (directory) => startCourtside(directory, [], {}),
};
