/**
 * What connections are sent is bounded: a reader that is slow, or doesn't read, costs nobody but itself, and SDKs miss
 * nothing without being told. The deployment's bound is set low, so that little is much.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import test from 'node:test';
import { connected, demoKey, Inbox, rest } from './clients.mjs';
import { unlessEvicted } from './evictions.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

const narrow = await startRuntime(demoApps, { variables: { CONNECTION_BYTES_PER_SECOND: '100000' } });
test.after(() => narrow.stop());

/**
 * Publishes so much at once that none of it fits the bound.
 * @param {any} channel
 * @param {number} from
 * @param {number} to
 */
async function flood(channel, from, to) {
  const data = 'x'.repeat(40_000);
  await Promise.all(Array.from({ length: to - from }, (_, index) => channel.publish(`${from + index}`, data)));
}

for (const held of ['relay', 'channel']) {
  test(`a burst beyond the bound comes all the same, in order and unannounced (by the ${held})`, async (t) => {
    const name = `burst-${held}`;
    const reader = await connected(t, narrow, held === 'channel' ? { transportParams: { channel: name } } : {});
    const channel = reader.channels.get(name);
    /** @type {string[]} */
    const got = [];
    /** @type {any[]} */
    const updates = [];
    channel.on('update', (update) => updates.push(update));
    const all = new Promise((/** @type {(value?: any) => void} */ resolve) => channel.subscribe((message) => {
      if (got.push(String(message.name)) === 20) resolve();
    }));
    await channel.attach();
    await flood((await connected(t, narrow)).channels.get(name), 0, 20);
    await all;
    assert.deepEqual(got, Array.from({ length: 20 }, (_, index) => `${index}`));
    assert.deepEqual(updates, []);
  });
}

const sentBefore = unlessEvicted('what a connection was sent before, and what it may be sent, is known to the memory alone');

test('a gap that is longer than a replay may be is announced to the SDK, and then it goes on', sentBefore, async (t) => {
  const reader = await connected(t, narrow);
  const channel = reader.channels.get('gap');
  const inbox = await Inbox.of(channel);
  const update = new Promise((resolve) => channel.once('update', resolve));
  const publisher = (await connected(t, narrow)).channels.get('gap');
  // Nine megabytes, of which a reader may be 8 MiB behind at most.
  for (let from = 0; from < 240; from += 20) await flood(publisher, from, from + 20);
  const { resumed, reason } = await update;
  assert.deepEqual([resumed, reason.code], [false, 90004]);
  assert.equal(reader.connection.state, 'connected');
  await publisher.publish('last', 'after the gap');
  await inbox.until('after the gap');
});

/** A client frame that is not masked in effect. @param {string} text */
function frame(text) {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}

/**
 * A WebSocket that is attached to a channel under as many names as it may be, so that each message fills it more, and
 * never reads.
 * @param {import('./runtime.mjs').Runtime} runtime
 * @param {string[]} names
 */
async function stalled(runtime, names) {
  const socket = net.connect({ port: runtime.port, host: '127.0.0.1' });
  const attaches = names.map((channel) => frame(JSON.stringify({ action: 10, channel })));
  socket.write(`GET /?key=${demoKey} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
    + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n');
  let heard = '';
  await new Promise((/** @type {(value?: any) => void} */ resolve) => socket.on('data', (data) => {
    const before = heard.includes('"action":4,');
    heard += data.toString('latin1');
    if (!before && heard.includes('"action":4,')) {
      socket.write(Buffer.concat(attaches));
    }
    if (heard.split('"action":11,').length > names.length) resolve();
  }));
  socket.removeAllListeners('data').pause();
  return socket;
}

test('one who never reads costs the others nothing, and the runtime so much and no more', async (t) => {
  const runtime = await startRuntime(demoApps, { variables: { CONNECTION_MESSAGES_PER_SECOND: '100000' } });
  t.after(() => runtime.stop());
  const relayed = await connected(t, runtime);
  const inbox = await Inbox.of(relayed.channels.get('stalled'));
  const socket = await stalled(runtime, Array.from({ length: 4 }, (_, index) => `[?n=${index}]stalled`));
  t.after(() => socket.destroy());
  const publisher = (await connected(t, runtime)).channels.get('stalled');
  const data = 'x'.repeat(60_000);
  for (let round = 1; round <= 60; round++) {
    await Promise.all(Array.from({ length: 20 }, () => publisher.publish('n', data)));
    await inbox.until(round * 20);
  }
  assert.equal(inbox.data.length, 1_200);
  // It was sent 256 MiB and told to come back, though it will never know.
  const { status } = await (await fetch(`${runtime.url}/channels/stalled?key=${demoKey}`)).json();
  assert.equal(status.occupancy.metrics.subscribers, 1);
});
