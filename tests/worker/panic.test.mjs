/**
 * A panic takes the memory of every object in its isolate, and nothing else: sockets live on or are told to come back,
 * and no acknowledged message is lost or repeated.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import Ably from 'ably';
import { startRuntime } from './runtime.mjs';

const entry = new URL('entries/panic-entry.mjs', import.meta.url).pathname;

test('a panic loses no acknowledged message and no subscriber', async (t) => {
  const runtime = await startRuntime(undefined, { inFront: [entry] });
  t.after(() => runtime.stop());
  const options = { key: 'demo.key1:local-only', ...runtime.clientOptions };
  const subscriber = new Ably.Realtime(options);
  const publisher = new Ably.Realtime(options);
  t.after(() => [subscriber, publisher].forEach((client) => client.close()));

  const received = /** @type {string[]} */ ([]);
  const arrivals = new EventTarget();
  await subscriber.channels.get('calm').subscribe((message) => {
    received.push(message.data);
    arrivals.dispatchEvent(new Event(message.data));
  });
  const acknowledged = /** @type {string[]} */ ([]);
  const publish = async (/** @type {string} */ data) => {
    await publisher.channels.get('calm').publish('n', data);
    acknowledged.push(data);
  };

  await publish('before');
  for (const [round, frame] of ['PANIC', 'PANIC LATER', 'PANIC'].entries()) {
    // Some publishes are under way when it happens.
    const underWay = Array.from({ length: 20 }, (_, index) => publish(`${round}/${index}`));
    await panic(runtime.url, frame);
    await Promise.all(underWay);
    const last = once(arrivals, `after ${round}`);
    await publish(`after ${round}`);
    await last;
  }

  const history = await all(new Ably.Rest(options).channels.get('calm'));
  assert.deepEqual([...history].sort(), [...acknowledged].sort(), 'every acknowledged message is in history, once');
  assert.deepEqual(received, history, 'the subscriber has the same messages in the same order');
  assert.equal(runtime.log.match(/a panic ended the instance/g)?.length, 3);
});

/** @param {string} url @param {string} frame */
async function panic(url, frame) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/?key=demo.key1:local-only&v=6`);
  await once(socket, 'message');
  socket.send(frame);
  // The trapped object tells nobody; its next event finds the memory gone and sees to the sockets.
  const told = once(socket, 'message');
  socket.send('{"action":0,"id":"still there"}');
  const [{ data }] = await told;
  assert.equal(JSON.parse(data).id, 'still there');
  socket.close();
}

/** @param {import('ably').Channel} channel */
async function all(channel) {
  const messages = [];
  let page = /** @type {import('ably').PaginatedResult<import('ably').Message> | null} */ (
    await channel.history({ direction: 'forwards', limit: 1000 }));
  while (page) {
    messages.push(...page.items.map((message) => message.data));
    page = page.hasNext() ? await page.next() : null;
  }
  return messages;
}
