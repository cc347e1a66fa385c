/** Messages are updated, deleted and appended to: with the published SDK, over realtime and REST, in both formats. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, closed, connected, demoKey, formats, inState, rest, wholeHistory } from './clients.mjs';
import { EventReader } from './event_reader.mjs';
import { unlessEvicted } from './evictions.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const all = ['publish', 'subscribe', 'history'];
const keys = [
  { name: 'key1', secret: 'local-only', capability: { '*': ['*'] } },
  { name: 'author', secret: 'local-only', capability: { '*': [...all, 'message-update-own', 'message-delete-own'] } },
  { name: 'plain', secret: 'local-only', capability: { '*': all } },
];
const namespaces = [{ id: 'mutable', mutableMessages: true }];
const apps = { apps: [{ id: 'demo', keys, namespaces }] };
const runtime = await startRuntime(apps);
after(() => runtime.stop());

const authorKey = 'demo.author:local-only';
const actions = (/** @type {any[]} */ messages) => messages.map((message) => message.action);
const create = 'message.create', update = 'message.update', deletion = 'message.delete', append = 'message.append';

/** Options of a test in which an append comes as such. */
const whole = unlessEvicted('an append comes as an update with the whole to who may lack what it was appended to');

/** @param {any} result @returns {string} */
const serialOf = (result) => /** @type {string} */ (result.serials[0]);

