/** What of changes and annotations is refused, and what comes of those that race, in both formats and at every door. */
import assert from 'node:assert/strict';
import path from 'node:path';
import test, { after } from 'node:test';
import { Inbox, connected, demoKey, formats, rest, wholeHistory } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const keys = [{ name: 'key1', secret: 'local-only', capability: { '*': ['*'] } }];
const apps = { apps: [{ id: 'demo', keys, namespaces: [{ id: 'mutable', mutableMessages: true }] }] };
const clock = path.resolve(import.meta.dirname, 'entries/clock-entry.mjs');
const runtime = await startRuntime(apps, { inFront: [clock], variables: { AHEAD_MS: '0' } });
after(() => runtime.stop());

/** @param {any} result @returns {string} */
const serialOf = (result) => String(result.serials[0]);
const code = (/** @type {Promise<unknown>} */ asked) => asked.then(() => 0, (error) => error.code);

for (const format of formats) {
  const name = `mutable:bad-${format.format}`;

  test(`text, bytes, JSON and ciphers are appended to their own kind, or not at all (${format.format})`, async (t) => {
    const client = await connected(t, runtime, format);
    const plain = client.channels.get(`${name}:kinds`);
    const cipher = { key: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' };
    const secret = client.channels.get(`${name}:secret`, { cipher });
    const api = rest(runtime, format);
    const cases = /** @type {[any, any, any, number][]} */ ([
      [plain, 'text', Buffer.from([1]), 40013], [plain, Buffer.from([1]), 'text', 40013], [plain, { a: 1 }, 'text', 40013],
      [plain, 'text', { a: 1 }, 40013], [plain, { a: 1 }, { b: 1 }, 40013], [plain, Buffer.from([1]), Buffer.from([2]), 0],
      [secret, 'text', 'more', 40013], [secret, Buffer.from([1]), Buffer.from([2]), 40013],
    ]);
    for (const [channel, before, data, expected] of cases) {
      const serial = serialOf(await channel.publish('a', before));
      const options = channel === secret ? { cipher } : {};
      for (const door of [channel, api.channels.get(channel.name, options)]) {
        assert.equal(await code(door.appendMessage({ serial, data })), expected, `${before} ${data}`);
      }
    }
    // Of one that is encrypted, in the clear.
    const serial = serialOf(await secret.publish('a', 'text'));
    assert.equal(await code(rest(runtime, format).channels.get(secret.name).appendMessage({ serial, data: 'x' })), 40013);
    assert.equal(client.connection.state, 'connected');
  });

  test(`operations that race come to one order, which all are told (${format.format})`, async (t) => {
    const writers = await Promise.all(Array.from({ length: 4 }, () => connected(t, runtime, format)));
    const reader = (await connected(t, runtime, format)).channels.get(`${name}:race`);
    const inbox = await Inbox.of(reader);
    const serial = serialOf(await reader.publish('a', 'begun'));
    const api = rest(runtime, format).channels.get(reader.name);
    const doors = [...writers.map((client) => client.channels.get(reader.name)), api];
    const results = await Promise.all(doors.flatMap((door, index) => [
      door.updateMessage({ serial, data: `update ${index}` }), door.appendMessage({ serial, data: ` append ${index}` }),
      door.deleteMessage({ serial, data: `delete ${index}` }), door.updateMessage({ serial, data: `again ${index}` }),
    ]));
    const order = results.map(({ versionSerial }) => String(versionSerial)).toSorted();
    assert.equal(new Set(order).size, 20, 'each has a place of its own');
    await reader.publish('end', 'end');
    await inbox.until('end');
    const told = inbox.messages.slice(1, -1).map((message) => message.version.serial);
    assert.deepEqual(told, order.filter((place) => told.includes(place)), 'in the order of their places');
    const latest = await api.getMessage(serial);
    assert.equal(latest.version?.serial, order.at(-1));
    assert.equal(inbox.messages.at(-2)?.version.serial, order.at(-1));
    const { items } = await api.getMessageVersions(serial, { limit: 100 });
    const versions = items.slice(1).map((message) => String(message.version?.serial));
    assert.deepEqual(versions, order.filter((place) => versions.includes(place)));
    assert.deepEqual((await wholeHistory(reader)).map(({ data }) => data), [latest.data, 'end']);
  });

  test(`a deleted message is annotated, and nothing is told of it; the same twice counts once (${format.format})`, async (t) => {
    const client = await connected(t, runtime, { ...format, clientId: 'ann' });
    const channel = client.channels.get(`${name}:deleted`);
    const serial = serialOf(await channel.publish('a', 'b'));
    await channel.annotations.publish(serial, { type: 'r:flag.v1' });
    await channel.annotations.publish(serial, { type: 'r:flag.v1' });
    assert.equal((await channel.getMessage(serial)).annotations?.summary['r:flag.v1'].total, 1);
    await channel.deleteMessage({ serial, data: '' });
    const inbox = await Inbox.of(channel);
    await channel.annotations.publish(serial, { type: 'r:total.v1' });
    await channel.publish('end', 'end');
    await inbox.until('end');
    assert.deepEqual(inbox.data, ['end'], 'no summary');
    const { items } = await rest(runtime, format).channels.get(channel.name).annotations.get(serial, null);
    assert.equal(items.length, 3);
  });

  test(`a frame that comes twice annotates once, and its number is no other annotation's (${format.format})`, async (t) => {
    const channel = `${name}:frames`;
    const serial = serialOf(await rest(runtime).channels.get(channel).publish('a', 'b'));
    const client = new RawClient(runtime, { key: demoKey, clientId: 'ann', format: format.format.toLowerCase() });
    t.after(() => client.close());
    await client.expect(action.CONNECTED);
    const frame = (/** @type {object} */ fields) =>
      ({ action: 21, channel, msgSerial: 0, annotations: [{ action: 0, type: 'r:total.v1', messageSerial: serial, ...fields }] });
    client.send(frame({}));
    const { res } = await client.expect(action.ACK);
    client.send(frame({}));
    assert.deepEqual((await client.expect(action.ACK)).res, res);
    for (const [index, count] of [0, -1, 1.5, 1e300, '1', true].entries()) {
      client.send({ ...frame({ type: 'r:multiple.v1', name: 'n', count }), msgSerial: index + 1 });
      assert.equal((await client.expect(action.NACK)).error.code, 40003, String(count));
    }
    assert.deepEqual((await rest(runtime).channels.get(channel).getMessage(serial)).annotations?.summary, { 'r:total.v1': { total: 1 } });
  });
}

test('what is out of its time is not changed, annotated or read any more', async (t) => {
  const channel = rest(runtime).channels.get('mutable:expired');
  const serial = serialOf(await channel.publish('a', 'b'));
  await runtime.kill();
  runtime.variables = { AHEAD_MS: `${72 * 60 * 60 * 1_000 + 1}` };
  await runtime.start();
  for (const format of formats) {
    const client = await connected(t, runtime, format);
    for (const door of [client.channels.get(channel.name), rest(runtime, format).channels.get(channel.name)]) {
      const asked = [
        door.updateMessage({ serial, data: 'x' }), door.appendMessage({ serial, data: 'x' }), door.deleteMessage({ serial }),
        door.annotations.publish(serial, { type: 'r:total.v1' }), door.annotations.get(serial, null),
        door.getMessage(serial), door.getMessageVersions(serial),
      ];
      assert.deepEqual(await Promise.all(asked.map(code)), asked.map(() => 40400));
    }
  }
  assert.deepEqual((await channel.history()).items, []);
});
