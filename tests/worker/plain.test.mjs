/** Anyone with a WebSocket and JSON, and no SDK: attached without asking (`attach=auto`). */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { appsWithFewRights, demoKey, rest } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(appsWithFewRights);
after(() => runtime.stop());

/** @param {string} channel @param {Record<string, string>} [query] */
const plain = (channel, query) => new RawClient(runtime, { key: demoKey, channel, attach: 'auto', ...query });

/** @param {RawClient} client */
async function attached(client) {
  await client.expect(action.CONNECTED);
  return client.expect(action.ATTACHED);
}

/** The data of so many messages, as they come. @param {RawClient} client @param {number} count */
async function data(client, count) {
  const found = [];
  while (found.length < count) {
    const frame = await client.expect(action.MESSAGE);
    found.push(...frame.messages.map((/** @type {any} */ message) => message.data));
  }
  return found;
}

test('a bare client reads and publishes', async (t) => {
  const [ann, bob] = [plain('room'), plain('room')];
  t.after(() => [ann, bob].forEach((client) => client.close()));
  await Promise.all([attached(ann), attached(bob)]);
  for (let msgSerial = 0; msgSerial < 3; msgSerial++) {
    ann.send({ action: action.MESSAGE, channel: 'room', msgSerial, messages: [{ name: 'score', data: `m${msgSerial}` }] });
  }
  assert.deepEqual(await data(bob, 3), ['m0', 'm1', 'm2']);
  await rest(runtime).channels.get('room').publish('score', 'by REST');
  assert.deepEqual(await data(bob, 1), ['by REST']);
});

test('it begins with the last messages, or behind a serial that it had', async (t) => {
  const channel = rest(runtime).channels.get('past');
  for (const text of ['a', 'b', 'c']) await channel.publish('score', text);
  const ann = plain('past', { rewind: '2' });
  await attached(ann);
  assert.deepEqual(await data(ann, 2), ['b', 'c']);
  const { channelSerial } = /** @type {any} */ (ann.heard.at(-1));
  ann.close();
  await ann.closed();
  await channel.publish('score', 'd');

  const again = plain('past', { rewind: '2', channelSerial });
  t.after(() => again.close());
  await attached(again);
  assert.deepEqual(await data(again, 1), ['d'], 'nothing lost and nothing twice');
  await channel.publish('score', 'e');
  assert.deepEqual(await data(again, 1), ['e']);
});

test('it stays attached when the objects lose their memory', async (t) => {
  const ann = plain('lasting');
  t.after(() => ann.close());
  await attached(ann);
  await runtime.evict('Channel', 'demo/lasting');
  await rest(runtime).channels.get('lasting').publish('score', 'after');
  assert.deepEqual(await data(ann, 1), ['after']);
});

test('what it may not do is said in a frame', async (t) => {
  const reader = plain('open:news', { key: 'demo.reader:local-only' });
  t.after(() => reader.close());
  await attached(reader);
  reader.send({ action: action.MESSAGE, channel: 'open:news', msgSerial: 0, messages: [{ data: 'x' }] });
  assert.equal((await reader.expect(action.NACK)).error.code, 40160);

  const stranger = plain('shut', { key: 'demo.reader:local-only' });
  t.after(() => stranger.close());
  await stranger.expect(action.CONNECTED);
  assert.deepEqual([(await stranger.any()).error.code, stranger.heard[1].channel], [40160, 'shut']);

  const serial = plain('room', { channelSerial: 'nonsense' });
  t.after(() => serial.close());
  assert.equal((await attached(serial)).error.code, 90003, 'a gap is told');

  for (const [name, code] of [['', 40010], [':hell', 40010]]) {
    const lost = plain(/** @type {string} */ (name));
    assert.equal((await lost.expect(action.ERROR)).error.code, code);
    await lost.closed();
  }
});

test('who closes its socket is answered', async () => {
  const client = plain('goodbye');
  await client.expect(action.CONNECTED);
  await client.expect(action.ATTACHED);
  client.close();
  assert.equal(await client.closed(), 1000);
});
