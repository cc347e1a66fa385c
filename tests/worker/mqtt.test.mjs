/** MQTT by its usual clients, unchanged, beside the SDK on the same channels. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';
import { promisify } from 'node:util';
import { Inbox, connected, rest } from './clients.mjs';
import { Client, addressOf, apps, connect, versions } from './mqtt_clients.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(apps);
after(() => runtime.stop());

for (const { version, protocolVersion } of versions) {
  test(`${version}: what one publishes the others get, whatever they speak`, async (t) => {
    const [ann, bob] = [await connect(t, runtime, { protocolVersion }), await connect(t, runtime, { protocolVersion })];
    const sdk = await connected(t, runtime);
    const channel = sdk.channels.get(`chat:${protocolVersion}`);
    const heard = await Inbox.of(channel);
    const topic = `chat/${protocolVersion}`;
    const [granted] = await bob.client.subscribeAsync(topic, { qos: 1 });
    assert.deepEqual([granted.topic, granted.qos], [topic, 1]);
    await ann.client.subscribeAsync(topic, { qos: 0 });
    await ann.client.publishAsync(topic, 'by MQTT', { qos: 1 });
    await channel.publish('name', 'by the SDK');
    await ann.client.publishAsync(topic, Buffer.from([0xff, 0]), { qos: 0 });
    for (const client of [ann, bob]) {
      const [first, second, third] = await client.first(3);
      assert.deepEqual([first.topic, first.text, second.text], [topic, 'by MQTT', 'by the SDK']);
      assert.deepEqual(third.packet.payload, Buffer.from([0xff, 0]));
    }
    const [first, , third] = await heard.until(3);
    assert.deepEqual([first.data, third.data], ['by MQTT', Buffer.from([0xff, 0])]);
    assert.equal(first.clientId, ann.client.options.clientId, 'the client id is who published it');
  });

  test(`${version}: what is published to be retained, who comes later gets`, async (t) => {
    const ann = await connect(t, runtime, { protocolVersion });
    const topic = `state/lamp/${protocolVersion}`;
    await ann.client.publishAsync(topic, 'on', { qos: 1, retain: true });
    await ann.client.publishAsync(topic, 'off', { qos: 1, retain: true });
    const bob = await connect(t, runtime, { protocolVersion });
    await bob.client.subscribeAsync(topic, { qos: 1 });
    const [retained] = await bob.first(1);
    assert.deepEqual([retained.text, retained.packet.retain], ['off', true]);
    await ann.client.publishAsync(topic, 'on again', { qos: 1, retain: true });
    const [, live] = await bob.first(2);
    assert.deepEqual([live.text, live.packet.retain], ['on again', false]);
    await ann.client.publishAsync(topic, '', { qos: 1, retain: true });
    const late = await connect(t, runtime, { protocolVersion });
    await late.client.subscribeAsync(topic, { qos: 1 });
    await ann.client.publishAsync(topic, 'anew', { qos: 1 });
    assert.deepEqual(await late.texts(1), ['anew'], 'an empty payload is nothing to retain');
  });

  test(`${version}: an unsubscribed topic is not heard any more`, async (t) => {
    const ann = await connect(t, runtime, { protocolVersion });
    await ann.client.subscribeAsync(['a', 'b'], { qos: 1 });
    await ann.client.publishAsync('a', '1', { qos: 1 });
    await ann.first(1);
    await ann.client.unsubscribeAsync('a');
    await ann.client.publishAsync('a', '2', { qos: 1 });
    await ann.client.publishAsync('b', '3', { qos: 1 });
    assert.deepEqual(await ann.texts(2), ['1', '3']);
  });

  test(`${version}: who may not come in is told so`, async (t) => {
    const refused = async (/** @type {import('mqtt').IClientOptions} */ options) => {
      const error = await connect(t, runtime, { protocolVersion, ...options }).catch((reason) => reason);
      return error instanceof Client ? 'let in' : error.code;
    };
    const [badPassword, badId] = protocolVersion === 5 ? [0x86, 0x85] : [4, 2];
    assert.equal(await refused({ password: 'wrong-secret' }), badPassword);
    assert.equal(await refused({ username: undefined, password: undefined }), badPassword);
    assert.equal(await refused({ username: 'demo.nobody' }), badPassword);
    const { token } = await rest(runtime).auth.requestToken({ clientId: 'ann' });
    const withToken = { username: 'token', password: token };
    assert.equal(await refused({ ...withToken, clientId: 'bob' }), badId);
    assert.equal(await refused({ ...withToken, clientId: 'ann/phone' }), 'let in');
  });

  test(`${version}: who comes again takes the place of itself`, async (t) => {
    const first = await connect(t, runtime, { protocolVersion, clientId: `twice${protocolVersion}` });
    const closed = new Promise((resolve) => first.client.once('close', () => resolve(undefined)));
    const told = new Promise((resolve) => first.client.once('disconnect', ({ reasonCode }) => resolve(reasonCode)));
    await connect(t, runtime, { protocolVersion, clientId: `twice${protocolVersion}` });
    await closed;
    if (protocolVersion === 5) assert.equal(await told, 0x8e);
  });
}

