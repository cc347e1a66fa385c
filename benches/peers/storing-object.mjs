import { objectIn } from '../lib/objects.mjs';

/** @type {import('../lib/peer.mjs').Peer} */
export const peer = {
  name: 'storing-object',
  title: 'storing JS object',
  place: 4,
  durable: true,
  ordered: true,
  dialects: { any: 'plain' },
  start: objectIn('store.mjs'),
};