for (const format of formats) {
  const name = `mutable:${format.format}`;

  test(`a message is updated, appended to and deleted, and everyone is told (${format.format})`, whole, async (t) => {
    const client = await connected(t, runtime, { ...format, clientId: 'ann' });
    const channel = client.channels.get(`${name}:all`);
    const inbox = await Inbox.of(channel);
    const serial = serialOf(await channel.publish('score', '15'));
    const operation = { description: 'a fault', metadata: { by: 'umpire' } };
    const { versionSerial } = await channel.updateMessage({ serial, data: '30', extras: { headers: { set: 1 } } }, operation);
    await channel.appendMessage({ serial, data: '-0' });
    await channel.deleteMessage({ serial, data: {} });
    const [, updated, appended, deleted] = await inbox.until(4);
    assert.deepEqual(actions(inbox.messages), [create, update, append, deletion]);
    assert.deepEqual(inbox.data, ['15', '30', '-0', {}]);
    assert.ok(inbox.messages.every((message) => message.serial === serial && message.name === 'score'));
    assert.equal(updated.version.serial, versionSerial);
    assert.ok(/** @type {string} */ (versionSerial) > serial && Number(updated.version.timestamp) > updated.timestamp);
    assert.deepEqual([updated.version.clientId, updated.version.description, updated.version.metadata], ['ann', ...Object.values(operation)]);
    assert.deepEqual([updated.extras, appended.extras, appended.version.description], [{ headers: { set: 1 } }, { headers: { set: 1 } }, undefined]);
    assert.deepEqual([deleted.clientId, deleted.connectionId], ['ann', client.connection.id]);

    const latest = await channel.getMessage(serial);
    assert.deepEqual([latest.action, latest.data, latest.version?.serial], [deletion, {}, deleted.version.serial]);
    const { items: versions } = await channel.getMessageVersions(serial);
    assert.deepEqual(versions.map(({ action: what, data }) => [what, data]), [
      [create, '15'], [update, '30-0'], [deletion, {}],
    ].toSpliced(1, 0, [update, '30']));
    assert.equal(versions[0].version?.serial, serial);
    const [start, end] = [versions[1], versions[2]].map(({ version }) => Number(version?.timestamp));
    const within = await channel.getMessageVersions(serial, { start: String(start), end: String(end) });
    const times = versions.map(({ version }) => Number(version?.timestamp)).filter((time) => start <= time && time <= end);
    assert.equal(within.items.length, times.length);
    const history = await wholeHistory(channel);
    assert.deepEqual(history.map(({ action: what, data }) => [what, data]), [[deletion, {}]]);
  });

  test(`what is appended at once comes to the same, and in fewer messages (${format.format})`, async (t) => {
    const writer = await connected(t, runtime, format);
    const reader = await connected(t, runtime, format);
    const inbox = await Inbox.of(reader.channels.get(`${name}:stream`));
    const channel = writer.channels.get(`${name}:stream`);
    const serial = serialOf(await channel.publish('answer', '#'));
    const words = Array.from({ length: 200 }, (_, index) => ` ${index}`);
    const results = await Promise.all(words.map((data) => channel.appendMessage({ serial, data })));
    assert.equal(new Set(results.map(({ versionSerial }) => versionSerial)).size, 200, 'each is acknowledged');
    await channel.publish('answer', 'end');
    await inbox.until('end');
    const whole = inbox.messages.slice(0, -1).reduce((text, { action: what, data }) => what === append ? text + data : data, '');
    assert.equal(whole, `#${words.join('')}`);
    assert.equal((await channel.getMessage(serial)).data, whole);
    assert.ok(inbox.messages.length < 200, `${inbox.messages.length} messages`);
  });

  test(`the same over REST (${format.format})`, async () => {
    const channel = rest(runtime, format).channels.get(`${name}:rest`);
    const serial = serialOf(await channel.publish('bytes', Buffer.from([0, 255])));
    const operation = { clientId: 'mod', description: 'more' };
    const appended = await channel.appendMessage({ serial, data: Buffer.from([7]) }, operation);
    const latest = await channel.getMessage(serial);
    assert.deepEqual([latest.action, latest.data, latest.version?.clientId], [update, Buffer.from([0, 255, 7]), 'mod']);
    assert.equal(latest.version?.serial, appended.versionSerial);
    // As users do, with all that they got.
    await channel.updateMessage(Object.assign(latest, { data: { set: 1 } }));
    await channel.deleteMessage({ serial });
    const { items } = await channel.getMessageVersions(serial, { limit: 2 });
    assert.equal(items.length, 2);
    const [message] = await wholeHistory(channel);
    assert.deepEqual([message.action, message.data, message.name], [deletion, { set: 1 }, 'bytes']);
  });

  test(`what cannot be done is refused with a code (${format.format})`, async (t) => {
    const owner = await connected(t, runtime, { ...format, clientId: 'ann' });
    const serial = serialOf(await owner.channels.get(`${name}:rights`).publish('a', 'b'));
    const own = { key: authorKey, ...format };
    const cases = /** @type {[import('ably').ClientOptions, string, Record<string, unknown>, number][]} */ ([
      [{ ...own, clientId: 'bob' }, `${name}:rights`, { serial }, 40160],
      [own, `${name}:rights`, { serial }, 40166],
      [{ key: 'demo.plain:local-only', ...format, clientId: 'ann' }, `${name}:rights`, { serial }, 40160],
      [format, `other:${format.format}`, { serial }, 93002],
      [format, `${name}:other`, { serial }, 40400],
      [format, `${name}:rights`, { serial: `${serial.slice(0, -1)}1` }, 40400],
      [format, `${name}:rights`, { serial: `9${serial.slice(1)}` }, 40400],
      [format, `${name}:rights`, { serial: 'no serial' }, 40003],
      [format, `${name}:rights`, { serial, data: 'x'.repeat(65_536) }, 40009],
    ]);
    for (const [options, channel, message, code] of cases) {
      const client = await connected(t, runtime, options);
      for (const place of [client.channels.get(channel), rest(runtime, options).channels.get(channel)]) {
        await assert.rejects(place.updateMessage({ data: 'x', ...message }), { code }, `update ${code}`);
        await assert.rejects(place.appendMessage({ data: 'x', ...message }), { code }, `append ${code}`);
        await assert.rejects(place.deleteMessage({ data: 'x', ...message }), { code }, `delete ${code}`);
      }
      await closed(client);
    }
    const author = await connected(t, runtime, { ...own, clientId: 'ann' });
    await author.channels.get(`${name}:rights`).updateMessage({ serial, data: 'c' });
    assert.equal((await author.channels.get(`${name}:rights`).getMessage(serial)).data, 'c');
    await assert.rejects(author.channels.get(`${name}:rights`).getMessage(`9${serial.slice(1)}`), { code: 40400, statusCode: 404 });
    await assert.rejects(author.channels.get(`${name}:rights`).appendMessage({ serial, data: { json: 1 } }), { code: 40013 });
  });

  test(`who comes later gets the first append whole, and then what is appended (${format.format})`, async (t) => {
    const publisher = await connected(t, runtime, format);
    const channel = publisher.channels.get(`${name}:late`);
    const serial = serialOf(await channel.publish('a', 'one'));
    const reader = await connected(t, runtime, format);
    const [late, full] = await Promise.all([
      Inbox.of(reader.channels.get(`${name}:late`)),
      connected(t, runtime, format).then((client) => Inbox.of(client.channels.get(`${name}:late`, { params: { appendMode: 'full' } }))),
    ]);
    for (const data of [' two', ' three', ' four']) await channel.appendMessage({ serial, data });
    await Promise.all([late.until(3), full.until(3)]);
    assert.deepEqual(late.data, ['one two', ' three', ' four']);
    assert.deepEqual(actions(late.messages), [update, append, append]);
    assert.deepEqual(full.data, ['one two', 'one two three', 'one two three four']);
    const rewound = await connected(t, runtime, format);
    const inbox = await Inbox.of(rewound.channels.get(`${name}:late`, { params: { rewind: '5' } }));
    await inbox.until(1);
    assert.deepEqual([inbox.data, actions(inbox.messages)], [['one two three four'], [update]]);
  });
}

