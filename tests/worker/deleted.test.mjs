/** A deletion is a promise: who sees afterwards what was deleted, and what the disk has of it once it has expired. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { demoKey, rest } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const clock = path.resolve(import.meta.dirname, 'entries/clock-entry.mjs');
const hour = 60 * 60 * 1_000;
const keys = [
  { name: 'key1', secret: 'local-only', capability: { '*': ['*'] } },
  { name: 'reader', secret: 'local-only', capability: { '*': ['subscribe', 'history'] } },
];
const apps = { apps: [{ id: 'demo', keys, namespaces: [{ id: 'mutable', mutableMessages: true }] }] };
const name = 'mutable:deleted';

test('what was deleted is on disk until it has expired, and then is not', async (t) => {
  const runtime = await startRuntime(apps, { inFront: [clock], variables: { AHEAD_MS: '0' } });
  t.after(() => runtime.stop());
  const channel = (/** @type {string} */ key = demoKey) => rest(runtime, { key }).channels.get(name);
  const at = async (/** @type {number} */ hours) => {
    await runtime.kill();
    runtime.variables = { AHEAD_MS: `${hours * hour}` };
    await runtime.start();
  };
  /** Whether a file of the storage holds a text, when all is in its place. @param {string} text */
  const isStored = async (text) => {
    await runtime.evict('Channel');
    const files = fs.readdirSync(runtime.storage, { recursive: true, withFileTypes: true });
    return files.some((file) => file.isFile() && fs.readFileSync(path.join(file.parentPath, file.name)).includes(text));
  };
  const isGone = async (/** @type {string} */ text) => {
    while (await isStored(text)) await channel().history();
  };

  await channel().publish('a', 'of the same age');
  const { serials: [serial] } = await channel().publish('a', 'the first blunder');
  await channel().updateMessage({ serial: String(serial), data: 'the second blunder' });
  // It is written whole several times, and each time it is longer.
  const { serials: [grown] } = await channel().publish('a', 'a blunder');
  for (let piece = 0; piece < 24; piece++) {
    await channel().appendMessage({ serial: String(grown), data: `, blunder ${piece} ${'x'.repeat(400)}` });
  }
  await channel().deleteMessage({ serial: String(grown), data: '' });
  await at(71.9);
  const { serials: [since] } = await channel().publish('a', 'later');
  await channel().appendMessage({ serial: String(serial), data: ', grown' });
  await channel().deleteMessage({ serial: String(serial), data: '' });
  const versions = async (/** @type {string} */ key) => (await channel(key).getMessageVersions(String(serial))).items.map(({ data }) => data);
  assert.deepEqual(await versions(demoKey), ['the first blunder', 'the second blunder', 'the second blunder, grown', '']);
  assert.deepEqual(await versions('demo.reader:local-only'), ['']);
  assert.ok(await isStored('of the same age') && await isStored('the first blunder') && await isStored('blunder, grown'));

  // The message has expired, and what was done to it last has not: its readers are told that, and no more.
  await at(73);
  await channel().publish('a', 'last');
  await isGone('of the same age');
  await assert.rejects(channel().getMessage(String(serial)), { code: 40400 });
  const client = new RawClient(runtime, { key: demoKey });
  await client.expect(action.CONNECTED);
  client.send({ action: action.ATTACH, channel: name, channelSerial: String(since).replace(/:.*/, '') });
  assert.equal((await client.expect(action.ATTACHED)).flags & 4, 4, 'RESUMED');
  const missed = [];
  while (missed.length < 2) missed.push(...(await client.expect(action.MESSAGE)).messages);
  assert.deepEqual(missed.map((message) => [message.action ?? 0, message.data]), [[2, ''], [0, 'last']]);
  client.close();

  await at(145);
  await channel().publish('a', 'the end');
  await isGone('blunder');
});
