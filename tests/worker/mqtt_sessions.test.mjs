/** Sessions and wills of MQTT: what is there when a client comes back, and what is published when it does not. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected, rest } from './clients.mjs';
import { isEvicting, unlessEvicted } from './evictions.mjs';
import { unlessKilled } from './kills.mjs';
import { Raw, apps, connect, versions } from './mqtt_clients.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(apps);
after(() => runtime.stop());

/** What makes a session outlive its connection. @param {number} protocolVersion @param {string} clientId */
const keptOptions = (protocolVersion, clientId) => ({
  protocolVersion: /** @type {4 | 5} */ (protocolVersion),
  clientId,
  clean: false,
  ...protocolVersion === 5 && { properties: { sessionExpiryInterval: 600 } },
});

/** Without a word to the server, as when a network ends. @param {import('./mqtt_clients.mjs').Client} client */
async function cut({ client }) {
  const closed = new Promise((resolve) => client.once('close', () => resolve(undefined)));
  /** @type {any} */ (client.stream).destroy();
  await closed;
}

const whole = unlessKilled('mqtt.js gives up a subscription whose connection goes');

for (const { version, protocolVersion } of versions) {
  test(`${version}: a session goes on where it was, and nothing is missed`, async (t) => {
    const options = keptOptions(protocolVersion, `kept${protocolVersion}`);
    const topic = `kept/${protocolVersion}`;
    const first = await connect(t, runtime, options);
    assert.equal(first.connacks[0].sessionPresent, false);
    await first.client.subscribeAsync(topic, { qos: 1 });
    const channel = rest(runtime).channels.get(topic.replace('/', ':'));
    await channel.publish('x', 'before');
    await first.texts(1);
    await cut(first);
    for (let number = 0; number < 5; number++) await channel.publish('x', `missed ${number}`);
    const second = await connect(t, runtime, options);
    assert.equal(second.connacks[0].sessionPresent, true);
    await channel.publish('x', 'live');
    const expected = [0, 1, 2, 3, 4].map((number) => `missed ${number}`);
    const texts = (await second.texts(6)).filter((text) => text !== 'before');
    assert.deepEqual(texts.slice(0, 5), expected);
    await second.client.endAsync();
    await channel.publish('x', 'after goodbye');
    const third = await connect(t, runtime, options);
    assert.equal(third.connacks[0].sessionPresent, true);
    await third.texts(1);
    assert.ok(third.all.some(({ text }) => text === 'after goodbye'));
    await third.client.endAsync();
    const anew = await connect(t, runtime, { ...options, clean: true });
    assert.equal(anew.connacks[0].sessionPresent, false, 'a clean start ends it');
  });

  test(`${version}: objects that lose their memory lose no session and no message`, whole, async (t) => {
    const topic = `evicted/${protocolVersion}`;
    // Its acknowledgement may come after the loss: it is sent away then, and gets the message again.
    const options = { ...keptOptions(protocolVersion, `evicted${protocolVersion}`), reconnectPeriod: 10 };
    const client = await connect(t, runtime, options);
    const different = async (/** @type {number} */ count) => {
      const texts = () => [...new Set(client.all.map(({ text }) => text))];
      while (texts().length < count) await client.first(client.all.length + 1);
      return texts();
    };
    await client.client.subscribeAsync(topic, { qos: 1 });
    const channel = rest(runtime).channels.get(topic.replace('/', ':'));
    await channel.publish('x', '1');
    await client.first(1);
    await runtime.evict('Relay');
    await runtime.evict('Channel');
    await channel.publish('x', '2');
    assert.deepEqual(await different(2), ['1', '2']);
    await client.client.publishAsync(topic, '3', { qos: 1 });
    assert.deepEqual(await different(3), ['1', '2', '3']);
    if (!isEvicting) assert.equal(client.all.length, 3, 'each came once');
  });

  test(`${version}: a will is published when its client is gone without a word, and else not`, async (t) => {
    const will = { topic: `wills/${protocolVersion}`, payload: Buffer.from('gone'), qos: /** @type {1} */ (1), retain: false };
    const heard = await Inbox.of((await connected(t, runtime)).channels.get(`wills:${protocolVersion}`));
    const polite = await connect(t, runtime, { protocolVersion, will: { ...will, payload: Buffer.from('polite') } });
    await polite.client.endAsync();
    const rude = await connect(t, runtime, { protocolVersion, will });
    await runtime.evict('Relay');
    await cut(rude);
    await heard.until(1);
    assert.deepEqual(heard.data, ['gone']);
    assert.equal(heard.messages[0].clientId, rude.client.options.clientId);
  });
}

