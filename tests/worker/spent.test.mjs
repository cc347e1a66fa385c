/** A channel that nobody uses any more gives its storage back, and begins anew when it is used again. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { rest } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

const clock = path.resolve(import.meta.dirname, 'entries/clock-entry.mjs');
const hour = 60 * 60 * 1_000;

/** What each channel has on disk, in bytes, with what is yet to be written to its file. @param {string} storage */
function sizes(storage) {
  const files = fs.readdirSync(storage, { recursive: true, encoding: 'utf8' });
  const size = (/** @type {string} */ file) =>
    fs.statSync(path.join(storage, file), { throwIfNoEntry: false })?.size ?? 0;
  const ofChannels = files.filter((file) => /channel\/[0-9a-f]{64}\.sqlite$/i.test(file));
  assert.ok(ofChannels.length > 0);
  return ofChannels.map((file) => size(file) + size(`${file}-wal`));
}

test('hours after its messages have expired the storage of a channel is given back', async (t) => {
  const runtime = await startRuntime(undefined, { inFront: [clock], variables: { AHEAD_MS: '0' } });
  t.after(() => runtime.stop());
  const channel = () => rest(runtime).channels.get('spent');
  await channel().publish('a', 'x'.repeat(50_000));
  const [first] = (await channel().history()).items;
  // It is found at the second look, when its app had it listed as used.
  for (const ahead of [0.5 * hour, 1.5 * hour, 3 * hour]) {
    await runtime.kill();
    runtime.variables = { AHEAD_MS: `${ahead}` };
    await runtime.start();
    assert.deepEqual((await channel().history()).items, [], 'what has expired is not read');
    if (ahead < hour) assert.ok(sizes(runtime.storage).every((size) => size > 4_096), 'it is there for an hour');
  }
  while (sizes(runtime.storage).some((size) => size > 4_096)) await new Promise(setImmediate);

  await channel().publish('a', 'again');
  const { items: [again] } = await channel().history();
  assert.equal(again.data, 'again');
  assert.ok(String(again.serial) > String(first.serial));
  const lives = [first, again].map(({ serial }) => String(serial).split('@')[1].split(':')[0]);
  assert.notEqual(lives[0], lives[1], 'another life of the channel');
});
