/** Rows that are past their time, in whose place a busy channel writes others: on the runtime's own storage. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { connected, rest, wholeHistory } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

const clock = path.resolve(import.meta.dirname, 'entries/clock-entry.mjs');
const second = 1_000;

/** The rows of the one log that is stored: their positions, oldest first. @param {string} folder */
function logIn(folder) {
  const files = fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.name.endsWith('.sqlite'));
  for (const file of files) {
    const database = new DatabaseSync(path.join(file.parentPath, file.name));
    try {
      if (!database.prepare("SELECT name FROM sqlite_master WHERE name = 'log'").get()) continue;
      return database.prepare('SELECT position FROM log ORDER BY position').all().map(({ position }) => Number(position));
    } finally {
      database.close();
    }
  }
  return assert.fail('no log is stored');
}

test('a busy channel writes in the place of what is past its time, and nothing else is missing', async (t) => {
  const runtime = await startRuntime(undefined, { inFront: [clock], variables: { AHEAD_MS: '0' } });
  t.after(() => runtime.stop());
  const channel = () => rest(runtime).channels.get('odds');
  const publish = async (/** @type {string} */ name, /** @type {number} */ count) => {
    for (let number = 0; number < count; number++) await channel().publish('a', `${name} ${number}`);
  };
  /** What was stored before the clock is set. @param {number} seconds */
  const at = async (seconds) => {
    await runtime.kill();
    const stored = logIn(runtime.storage);
    runtime.variables = { AHEAD_MS: `${seconds * second}` };
    await runtime.start();
    return stored;
  };
  await publish('old', 30);
  await at(170);
  await publish('young', 2);
  const before = await at(185);
  assert.equal(before.length, 32);

  // The first wakes the channel, which lets go of the old. Those that follow find room.
  const client = await connected(t, runtime);
  await client.channels.get('odds').attach();
  await publish('next', 20);
  const history = (await wholeHistory(channel())).map(({ data }) => data);
  assert.deepEqual(history, ['young 0', 'young 1', ...Array.from({ length: 20 }, (_, number) => `next ${number}`)]);
  const after = await at(186);
  assert.ok(after.length < before.length + 20 && after.length > 22, `${after.length} rows: some were written in the place of others`);

  await publish('then', 1);
  const again = (await wholeHistory(channel())).map(({ data }) => data);
  assert.deepEqual(again, [...history, 'then 0'], 'all is there after the runtime was killed');

  // Nothing is left of what is past its time when the channel is quiet.
  await at(900);
  await publish('last', 1);
  for (;;) {
    assert.deepEqual((await channel().history()).items.map(({ data }) => data), ['last 0']);
    const { length } = await at(900);
    if (length === 1) break;
    await channel().history();
  }
});
