/** What MQTT asks of packets, and what of it is not there: each refused with its own reason. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { connected, rest } from './clients.mjs';
import { Raw, apps } from './mqtt_clients.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(apps);
after(() => runtime.stop());

/**
 * A client that is in.
 * @param {import('node:test').TestContext} t @param {object} [options] @param {object} [connect]
 */
async function enter(t, options, connect) {
  const raw = new Raw(runtime, options);
  t.after(() => raw.socket.close());
  assert.equal((await raw.connect(connect)).cmd, 'connack');
  return raw;
}

/** With what a client that says this is sent away; by 3.1.1 without a word. @param {Raw} raw @param {...any} packets */
async function endOf(raw, ...packets) {
  raw.say(...packets);
  const last = (await raw.closed).at(-1);
  return last.cmd === 'disconnect' ? last.reasonCode : last.cmd;
}

const publish = { cmd: 'publish', topic: 'open/news', payload: 'x' };

test('CONNACK of version 5 says what there is', async (t) => {
  const raw = new Raw(runtime);
  t.after(() => raw.socket.close());
  const { reasonCode, sessionPresent, properties } = await raw.connect({ keepalive: 0 });
  const { assignedClientIdentifier, ...others } = properties;
  assert.deepEqual([reasonCode, sessionPresent, assignedClientIdentifier.length > 8], [0, false, true]);
  assert.deepEqual(others, {
    serverKeepAlive: 1200, receiveMaximum: 128, maximumPacketSize: 73728, topicAliasMaximum: 0, maximumQoS: 1, retainAvailable: true,
    wildcardSubscriptionAvailable: false, sharedSubscriptionAvailable: false,
  });
});

test('hundreds of one address who never become whole take no more than their part, and others come in', async (t) => {
  const options = { protocolVersion: 4, headers: { 'cf-connecting-ip': '192.0.2.1' } };
  const silent = Array.from({ length: 200 }, () => new Raw(runtime, options));
  t.after(() => silent.forEach((raw) => raw.socket.close()));
  await Promise.all(silent.map((raw) => raw.opened));
  // A CONNECT of 28,000 bytes that lacks its last.
  const begun = Buffer.concat([Buffer.from([0x10, 0xe0, 0xda, 0x01]), Buffer.alloc(27_999)]);
  silent.forEach((raw) => raw.say(begun));
  // All but 2 KB of each count: beyond 1 MB they are told that the server is busy.
  const kept = Math.floor((1_024 * 1_024) / (begun.length - 2_048));
  const busy = silent.map((raw) => raw.first(1).then(([{ returnCode }]) => returnCode));
  await new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    let count = 0;
    busy.forEach((told) => void told.then((code) => code === 3 && ++count === silent.length - kept && resolve()));
  });
  for (let number = 0; number < 20; number++) assert.equal((await enter(t, options)).all[0].returnCode, 0);
});

test('a CONNECT that is too large is refused before it came', async (t) => {
  const raw = new Raw(runtime, { protocolVersion: 4 });
  t.after(() => raw.socket.close());
  await raw.opened;
  raw.say(Buffer.from([0x10, 0xd8, 0xaa, 0x04]));
  assert.deepEqual((await raw.closed).map(({ cmd, returnCode }) => [cmd, returnCode]), [['connack', 3]]);
});

test('clients find it at the paths they use, and are told their subprotocol', async (t) => {
  for (const [path, protocols] of /** @type {const} */ ([['/', ['mqtt']], ['/ws', ['mqttv3.1', 'mqtt']], ['/mqtt', []]])) {
    const raw = new Raw(runtime, { path, protocols: [...protocols] });
    t.after(() => raw.socket.close());
    assert.equal((await raw.connect()).reasonCode, 0);
    assert.equal(raw.socket.protocol, protocols.length ? 'mqtt' : '');
  }
});

test('packets may be cut anywhere, and be several in a frame', async (t) => {
  const raw = new Raw(runtime);
  t.after(() => raw.socket.close());
  await raw.opened;
  const subscribe = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'cut', qos: 0 }] };
  const all = Buffer.concat([raw.connectPacket(), subscribe, { ...publish, topic: 'cut' }].map((packet) => raw.bytes(packet)));
  for (const byte of all) raw.say(Buffer.from([byte]));
  const [connack, suback, message] = await raw.first(3);
  assert.deepEqual([connack.cmd, suback.granted, message.payload.toString()], ['connack', [0], 'x']);
  raw.say({ cmd: 'pingreq' }, { ...publish, topic: 'cut', payload: '1' }, { ...publish, topic: 'cut', payload: '2' });
  const later = (await raw.first(6)).slice(3);
  assert.deepEqual(later.map(({ cmd }) => cmd), ['pingresp', 'publish', 'publish']);
});

