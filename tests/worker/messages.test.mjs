/** What one message holds costs that message alone: not its connection, and not the channel of those who read it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { after } from 'node:test';
import * as vcdiff from '@ably/vcdiff-decoder';
import Ably from 'ably';
import { isKilling } from './kills.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const key = 'demo.key1:local-only';
const runtime = await startRuntime();
after(() => runtime.stop());

const post = (/** @type {string} */ channel, /** @type {string} */ body) => fetch(`${runtime.url}/channels/${channel}/messages`, {
  method: 'POST', headers: { authorization: `Basic ${btoa(key)}`, 'content-type': 'application/json' }, body,
});

const clients = /** @type {Ably.Realtime[]} */ ([]);
after(() => clients.forEach((client) => client.close()));

/** @param {Partial<Ably.ClientOptions>} [options] */
function connect(options) {
  const client = new Ably.Realtime({ key, ...runtime.clientOptions, ...options });
  clients.push(client);
  return client;
}

/** Subscribes, and gives what comes as it comes. @param {Ably.RealtimeChannel} channel */
async function hear(channel) {
  const heard = /** @type {any[]} */ ([]);
  const arrivals = new EventTarget();
  await channel.subscribe((message) => {
    heard.push(message.data);
    arrivals.dispatchEvent(new Event(String(message.name)));
  });
  return { heard, until: async (/** @type {string} */ name) => once(arrivals, name) };
}

const encodings = ['vcdiff', 'utf-8/vcdiff', 'json/utf-8/vcdiff/base64', 'vcdiff+x', '$vcdiff', 'VCDIFF'];

test('nobody takes a channel away by a message that claims to be a delta', async () => {
  const plain = connect().channels.get('deltas');
  const withDeltas = connect({ plugins: { vcdiff } }).channels.get('deltas', { params: { delta: 'vcdiff' } });
  const readers = [await hear(plain), await hear(withDeltas)];
  const raw = new RawClient(runtime, { key });
  await raw.expect(action.CONNECTED);
  for (const [msgSerial, encoding] of encodings.entries()) {
    const refused = await post('deltas', JSON.stringify({ data: 'AAAA', encoding }));
    assert.deepEqual([refused.status, /** @type {any} */ (await refused.json()).error.code], [400, 40013], encoding);
    raw.send({ action: action.MESSAGE, channel: 'deltas', msgSerial, messages: [{ data: 'AAAA', encoding }] });
    assert.equal((await raw.expect(action.NACK)).error.code, 40013, encoding);
  }
  raw.send({ action: action.ATTACH, channel: 'deltas' });
  await raw.expect(action.ATTACHED);
  raw.send({ action: 14, channel: 'deltas', msgSerial: 6, presence: [{ action: 2, clientId: 'ann', data: 'AAAA', encoding: 'vcdiff' }] });
  assert.equal((await raw.expect(action.NACK)).error.code, 40013);
  raw.close();
  const arrived = Promise.all(readers.map((reader) => reader.until('last')));
  await plain.publish('last', 'all is well');
  await arrived;
  assert.deepEqual([plain.state, withDeltas.state], ['attached', 'attached']);
  assert.deepEqual(readers.map((reader) => reader.heard), [['all is well'], ['all is well']]);
});

for (const useBinaryProtocol of [false, true]) {
  const format = useBinaryProtocol ? 'msgpack' : 'JSON';

  test(`half an emoji is a replacement character, and the connection goes on (${format})`, async () => {
    const half = '🎾'[0];
    const client = connect({ useBinaryProtocol, clientId: 'ann' });
    const channel = client.channels.get(`emoji-${format}`);
    const reader = await hear(channel);
    const arrived = reader.until(`name \u{fffd}`);
    await channel.publish({ name: `name ${half}`, data: `data ${half}`, extras: { headers: { [`key ${half}`]: half } } });
    await arrived;
    await channel.presence.enter(half);
    const [member] = await channel.presence.get();
    const { items: [message] } = await channel.history();
    assert.deepEqual([message.name, message.data, message.extras.headers, member.data], [
      'name \u{fffd}', 'data \u{fffd}', { 'key \u{fffd}': '\u{fffd}' }, '\u{fffd}',
    ]);
    if (!isKilling) assert.equal(client.connection.state, 'connected');
  });

  test(`what is undefined is as JSON has it, and what the protocol has not costs its message (${format})`, async () => {
    const client = connect({ useBinaryProtocol });
    const connection = client.connection;
    await connection.once('connected');
    const channel = client.channels.get(`undefined-${format}`);
    await channel.publish({ name: 'n', extras: { headers: { list: [1, undefined], gone: undefined } } });
    const { items: [message] } = await channel.history();
    assert.deepEqual(message.extras.headers, { list: [1, null] });
    // In JSON they are numbers.
    const bytes = channel.publish({ name: 'n', extras: { headers: { bytes: Buffer.from([1]) } } });
    await (useBinaryProtocol ? assert.rejects(bytes, { code: 40001 }) : bytes);
    await channel.publish('last', 'fine');
    assert.equal(connection.state, 'connected');
  });
}

test('a number that cannot be kept is refused, and no digit is changed in silence', async () => {
  for (const number of ['12345678901234567890123', '-9223372036854775809', '1e400']) {
    const refused = await post('digits', `{"data":{"n":${number}}}`);
    assert.deepEqual([refused.status, /** @type {any} */ (await refused.json()).error.code], [400, 40001], number);
  }
  const kept = ['18446744073709551615', '-9223372036854775808', '0.1', '-0.0', '9007199254740993'];
  for (const number of kept) assert.equal((await post('digits', `{"data":{"n":${number}}}`)).status, 201, number);
  const page = await fetch(`${runtime.url}/channels/digits/messages?direction=forwards`, { headers: { authorization: `Basic ${btoa(key)}` } });
  const messages = /** @type {{ data: string }[]} */ (await page.json());
  assert.deepEqual(messages.map(({ data }) => data), kept.map((number) => `{"n":${number}}`));
});

test('another message with a number that was used is refused, and a repeat is known', async () => {
  const client = new RawClient(runtime, { key });
  await client.expect(action.CONNECTED);
  const publish = (/** @type {string} */ data) => client.send({ action: action.MESSAGE, channel: 'numbers', msgSerial: 0, messages: [{ data }] });
  publish('one');
  const { res } = await client.expect(action.ACK);
  publish('two');
  assert.equal((await client.expect(action.NACK)).error.code, 40031);
  publish('one');
  assert.deepEqual((await client.expect(action.ACK)).res, res);
  client.close();
});

test('an extra is as long as its characters', async () => {
  const rest = new Ably.Rest({ key, ...runtime.clientOptions });
  const text = 'ü'.repeat(40_000);
  await rest.channels.get('long').publish({ name: 'n', extras: { headers: { text } } });
  const { items: [message] } = await rest.channels.get('long').history();
  assert.equal(message.extras.headers.text, text);
  await assert.rejects(rest.channels.get('long').publish({ extras: { headers: { text: text + text } } }), { code: 40009 });
});
