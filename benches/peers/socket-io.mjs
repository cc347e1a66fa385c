import { nodeServer } from '../lib/servers.mjs';

/** @type {import('../lib/peer.mjs').Peer} */
export const peer = {
  name: 'socket.io',
  title: 'Socket.IO 4 on Node',
  place: 5,
  durable: false,
  ordered: true,
  installed: true,
  dialects: { any: 'socket.io' },
  start: nodeServer('socket-io.mjs'),
};