test('a session of version 5 ends when it was to end', async (t) => {
  const first = await connect(t, runtime, { protocolVersion: 5, clientId: 'short' });
  await first.client.subscribeAsync('short', { qos: 1 });
  await cut(first);
  const second = await connect(t, runtime, { protocolVersion: 5, clientId: 'short', clean: false });
  assert.equal(second.connacks[0].sessionPresent, false);
  const asked = { protocolVersion: /** @type {5} */ (5), clientId: 'long', properties: { sessionExpiryInterval: 0xffffffff } };
  const third = await connect(t, runtime, asked);
  assert.equal(third.connacks[0].properties?.sessionExpiryInterval, 24 * 60 * 60, 'no longer than a day, and it says so');
});

test('what was not acknowledged comes again, under its number', async (t) => {
  const options = { clean: false, clientId: 'slow', properties: { sessionExpiryInterval: 600 } };
  const first = new Raw(runtime);
  await first.connect(options);
  await first.subscribe([{ topic: 'slow', qos: 1 }]);
  const channel = rest(runtime).channels.get('slow');
  for (const text of ['a', 'b', 'c']) await channel.publish('x', text);
  const [a, b] = (await first.first(5)).slice(2);
  first.say({ cmd: 'puback', messageId: a.messageId });
  first.socket.close();
  await first.closed;
  const again = new Raw(runtime);
  t.after(() => again.socket.close());
  assert.equal((await again.connect(options)).sessionPresent, true);
  const [second, third] = (await again.first(3)).slice(1);
  assert.deepEqual([second, third].map(({ payload, dup }) => [payload.toString(), dup]), [['b', true], ['c', true]]);
  assert.equal(second.messageId, b.messageId);
});

test('who subscribes whenever it connects misses nothing', async (t) => {
  const options = { clean: false, clientId: 'always', properties: { sessionExpiryInterval: 600 } };
  const subscribe = { cmd: 'subscribe', messageId: 7, subscriptions: [{ topic: 'always', qos: 1 }] };
  const first = new Raw(runtime);
  await first.connect(options);
  await first.subscribe(subscribe.subscriptions);
  first.socket.close();
  await first.closed;
  const channel = rest(runtime).channels.get('always');
  for (const text of ['a', 'b', 'c']) await channel.publish('x', text);
  const again = new Raw(runtime);
  t.after(() => again.socket.close());
  await again.opened;
  again.say(again.connectPacket(options), subscribe);
  const heard = (await again.first(5)).filter(({ cmd }) => cmd === 'publish');
  assert.deepEqual(heard.map(({ payload }) => payload.toString()), ['a', 'b', 'c']);
});

test('what was not acknowledged is not lost with the memory of its object', async (t) => {
  const options = { clean: false, clientId: 'unsure', properties: { sessionExpiryInterval: 600 } };
  const first = new Raw(runtime);
  await first.connect(options);
  await first.subscribe([{ topic: 'unsure', qos: 1 }]);
  await rest(runtime).channels.get('unsure').publish('x', 'unsure');
  const [message] = (await first.first(3)).slice(2);
  await runtime.evict('Relay');
  first.say({ cmd: 'puback', messageId: message.messageId + 1 });
  assert.equal((await first.closed).at(-1).reasonCode, 0x8b, 'it is told to come back');
  const again = new Raw(runtime);
  t.after(() => again.socket.close());
  assert.equal((await again.connect(options)).sessionPresent, true);
  assert.equal((await again.first(2))[1].payload.toString(), 'unsure');
});

test('what cannot be had any more ends the session, and its client is told', async (t) => {
  const options = { clean: false, clientId: 'late', properties: { sessionExpiryInterval: 600 } };
  const first = new Raw(runtime);
  await first.connect(options);
  await first.subscribe([{ topic: 'late', qos: 1 }]);
  first.socket.close();
  await first.closed;
  const channel = rest(runtime).channels.get('late');
  // More than a replay may have.
  for (let batch = 0; batch < 140; batch++) await channel.publish('x', 'x'.repeat(65_000));
  const again = new Raw(runtime);
  assert.equal((await again.connect(options)).sessionPresent, true);
  const { cmd, reasonCode } = (await again.closed).at(-1);
  assert.deepEqual([cmd, reasonCode], ['disconnect', 0x83]);
  const anew = new Raw(runtime);
  t.after(() => anew.socket.close());
  assert.equal((await anew.connect(options)).sessionPresent, false);
});

