import { objectIn } from '../lib/objects.mjs';

/** @type {import('../lib/peer.mjs').Peer} */
export const peer = {
  name: 'relaying-objects',
  title: 'relaying JS objects',
  place: 4.5,
  durable: true,
  ordered: true,
  dialects: { json: 'ably-json' },
  start: objectIn('relaying.mjs', { RELAY: 'Relay' }),
};
