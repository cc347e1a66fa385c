import { objectIn } from '../lib/objects.mjs';

/** @type {import('../lib/peer.mjs').Peer} */
export const peer = {
  name: 'plain-object',
  title: 'plain JS object',
  place: 3,
  durable: false,
  ordered: true,
  dialects: { any: 'plain' },
  start: objectIn('forward.mjs'),
};