test('an event stream tells what becomes of messages, each thing once, and goes on behind it', async (t) => {
  const name = 'mutable:streamed';
  const channel = rest(runtime).channels.get(name);
  const open = async (/** @type {Record<string, string>} */ query) => {
    const reader = await EventReader.open(runtime, { key: demoKey, channels: name, ...query });
    t.after(() => reader.leave());
    return reader.attached();
  };
  const serial = serialOf(await channel.publish('a', 'one'));
  const [reader, plain] = await Promise.all([open({}), open({ enveloped: 'false' })]);
  await channel.appendMessage({ serial, data: ' two' });
  await channel.updateMessage({ serial, data: 'three' });
  await channel.deleteMessage({ serial, data: '' });
  const told = [await reader.next(), await reader.next(), await reader.next()];
  assert.deepEqual(told.map(({ data }) => [data.action, data.data, data.serial]), [[1, 'one two', serial], [1, 'three', serial], [2, '', serial]]);
  const back = await open({ lastEvent: /** @type {string} */ (told[1].id) });
  assert.equal((await back.next()).data.action, 2, 'what follows, and nothing again');
  const events = [await plain.next(), await plain.next(), await plain.next()];
  assert.deepEqual(events.map(({ event }) => event), ['update', 'update', 'delete']);
});

test('a chat channel is mutable whatever its namespace says', async () => {
  const channel = rest(runtime).channels.get('lobby::$chat');
  const serial = serialOf(await channel.publish('chat.message', { text: 'hi' }));
  await channel.deleteMessage({ serial, data: {} });
  assert.equal((await channel.getMessage(serial)).action, deletion);
});

test('operations are POSTed too, as numbers and by name', async () => {
  const headers = { authorization: `Basic ${btoa(demoKey)}`, 'content-type': 'application/json' };
  const url = `${runtime.url}/channels/mutable:curl/messages`;
  const post = async (/** @type {object} */ body, method = 'POST', path = '') => {
    const answer = await fetch(url + path, { method, headers, body: JSON.stringify(body) });
    return [answer.status, /** @type {any} */ (await answer.json())];
  };
  const [, { serials: [serial] }] = await post({ data: '1' });
  const path = `/${encodeURIComponent(serial)}`;
  const [status, { versionSerial }] = await post({ action: 5, serial, data: '2' });
  assert.ok(status === 200 && versionSerial > serial);
  assert.equal((await post({ action: 'message.append', data: '3' }, 'PATCH', path))[0], 200);
  assert.equal((await post({ data: '4', serial: 'another' }, 'PATCH', path))[1].error.code, 40000);
  assert.equal((await post([{ data: '4' }, { data: '5' }], 'PATCH', path))[1].error.code, 40000);
  assert.equal((await post({ action: 4, serial }))[1].error.code, 40000);
  assert.equal((await post({ action: 1, data: 'x' }))[1].error.code, 40003);
  const got = /** @type {any} */ (await (await fetch(url + path, { headers })).json());
  assert.deepEqual([got.data, got.action, got.serial], ['123', 1, serial]);
});

