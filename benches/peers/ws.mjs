import { nodeServer } from '../lib/servers.mjs';

/** @type {import('../lib/peer.mjs').Peer} */
export const peer = {
  name: 'ws',
  title: 'ws on Node',
  place: 6,
  durable: false,
  ordered: true,
  installed: true,
  dialects: { any: 'plain' },
  start: nodeServer('ws.mjs'),
};
