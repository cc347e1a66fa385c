import { startCourtside } from '../lib/courtside.mjs';

/**
 * With the channel named in the URL: its own object holds the connections.
 * @type {import('../lib/peer.mjs').Peer}
 */
export const peer = {
  name: 'courtside-channel',
  title: 'Courtside, ?channel=',
  place: 2,
  durable: true,
  ordered: true,
  dialects: { json: 'ably-json', msgpack: 'ably-msgpack' },
  loadArguments: ['--channel-in-url'],
  resumes: true,
  start: startCourtside,
};