test('an operation that is sent again after a resume is done once', async (t) => {
  const client = new RawClient(runtime, { key: demoKey });
  const connectedAs = await client.expect(action.CONNECTED);
  const channel = 'mutable:resumed';
  client.send({ action: action.MESSAGE, channel, msgSerial: 0, messages: [{ data: 'a' }] });
  const serial = (await client.expect(action.ACK)).res[0].serials[0];
  const operation = { action: action.MESSAGE, channel, msgSerial: 1, messages: [{ action: 5, serial, data: 'b' }] };
  client.send(operation);
  const { res } = await client.expect(action.ACK);
  client.close();
  const again = new RawClient(runtime, { key: demoKey, resume: connectedAs.connectionDetails.connectionKey });
  t.after(() => again.close());
  await again.expect(action.CONNECTED);
  again.send(operation);
  assert.deepEqual((await again.expect(action.ACK)).res, res);
  assert.equal((await rest(runtime).channels.get(channel).getMessage(serial)).data, 'ab');
});

test('what was deleted reaches nobody who may not see it, whichever way it is asked for', async (t) => {
  const name = 'mutable:secret';
  const moderator = rest(runtime).channels.get(name);
  const client = await connected(t, runtime, { key: 'demo.plain:local-only' });
  const attached = client.channels.get(name);
  await attached.attach();
  const serial = serialOf(await moderator.publish('a', 'a secret'));
  await moderator.updateMessage({ serial, data: 'a secret, too' });
  await moderator.deleteMessage({ serial, data: '' });
  const auth = `key=${encodeURIComponent('demo.plain:local-only')}`;
  const paths = ['', '?direction=forwards', '?wait=1', `/${encodeURIComponent(serial)}`, `/${encodeURIComponent(serial)}/versions`];
  const read = async () => Promise.all(paths.map(async (path) => {
    const answer = await fetch(`${runtime.url}/channels/${name}/messages${path}${path.includes('?') ? '&' : '?'}${auth}`);
    return [answer.status, await answer.text()];
  }));
  for (const evict of [false, true]) {
    if (evict) assert.ok(await runtime.evict('Channel', `demo/${name}`) > 0);
    for (const [status, text] of await read()) assert.ok(status === 200 && !String(text).includes('secret'), String(text));
    const raw = new RawClient(runtime, { key: 'demo.plain:local-only' });
    await raw.expect(action.CONNECTED);
    for (const fields of [{ params: { rewind: '10' } }, { channelSerial: /** @type {any} */ (attached).properties.attachSerial }]) {
      raw.send({ action: action.ATTACH, channel: name, ...fields });
      await raw.expect(action.ATTACHED);
      const { messages } = await raw.expect(action.MESSAGE);
      assert.deepEqual(messages.map((/** @type {any} */ message) => [message.action, message.data]), [[2, '']]);
      raw.send({ action: action.DETACH, channel: name });
      await raw.expect(action.DETACHED);
    }
    raw.close();
    assert.equal((await moderator.getMessageVersions(serial)).items.length, 3);
  }
});

test('versions outlive the memory of their objects, and a kill', async (t) => {
  const own = await startRuntime(apps);
  t.after(() => own.stop());
  const name = 'mutable:killed';
  const client = await connected(t, own);
  const channel = client.channels.get(name);
  const inbox = await Inbox.of(channel);
  const serial = serialOf(await channel.publish('a', '0'));
  for (let round = 1; round < 4; round++) {
    assert.ok(await own.evict('Channel', `demo/${name}`) + await own.evict('Relay', 'demo/0') > 0);
    await channel.appendMessage({ serial, data: String(round) });
    await inbox.until(round + 1);
  }
  await own.kill();
  await own.start();
  await inState(client.connection, 'connected');
  assert.equal((await rest(own).channels.get(name).getMessage(serial)).data, '0123');
  await channel.appendMessage({ serial, data: '4' });
  assert.deepEqual((await wholeHistory(channel)).map(({ data }) => data), ['01234']);
  assert.equal((await channel.getMessageVersions(serial)).items.length, 2);
});
