/**
 * The storage of earlier builds under this one: history, members, connections and apps are as they were.
 * tests/stored has the formats one by one; `tests/fixtures/write_storage.mjs` wrote what is read here.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import Ably from 'ably';
import { action, RawClient } from './raw_client.mjs';
import { demoApps, Runtime } from './runtime.mjs';

const fixtures = path.resolve(import.meta.dirname, '../fixtures');
const versions = fs.readdirSync(fixtures).flatMap((file) => file.match(/^storage-(.*)\.json$/)?.[1] ?? []);

/**
 * This build on the storage of another.
 * @param {import('node:test').TestContext} t
 * @param {string} version
 * @param {(storage: string) => unknown} [change] what is done to the storage before
 */
async function startOn(t, version, change) {
  const known = JSON.parse(fs.readFileSync(path.join(fixtures, `storage-${version}.json`), 'utf8'));
  const storage = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-'));
  execFileSync('tar', ['-xzf', path.join(fixtures, `storage-${version}.tar.gz`), '-C', storage]);
  change?.(storage);
  const runtime = new Runtime(demoApps, storage, { variables: { ADMIN_TOKEN: 'an-admin-token' } });
  await runtime.start();
  t.after(() => runtime.stop());
  return { known, runtime };
}

/** Whether an object could not store something. The log says so, and clients often nothing. */
const hasFailed = (/** @type {Runtime} */ runtime) => runtime.log.includes('storage failed');

/** What the one relay of a storage says of its watch of the app. @param {string} storage @param {string} query */
function askWatch(storage, query) {
  const folder = path.join(storage, 'do/courtside-Relay');
  const file = fs.readdirSync(folder).find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  const database = new DatabaseSync(path.join(folder, String(file)));
  try {
    return database.prepare(query).all();
  } finally {
    database.close();
  }
}

/**
 * Bans a client that is connected, which ends its connection, and the runtime: the relay has stored that it was told.
 * @param {Runtime} runtime
 */
async function endWithBan(runtime) {
  const client = new RawClient(runtime, { key: 'demo.key1:local-only', clientId: 'cid' });
  await client.expect(action.CONNECTED);
  const answer = await fetch(`${runtime.url}/apps/demo/bans`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer an-admin-token' },
    body: JSON.stringify({ clientId: 'cid' }),
  });
  assert.equal(answer.status, 201);
  const { error } = await client.expect(action.ERROR);
  assert.equal(error.code, 40300);
  await runtime.kill();
  const [watch] = askWatch(runtime.storage, 'SELECT told FROM watch');
  assert.ok(Number(watch?.told) > 0, 'the relay was told');
  assert.ok(!hasFailed(runtime), runtime.log);
}

for (const version of versions) {
  test(`storage of format ${version} is read with its meaning intact`, async (t) => {
    const { known, runtime } = await startOn(t, version);
    const rest = new Ably.Rest({ key: 'demo.key1:local-only', ...runtime.clientOptions });
    const channel = rest.channels.get(known.channelName);

    const { items: members } = await channel.presence.get();
    assert.deepEqual(members.map(({ clientId, connectionId, data }) => ({ clientId, connectionId, data })), [
      { clientId: 'ann', connectionId: known.connectionId, data: 'seat 4' },
    ]);

    const { items: messages } = await channel.history({ direction: 'forwards' });
    const stored = [
      { name: 'text', data: 'hello ü', clientId: 'bob', extras: undefined },
      { name: 'object', data: { score: [15, 0] }, clientId: undefined, extras: { headers: { team: 'red' } } },
      { name: 'bytes', data: Buffer.from([0, 255]), clientId: undefined, extras: undefined },
      { name: 'own id', data: 'once', clientId: undefined, extras: undefined },
    ];
    assert.deepEqual(messages.map(({ name, data, clientId, extras }) => ({ name, data, clientId, extras })), stored);

    await t.test('a connection resumes, and gets what it missed', async () => {
      const query = { key: 'demo.key1:local-only', clientId: 'ann', resume: known.connectionKey };
      const client = new RawClient(runtime, query);
      t.after(() => client.close());
      const connected = await client.expect(action.CONNECTED);
      assert.deepEqual([connected.connectionId, connected.error], [known.connectionId, undefined]);
      client.send({ action: action.ATTACH, channel: known.channelName, channelSerial: known.channelSerial });
      const attached = await client.expect(action.ATTACHED);
      assert.equal(attached.flags & 4, 4, 'RESUMED');
      const missed = [];
      while (missed.length < stored.length) missed.push(...(await client.expect(action.MESSAGE)).messages);
      assert.deepEqual(missed.map(({ name }) => name), stored.map(({ name }) => name));
    });

    await t.test('a publish that was acknowledged then is known now, and a new one comes behind it', async () => {
      await channel.publish({ id: 'chosen', name: 'own id', data: 'once' });
      await channel.publish('new', 'now');
      const { items } = await channel.history({ direction: 'forwards' });
      assert.deepEqual(items.map(({ name }) => name), [...stored.map(({ name }) => name), 'new']);
    });

    await t.test('a message that was changed is what it was, and is changed on', { skip: !known.changedSerial && 'that build changed no messages' }, async () => {
      const changed = rest.channels.get('mutable:room');
      const serial = known.changedSerial;
      const texts = async () => (await changed.getMessageVersions(serial)).items.map(({ data }) => data);
      assert.deepEqual(await texts(), ['15', '-0', '-0-1-2']);
      await changed.appendMessage({ serial, data: '-3' });
      await changed.updateMessage({ serial, data: 'x' });
      assert.deepEqual(await texts(), ['15', '-0', '-0-1-2-3', 'x']);
      const { items } = await changed.history({ direction: 'forwards' });
      assert.deepEqual(items.map(({ data }) => data), ['x', '']);
    });

    await t.test('an app that was made by a request has its key and its namespace', async () => {
      const made = new Ably.Rest({ key: known.madeKey, ...runtime.clientOptions }).channels.get('kept:room');
      await made.publish('hello', 'there');
      assert.deepEqual((await made.history()).items.map(({ data }) => data), ['there']);
    });

    await t.test('a channel that comes into use is listed beside those that were', async () => {
      // The app's object writes something else first.
      await rest.auth.requestToken();
      await rest.channels.get('persisted:new').publish('hello', 'there');
      const listed = async () => (await rest.request('get', '/channels', 3, { by: 'id' })).items;
      const isListed = async (/** @type {string} */ name) => (await listed()).includes(name);
      while (!hasFailed(runtime) && !await isListed('persisted:new'));
      assert.deepEqual(await Promise.all(['persisted:new', known.channelName].map(isListed)), [true, true]);
    });

    await t.test('a relay that watched its app is told of a ban', () => endWithBan(runtime));
  });
}

/** The last in which a relay's watch of its app does not say what it was told. */
const BEFORE_TOLD = '5';

test('a relay that had nobody when an earlier build ended begins to watch its app', async (t) => {
  const { runtime } = await startOn(t, BEFORE_TOLD, (storage) => askWatch(storage, 'DELETE FROM watch'));
  await endWithBan(runtime);
});