test('who says something else first, or nothing that can be read, is cut off', async () => {
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n'), Buffer.from([0xc0, 0]), Buffer.from([0x10, 2, 0, 0])]) {
    const raw = new Raw(runtime);
    await raw.opened;
    raw.say(bytes);
    assert.deepEqual(await raw.closed, []);
  }
  const text = new Raw(runtime);
  await text.connect();
  text.socket.send('text');
  assert.equal((await text.closed).at(-1).reasonCode, 0x81);
});

test('versions that are not spoken are told so', async () => {
  const old = new Raw(runtime, { protocolVersion: 4 });
  await old.opened;
  old.say(Buffer.from('\x10\x11\0\x06MQIsdp\x03\x02\0\x1e\0\x03ann', 'latin1'));
  assert.equal((await old.closed)[0].returnCode, 1);
  const method = new Raw(runtime);
  await method.opened;
  method.say(method.connectPacket({ properties: { authenticationMethod: 'SCRAM' } }));
  assert.equal((await method.closed)[0].reasonCode, 0x8c);
});

test('of subscriptions only topics are there, each with its own code', async (t) => {
  const subscriptions = ['ok', '#', 'a/+', '$share/g/a', '$SYS/x', 'a//b', '[?rewind=1]a'].map((topic) => ({ topic, qos: 2 }));
  const five = await enter(t);
  assert.deepEqual(await five.subscribe(subscriptions), [1, 0xa2, 0xa2, 0x9e, 0x8f, 0x8f, 0x8f]);
  const three = await enter(t, { protocolVersion: 4 });
  assert.deepEqual(await three.subscribe(subscriptions), [1, 128, 128, 128, 128, 128, 128]);
  five.say({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['ok', 'never'] });
  assert.deepEqual((await five.first(3))[2].granted, [0, 0x11]);
});

test('what a key may not do is refused, and what cannot be refused ends the connection', async (t) => {
  const reader = { username: 'demo.reader' };
  const five = await enter(t, {}, reader);
  assert.deepEqual(await five.subscribe([{ topic: 'open/news', qos: 1 }, { topic: 'shut', qos: 1 }]), [1, 0x87]);
  five.say({ ...publish, qos: 1, messageId: 3 });
  const { cmd, messageId, reasonCode, properties } = (await five.first(3))[2];
  assert.deepEqual([cmd, messageId, reasonCode], ['puback', 3, 0x87]);
  assert.match(properties.reasonString, /capability/);
  assert.equal(await endOf(five, publish), 0x87);
  const three = await enter(t, { protocolVersion: 4 }, reader);
  assert.equal(await endOf(three, { ...publish, qos: 1, messageId: 3 }), 'connack');
  const writer = await enter(t, {}, { username: 'demo.writer' });
  assert.deepEqual(await writer.subscribe([{ topic: 'open/news', qos: 1 }]), [0x87], 'it may publish and not read');
});

test('what is not there ends the connection with its own code', async (t) => {
  const ends = async (/** @type {any} */ packet) => endOf(await enter(t), packet);
  assert.equal(await ends({ ...publish, qos: 2, messageId: 1 }), 0x9b);
  assert.equal(await ends({ ...publish, topic: '', properties: { topicAlias: 1 } }), 0x94);
  assert.equal(await ends({ ...publish, retain: true }), 0x83);
  assert.equal(await ends({ ...publish, payload: 'x'.repeat(80_000) }), 0x95);
  assert.equal(await ends({ cmd: 'pubrel', messageId: 1 }), 0x82);
  assert.equal(await ends(Buffer.from([0x30, 3, 0, 1, 0xff])), 0x81);
  assert.equal(await ends({ cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: 'x' } }), 0x82);
  const three = await enter(t, { protocolVersion: 4 });
  assert.equal(await endOf(three, { ...publish, qos: 2, messageId: 1 }), 'connack', 'without a word');
});