test('a will may wait, and is not published if its client is back before', async (t) => {
  const willOf = (/** @type {number} */ delay) => ({
    topic: 'patient', payload: Buffer.from(`after ${delay}`), qos: 0, retain: false, properties: { willDelayInterval: delay },
  });
  const heard = await Inbox.of((await connected(t, runtime)).channels.get('patient'));
  const options = { clean: false, clientId: 'patient', properties: { sessionExpiryInterval: 600 } };
  for (const delay of [60, 1]) {
    const raw = new Raw(runtime);
    await raw.connect({ ...options, will: willOf(delay) });
    raw.socket.close();
    await raw.closed;
  }
  await heard.until(1);
  assert.deepEqual(heard.data, ['after 1'], 'the first was there again in time');
});

test('a publish that comes again is published once', async (t) => {
  const options = { clean: false, clientId: 'again', properties: { sessionExpiryInterval: 600 } };
  const publish = { cmd: 'publish', topic: 'again', qos: 1, messageId: 5, payload: 'once' };
  const first = new Raw(runtime);
  await first.connect(options);
  first.say(publish);
  assert.equal((await first.first(2))[1].cmd, 'puback');
  first.socket.close();
  await first.closed;
  const second = new Raw(runtime);
  t.after(() => second.socket.close());
  await second.connect(options);
  second.say({ ...publish, dup: true }, { ...publish, payload: 'twice' });
  await second.first(3);
  const { items } = await rest(runtime).channels.get('again').history({ direction: 'forwards' });
  assert.deepEqual(items.map(({ data }) => data), ['once', 'twice']);
});

test('a client that may have few messages on their way has no more', unlessEvicted('who has as many is sent away with the memory, and gets them again'), async (t) => {
  const raw = new Raw(runtime);
  t.after(() => raw.socket.close());
  await raw.connect({ properties: { receiveMaximum: 2 } });
  await raw.subscribe([{ topic: 'window', qos: 1 }]);
  const channel = rest(runtime).channels.get('window');
  const texts = Array.from({ length: 7 }, (_, number) => `m${number}`);
  await channel.publish(texts.slice(0, 3).map((data) => ({ data })));
  for (const data of texts.slice(3)) await channel.publish('x', data);
  for (let index = 0; index < texts.length; index++) {
    const message = (await raw.first(3 + index))[2 + index];
    assert.equal(message.payload.toString(), texts[index]);
    await raw.first(2 + Math.min(index + 2, texts.length));
    assert.equal(raw.all.length - 2, Math.min(index + 2, texts.length), 'two on their way');
    raw.say({ cmd: 'puback', messageId: message.messageId });
  }
});

test('a server that is killed loses no session, no message and no will', async (t) => {
  const options = keptOptions(5, 'killed');
  const first = await connect(t, runtime, options);
  await first.client.subscribeAsync('killed', { qos: 1 });
  const will = { topic: 'killed/will', payload: Buffer.from('killed'), qos: /** @type {1} */ (1), retain: false };
  await connect(t, runtime, { protocolVersion: 5, clientId: 'dies', will });
  await rest(runtime).channels.get('killed').publish('x', 'before');
  await first.first(1);
  await runtime.kill();
  await runtime.start();
  await rest(runtime).channels.get('killed').publish('x', 'after');
  const second = await connect(t, runtime, options);
  assert.equal(second.connacks[0].sessionPresent, true);
  const texts = await second.texts(1);
  assert.ok(texts.includes('before') || texts.includes('after'));
  if (!texts.includes('after')) assert.deepEqual(await second.texts(2), ['before', 'after']);
  const heard = await Inbox.of((await connected(t, runtime)).channels.get('[?rewind=2m]killed:will'));
  await heard.until('killed');
});

test('a token that names nobody takes no session of a client whose id it knows', async (t) => {
  const { auth, channels } = rest(runtime);
  const signed = async (/** @type {string | void} */ clientId) => (await auth.requestToken({ clientId: clientId || undefined, capability: '{"*":["*"]}' })).token;
  const options = keptOptions(5, 'ann/phone');
  const ann = await connect(t, runtime, { ...options, username: 'token', password: await signed('ann') });
  await ann.client.subscribeAsync('hers', { qos: 1 });
  for (const clean of [false, true]) {
    const other = await connect(t, runtime, { ...options, clean, username: 'token', password: await signed() });
    assert.equal(other.connacks[0].sessionPresent, false);
  }
  await channels.get('hers').publish('x', 'still hers');
  assert.deepEqual(await ann.texts(1), ['still hers']);
  await cut(ann);
  const again = await connect(t, runtime, { ...options, username: 'token', password: await signed('ann') });
  assert.equal(again.connacks[0].sessionPresent, true);
});