test('what version 5 carries besides, SDKs find in the headers, and the other way round', async (t) => {
  const ann = await connect(t, runtime, { protocolVersion: 5 });
  const channel = (await connected(t, runtime)).channels.get('rich');
  const heard = await Inbox.of(channel);
  const properties = {
    contentType: 'application/json',
    responseTopic: 'answers/1',
    correlationData: Buffer.from([1, 2]),
    messageExpiryInterval: 60,
    userProperties: { name: 'score', colour: 'red' },
  };
  await ann.client.subscribeAsync('rich', { qos: 1, properties: { subscriptionIdentifier: 9 } });
  await ann.client.publishAsync('rich', '{"home":1}', { qos: 1, properties });
  const [message] = await heard.until(1);
  assert.deepEqual([message.name, message.data], ['score', { home: 1 }]);
  const headers = {
    'content-type': 'application/json', 'response-topic': 'answers/1', 'correlation-data': 'AQI=', 'message-expiry': '60', colour: 'red',
  };
  assert.deepEqual(message.extras.headers, headers);
  await channel.publish({ name: 'score', data: { home: 2 }, extras: { headers: { colour: 'blue', 'message-expiry': 60 } } });
  const [first, second] = await ann.first(2);
  const { payloadFormatIndicator, ...rest5 } = /** @type {any} */ (first.packet.properties);
  assert.ok(payloadFormatIndicator);
  const clientId = ann.client.options.clientId;
  assert.deepEqual(JSON.parse(JSON.stringify(rest5)), JSON.parse(JSON.stringify({
    messageExpiryInterval: 60, subscriptionIdentifier: 9, contentType: 'application/json', responseTopic: 'answers/1',
    correlationData: Buffer.from([1, 2]), userProperties: { colour: 'red', name: 'score', clientId },
  })));
  assert.deepEqual(JSON.parse(second.text), { home: 2 });
  assert.equal(second.packet.properties?.contentType, 'application/json');
  assert.equal(second.packet.properties?.messageExpiryInterval, 60);
  assert.deepEqual({ ...second.packet.properties?.userProperties }, { colour: 'blue', name: 'score' });
});

test('version 5: a publish that cannot be a message is refused, and what is published behind it is not', async (t) => {
  const ann = await connect(t, runtime, { protocolVersion: 5 });
  const inbox = await Inbox.of((await connected(t, runtime)).channels.get('answers'));
  /** @param {Record<string, string | string[]>} userProperties @param {string | Buffer} data */
  const said = (userProperties, data) =>
    ann.client.publishAsync('answers', data, { qos: 1, properties: { payloadFormatIndicator: true, userProperties } });
  await assert.rejects(said({ colour: ['red', 'blue'] }, 'x'), { code: 0x83 });
  await assert.rejects(said({ colour: 'red' }, Buffer.from([255])), { code: 0x99 });
  // As one answers with the properties that a question came with.
  await said({ clientId: 'who asked', colour: 'red' }, 'answer');
  const [message] = await inbox.until(1);
  assert.deepEqual([message.data, message.clientId, message.extras.headers], ['answer', ann.client.options.clientId, { colour: 'red' }]);
  assert.equal(ann.client.connected, true);
});

test('paho for Python speaks with it', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-paho-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const run = promisify(execFile);
  const python = path.join(folder, 'bin/python3');
  try {
    await run('python3', ['-m', 'venv', folder]);
    await run(python, ['-m', 'pip', 'install', '--quiet', 'paho-mqtt==2.1.0']);
  } catch (error) {
    return t.skip(`no paho here: ${error}`);
  }
  const { hostname, port } = new URL(addressOf(runtime));
  for (const version of ['3', '5']) {
    const { stdout } = await run(python, [path.join(import.meta.dirname, 'mqtt_paho.py'), hostname, port, version]);
    assert.deepEqual(stdout.trim().split('\n'), ['connected', 'granted 1', 'got paho/room: hello', 'closed']);
  }
});
