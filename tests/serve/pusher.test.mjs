/** Clients of Pusher Channels at `courtside serve`. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { next, pusherClient, serverLibrary, subscribed } from '../worker/pusher.mjs';
import { Served } from './served.mjs';

test('a server of one\'s own speaks to Pusher\'s clients, and sends them away when it stops', async (t) => {
  const served = await Served.start(t);
  const client = pusherClient(t, served, { user: { user_id: 'ann' } });
  const { channel } = await subscribed(client, 'presence-own');
  const heard = next(channel, 'news');
  await serverLibrary(served).trigger('presence-own', 'news', { text: 'hello' });
  assert.deepEqual(await heard, { text: 'hello' });
  const told = next(client.connection, 'error');
  const stopped = served.stop();
  const { data } = await told;
  assert.equal(data.code, 4200);
  assert.match(data.message, /about to stop.*\(80003\)/);
  client.disconnect();
  await stopped;
});
