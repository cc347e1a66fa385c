/** Presence with the published SDK against the built worker: who is there, who is told, and no ghosts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connected, demoKey, formats, inState, realtime, rest } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

/** @typedef {import('ably').RealtimeChannel} Channel */

const PRESENCE = 14;

/** Between two looks: what is waited for has no event, or the network's own pace. */
const moment = () => new Promise((resolve) => setTimeout(resolve, 50));

/** @param {() => boolean | Promise<boolean>} condition */
async function until(condition) {
  while (!await condition()) await moment();
}

/** Presence events of a channel, as `action clientId`, in the order in which they come. @param {Channel} channel */
async function witness(channel) {
  /** @type {string[]} */
  const seen = [];
  await channel.presence.subscribe((event) => void seen.push(`${event.action} ${event.clientId}`));
  return seen;
}

/** @param {{ presence: { get: () => Promise<any> } }} channel */
async function names(channel) {
  const members = await channel.presence.get();
  return (members.items ?? members).map((/** @type {any} */ member) => member.clientId).sort();
}

/**
 * Ends the transport as a lost network does: the client doesn't say goodbye.
 * @param {import('ably').Realtime} client
 */
function sever(client) {
  const { connectionManager } = /** @type {any} */ (client.connection);
  connectionManager.activeProtocol.getTransport().wsConnection.close();
}

for (const { format, useBinaryProtocol } of formats) {
  test(`members enter, update and leave, and others are told (${format})`, async (t) => {
    const runtime = await startRuntime();
    t.after(() => runtime.stop());
    const watcher = await connected(t, runtime, { clientId: 'watcher', useBinaryProtocol });
    const ann = await connected(t, runtime, { clientId: 'ann', useBinaryProtocol });
    const seen = await witness(watcher.channels.get('room'));

    const channel = ann.channels.get('room');
    await channel.presence.enter({ mood: 'curious' });
    await channel.presence.update(Buffer.from([1, 2, 3]));
    await channel.presence.leave();
    await until(() => seen.length === 3);
    assert.deepEqual(seen, ['enter ann', 'update ann', 'leave ann']);

    await channel.presence.enter('text');
    await until(() => seen.length === 4);
    const [member] = await watcher.channels.get('room').presence.get();
    assert.equal(member.data, 'text');
    assert.equal(member.connectionId, ann.connection.id);
    assert.deepEqual(await names(rest(runtime, { useBinaryProtocol }).channels.get('room')), ['ann']);
    const history = await rest(runtime, { useBinaryProtocol }).channels.get('room').presence.history({ direction: 'forwards' });
    assert.deepEqual(history.items.map(({ action }) => action), ['enter', 'update', 'leave', 'enter']);
    assert.deepEqual(history.items[0].data, { mood: 'curious' });
    assert.deepEqual(Buffer.from(history.items[1].data), Buffer.from([1, 2, 3]));
    assert.deepEqual(Buffer.from(history.items[2].data), Buffer.from([1, 2, 3]), 'a leave carries the last data');
  });

  test(`a late joiner, and REST, get 250 members in pages (${format})`, async (t) => {
    const runtime = await startRuntime();
    t.after(() => runtime.stop());
    const bot = await connected(t, runtime, { useBinaryProtocol });
    const wanted = Array.from({ length: 250 }, (_, index) => `member${String(index).padStart(3, '0')}`);
    const channel = bot.channels.get('crowd');
    await channel.attach();
    await Promise.all(wanted.map((name) => channel.presence.enterClient(name, `I am ${name}`)));

    const late = await connected(t, runtime, { useBinaryProtocol });
    const members = await late.channels.get('crowd').presence.get();
    assert.deepEqual(members.map(({ clientId }) => clientId).sort(), wanted);
    assert.ok(members.every(({ clientId, data, action }) => data === `I am ${clientId}` && action === 'present'));

    const { presence } = rest(runtime, { useBinaryProtocol }).channels.get('crowd');
    let page = await presence.get({ limit: 100 });
    const read = [...page.items];
    while (page.hasNext()) {
      page = /** @type {any} */ (await page.next());
      read.push(...page.items);
    }
    assert.deepEqual(read.map(({ clientId }) => clientId).sort(), wanted);
    const one = await presence.get({ clientId: 'member007' });
    assert.deepEqual(one.items.map(({ clientId, data }) => [clientId, data]), [['member007', 'I am member007']]);
  });
}

test('a connection that is resumed keeps its members, and nobody is told anything', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const watcher = await connected(t, runtime, { clientId: 'watcher' });
  const ann = await connected(t, runtime, { clientId: 'ann' });
  const seen = await witness(watcher.channels.get('room'));
  const channel = ann.channels.get('room');
  await channel.presence.enter('here');
  const id = ann.connection.id;
  for (let turn = 0; turn < 3; turn++) {
    const back = new Promise((resolve) => ann.connection.once('connected', resolve));
    sever(ann);
    await back;
    await inState(channel, 'attached');
  }
  assert.equal(ann.connection.id, id);
  assert.deepEqual(await names(channel), ['ann']);
  await channel.presence.update('still here');
  await until(() => seen.includes('update ann'));
  assert.deepEqual(seen, ['enter ann', 'update ann']);
});

