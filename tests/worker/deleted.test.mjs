/**
 * A deletion is a promise: who sees afterwards what was deleted, and what the disk has of it once it has expired, or
 * was purged.
 */
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
const namespaces = [{ id: 'mutable', mutableMessages: true }, { id: 'last', persistLast: true }];
const apps = { apps: [{ id: 'demo', keys, namespaces }] };
const name = 'mutable:deleted';

/** Starts it again, so many hours later. @param {import('./runtime.mjs').Runtime} runtime @param {number} hours */
async function goTo(runtime, hours) {
  await runtime.kill();
  runtime.variables = { AHEAD_MS: `${hours * hour}` };
  await runtime.start();
}

/**
 * How often the files of the storage hold a text, when all is in its place.
 *
 * @param {import('./runtime.mjs').Runtime} runtime
 * @param {string} text
 */
async function stored(runtime, text) {
  await runtime.evict('Channel');
  const files = fs.readdirSync(runtime.storage, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  const copies = files.map((file) => fs.readFileSync(path.join(file.parentPath, file.name), 'latin1').split(text).length - 1);
  return copies.reduce((sum, number) => sum + number, 0);
}

test('what was deleted is on disk until it has expired, and then is not', async (t) => {
  const runtime = await startRuntime(apps, { inFront: [clock], variables: { AHEAD_MS: '0' } });
  t.after(() => runtime.stop());
  const channel = (/** @type {string} */ key = demoKey) => rest(runtime, { key }).channels.get(name);
  const at = (/** @type {number} */ hours) => goTo(runtime, hours);
  const isStored = async (/** @type {string} */ text) => await stored(runtime, text) > 0;
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

test('the last message of a purged channel is not on disk, though its row had gone long before', async (t) => {
  const runtime = await startRuntime(apps, { inFront: [clock], variables: { AHEAD_MS: '0' } });
  t.after(() => runtime.stop());
  const text = `${'x'.repeat(10_000)} the last blunder ${'x'.repeat(10_000)}`;
  const copies = () => stored(runtime, 'the last blunder');
  const ask = async (/** @type {string} */ method, /** @type {string} */ path, /** @type {unknown} */ body = undefined) => {
    const headers = { authorization: `Basic ${btoa(demoKey)}`, 'content-type': 'application/json' };
    const answer = await fetch(`${runtime.url}/channels/last:purged/${path}`, { method, headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, await answer.text());
  };
  const fill = (/** @type {string} */ string) => ask('POST', 'objects', { path: '', mapSet: { key: 'k', value: { string } } });
  const last = async () => (await rest(runtime, { key: demoKey }).channels.get('last:purged').history()).items.map(({ data }) => data);
  await ask('POST', 'messages', { name: 'a', data: text });
  await goTo(runtime, 2);
  await fill('');
  while (await copies() < 2) assert.deepEqual(await last(), [text]);
  // In the place of its row.
  await fill('y'.repeat(60_000));
  assert.equal(await copies(), 1);
  await ask('DELETE', 'messages');
  assert.equal(await copies(), 0);
  assert.deepEqual(await last(), []);
});
