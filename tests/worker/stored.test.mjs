/**
 * The storage of earlier builds under this one: history, members, connections and apps are as they were.
 * tests/stored has the formats one by one; `tests/fixtures/write_storage.mjs` wrote what is read here.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import Ably from 'ably';
import { action, RawClient } from './raw_client.mjs';
import { demoApps, Runtime } from './runtime.mjs';

const fixtures = path.resolve(import.meta.dirname, '../fixtures');
const versions = fs.readdirSync(fixtures).flatMap((file) => file.match(/^storage-(.*)\.json$/)?.[1] ?? []);

for (const version of versions) {
  test(`storage of format ${version} is read with its meaning intact`, async (t) => {
    const known = JSON.parse(fs.readFileSync(path.join(fixtures, `storage-${version}.json`), 'utf8'));
    const storage = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-'));
    execFileSync('tar', ['-xzf', path.join(fixtures, `storage-${version}.tar.gz`), '-C', storage]);
    const runtime = new Runtime(demoApps, storage, { variables: { ADMIN_TOKEN: 'an-admin-token' } });
    await runtime.start();
    t.after(() => runtime.stop());
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

    await t.test('a message that was changed is what it was, and is changed on', { skip: !known.changedSerial }, async () => {
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
  });
}