test('members enter again by themselves when their connection could not be resumed', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const watcher = await connected(t, runtime, { clientId: 'watcher' });
  const ann = await connected(t, runtime, { clientId: 'ann' });
  const seen = await witness(watcher.channels.get('room'));
  await ann.channels.get('room').presence.enter('here');
  const { connectionManager } = /** @type {any} */ (ann.connection);
  const back = new Promise((resolve) => ann.connection.once('connected', resolve));
  connectionManager.connectionKey = '_____!no-key-of-ours____';
  const old = ann.connection.id;
  sever(ann);
  await back;
  assert.notEqual(ann.connection.id, old);
  await until(() => seen.filter((event) => event === 'enter ann').length === 2);
  await until(() => seen.includes('leave ann'));
  assert.deepEqual(await names(watcher.channels.get('room')), ['ann'], 'the new connection stays, the old one left');
});

test('members of a lost connection leave after their grace, those of a closed one at once', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const watcher = await connected(t, runtime, { clientId: 'watcher' });
  const seen = await witness(watcher.channels.get('room'));
  // It drops its transport and doesn't come back.
  const ann = new RawClient(runtime, { key: demoKey, clientId: 'ann', remainPresentFor: '1000' });
  await ann.expect(action.CONNECTED);
  ann.send({ action: action.ATTACH, channel: 'room' });
  await ann.expect(action.ATTACHED);
  ann.send({ action: PRESENCE, channel: 'room', msgSerial: 0, presence: [{ action: 2 }] });
  const bob = await connected(t, runtime, { clientId: 'bob' });
  await bob.channels.get('room').presence.enter();
  ann.close();
  await until(() => seen.includes('leave ann'));
  bob.close();
  await until(() => seen.includes('leave bob'));
  assert.deepEqual(await names(rest(runtime).channels.get('room')), []);
});

test('objects that lose their memory keep the set', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const watcher = await connected(t, runtime, { clientId: 'watcher' });
  const ann = await connected(t, runtime, { clientId: 'ann' });
  const seen = await witness(watcher.channels.get('room'));
  await ann.channels.get('room').presence.enter('here');
  for (const name of /** @type {const} */ (['Channel', 'Relay', 'Channel'])) {
    await runtime.evict(name);
    assert.deepEqual(await names(rest(runtime).channels.get('room')), ['ann']);
  }
  await ann.channels.get('room').presence.update('there');
  await until(() => seen.includes('update ann'));
  assert.deepEqual(seen, ['enter ann', 'update ann']);
});

test('after a power cut exactly those are listed who came back', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const clients = [];
  /** @type {string[]} */
  const wanted = [];
  for (let index = 0; index < 3; index++) {
    const enter = (/** @type {string} */ clientId) => ({ action: 2, clientId });
    const members = Array.from({ length: index === 0 ? 50 : 25 }, (_, member) => `c${index}m${member}`);
    if (index === 0) {
      // The first never comes back.
      const lost = new RawClient(runtime, { key: demoKey });
      await lost.expect(action.CONNECTED);
      lost.send({ action: action.ATTACH, channel: 'room' });
      await lost.expect(action.ATTACHED);
      lost.send({ action: PRESENCE, channel: 'room', msgSerial: 0, presence: members.map(enter) });
      continue;
    }
    const client = await connected(t, runtime);
    clients.push(client);
    const channel = client.channels.get('room');
    await channel.attach();
    wanted.push(...members);
    await Promise.all(members.map((name) => channel.presence.enterClient(name)));
  }
  wanted.sort();
  await until(async () => (await names(rest(runtime).channels.get('room'))).length === 100);

  await runtime.kill();
  const began = Date.now();
  await runtime.start();
  const api = rest(runtime).channels.get('room');
  /** @type {string[]} */
  let listed = [];
  await until(async () => {
    listed = await names(api);
    assert.ok(wanted.every((name) => listed.includes(name)), 'who comes back is never missing');
    return listed.length <= wanted.length;
  });
  assert.deepEqual(listed, wanted);
  const took = Date.now() - began;
  t.diagnostic(`the other half was gone after ${took} ms`);
  assert.ok(took < 45_000, `${took} ms`);
});

test('nobody comes back after a power cut, and the ghosts go all the same', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const ann = new RawClient(runtime, { key: demoKey, clientId: 'ann' });
  await ann.expect(action.CONNECTED);
  ann.send({ action: action.ATTACH, channel: 'room' });
  await ann.expect(action.ATTACHED);
  ann.send({ action: PRESENCE, channel: 'room', msgSerial: 0, presence: [{ action: 2 }] });
  await until(async () => (await names(rest(runtime).channels.get('room'))).length === 1);
  await runtime.kill();
  await runtime.start();
  const began = Date.now();
  const api = rest(runtime).channels.get('room');
  await until(async () => (await names(api)).length === 0);
  t.diagnostic(`gone after ${Date.now() - began} ms`);
  assert.ok(Date.now() - began < 45_000);
});

test('who may not be present, or has no name, is told so', async (t) => {
  const runtime = await startRuntime({
    apps: [{
      id: 'demo',
      keys: [{ name: 'key1', secret: 'local-only', capability: { '*': ['subscribe'] } }],
      namespaces: [],
    }],
  });
  t.after(() => runtime.stop());
  const reader = await connected(t, runtime, { clientId: 'reader' });
  await assert.rejects(reader.channels.get('room').presence.enter(), { code: 40160 });
  const nobody = realtime(t, runtime);
  await inState(nobody.connection, 'connected');
  await assert.rejects(nobody.channels.get('room').presence.enterClient('*'), (/** @type {any} */ error) => [40012, 40160].includes(error.code));
});