test('who says too much at once is sent away, and nobody else waits for that', async (t) => {
  const other = await enter(t);
  assert.equal(await endOf(await enter(t), Buffer.alloc(1 << 20, Buffer.from([0xc0, 0]))), 0x96);
  const early = new Raw(runtime, { protocolVersion: 4 });
  await early.opened;
  early.say(Buffer.concat([early.bytes(early.connectPacket()), Buffer.alloc(1 << 20, Buffer.from([0xc0, 0]))]));
  assert.equal((await early.closed)[0].returnCode, 3, 'what comes ahead of the answer to CONNECT has a bound, too');
  assert.deepEqual(await other.subscribe([{ topic: 'open/news', qos: 1 }]), [1]);
});

test('a frame may have more than a packet may, as browsers send what has waited', async (t) => {
  const raw = await enter(t);
  await raw.subscribe([{ topic: 'large', qos: 0 }]);
  const packets = Array.from({ length: 20 }, (_, at) => raw.bytes({ ...publish, topic: 'large', payload: `${at} `.padEnd(50_000) }));
  raw.say(Buffer.concat(packets));
  const told = (await raw.first(22)).slice(2).map(({ payload }) => parseInt(payload, 10));
  assert.deepEqual(told, Array.from({ length: 20 }, (_, at) => at));
});

test('a publish of version 5 that is wrong is refused by its number', async (t) => {
  const raw = await enter(t);
  const refused = [
    [{ topic: 'a//b' }, 0x90],
    [{ topic: 'a', retain: true }, 0x83],
    [{ topic: 'a', payload: 'x'.repeat(70_000) }, 0x97],
  ];
  for (const [index, [fields, reason]] of refused.entries()) {
    raw.say({ ...publish, qos: 1, messageId: index + 1, .../** @type {object} */ (fields) });
    const { messageId, reasonCode } = (await raw.first(2 + index))[1 + index];
    assert.deepEqual([messageId, reasonCode], [index + 1, reason]);
  }
});

test('a client that is silent for too long is cut off', async (t) => {
  const raw = await enter(t, {}, { keepalive: 1 });
  assert.equal((await raw.closed).at(-1).reasonCode, 0x8d);
});

test('no local, and retain handling', async (t) => {
  const raw = await enter(t);
  await rest(runtime).channels.get('state:x').publish('x', 'kept');
  await raw.subscribe([{ topic: 'state/x', qos: 0, nl: true, rh: 2 }]);
  raw.say({ ...publish, topic: 'state/x', payload: 'own', qos: 1, messageId: 1 });
  await rest(runtime).channels.get('state:x').publish('x', 'other');
  const packets = (await raw.first(4)).slice(2);
  assert.deepEqual(packets.map(({ cmd, payload }) => [cmd, payload?.toString()]).toSorted(), [['puback', undefined], ['publish', 'other']]);
  await raw.subscribe([{ topic: 'state/x', qos: 0, rh: 0 }]);
  const { payload, retain } = (await raw.first(6))[5];
  assert.deepEqual([payload.toString(), retain], ['other', true]);
});

test('a client whose packets may be small is sent no others', async (t) => {
  const raw = await enter(t, {}, { properties: { maximumPacketSize: 100 } });
  await raw.subscribe([{ topic: 'small', qos: 1 }]);
  const channel = rest(runtime).channels.get('small');
  await channel.publish('x', 'x'.repeat(100));
  await channel.publish('x', 'small');
  assert.equal((await raw.first(3))[2].payload.toString(), 'small');
});

test('a token that expires ends the connection', async (t) => {
  const { token } = await rest(runtime).auth.requestToken({ clientId: 'ann', capability: '{"*":["*"]}', ttl: 1_500 });
  const raw = await enter(t, {}, { username: 'token', password: Buffer.from(token), clientId: 'ann' });
  assert.equal((await raw.closed).at(-1).reasonCode, 0x87, 'it expires');
});

test('who is present by the SDK does not disturb it', async (t) => {
  const raw = await enter(t);
  await raw.subscribe([{ topic: 'people', qos: 1 }]);
  const channel = (await connected(t, runtime, { clientId: 'ann' })).channels.get('people');
  await channel.presence.enter('here');
  await channel.publish('x', 'said');
  assert.equal((await raw.first(3))[2].payload.toString(), 'said');
});
