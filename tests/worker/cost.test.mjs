/**
 * What the cost benchmark counts and how it prices it: a meter that misses a kind of request would flatter us silently.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { relaysOf, usageOf } from '../../bin/cost/model.mjs';
import { bill, total } from '../../bin/cost/prices.mjs';
import { usage } from '../../benches/cost/replay.mjs';
import { Inbox, connected } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

test('the meter counts what the platform bills of three messages', async (t) => {
  const runtime = await startRuntime(undefined, { inFront: [path.resolve(import.meta.dirname, '../../benches/cost/meter-entry.mjs')] });
  t.after(() => runtime.stop());
  const [viewer, publisher] = await Promise.all([0, 1].map(() => connected(t, runtime)));
  const inbox = await Inbox.of(viewer.channels.get('scores'));
  for (const [index, score] of ['15', '30', '40'].entries()) {
    // One after the other: none shares a commit.
    await publisher.channels.get('scores').publish('score', score);
    await inbox.until(index + 1);
  }
  const counts = await (await fetch(`${runtime.url}/bench/meter`)).json();
  assert.equal(counts['worker requests'], 2);
  assert.equal(counts['Relay /connect'], 2);
  assert.equal(counts['Relay /deliver'], undefined, 'each comes with the answer to its publish');
  assert.equal(counts['Channel /call'], 3 + 1, 'three publishes, and the relay that joins');
  assert.equal(counts['App /call'], 2, 'the channel is in use, so that it is listed, and the relay watches its app');
  assert.equal(counts.frames, 3 + 1, 'three publishes and an attach');
  assert.ok(counts['rows written'] >= 3);
  const { objectRequests, rowsWritten } = usage(counts);
  const alarms = (counts['Relay alarm'] ?? 0) + (counts['Channel alarm'] ?? 0);
  assert.equal(objectRequests, 2 + 4 + 2 + alarms);
  assert.ok(counts['Relay alarms set'] > 0 && rowsWritten > counts['rows written'], 'an alarm that is set is a row');
});

test('a crowd uses what its steps use, over as many relays as it needs', () => {
  const steps = {
    connect: { workerRequests: 1, objectRequests: 2, frames: 3 }, relay: { rowsWritten: 5, rowsRead: 7 },
    message: { rowsWritten: 2, rowsRead: 1 }, alarms: { relay: 0.5, channel: 0.25 }, alarmsSet: { relay: 1, channel: 0.5 },
  };
  assert.deepEqual([1, 6_000, 6_001, 24_000, 1_000_000].map(relaysOf), [1, 1, 2, 4, 256]);
  const event = { viewers: 12_000, seconds: 100, messagesPerSecond: 10, connectsPerViewer: 1.5 };
  const each = usageOf(event, steps);
  assert.deepEqual(each, {
    workerRequests: 18_000,
    objectRequests: 36_000 + 1_000 + 2 * 1_000 + (2 * 0.5 + 0.25) * 100,
    frames: 54_000 + 1_000,
    rowsWritten: 2 * 5 + 2 * 1_000 + (2 * 1 + 0.5) * 100,
    rowsRead: 2 * 7 + 1_000,
    awakeSeconds: 3 * 100,
  });
  const batched = usageOf({ ...event, intervalMs: 500 }, steps);
  assert.equal(each.objectRequests - batched.objectRequests, 2 * (1_000 - 200), 'only deliveries are spared');
  assert.equal(usageOf({ ...event, messagesPerSecond: 0.01 }, steps).awakeSeconds, (2 + 0.1) * 100, 'a channel sleeps');
});

test('a bill adds up', () => {
  const used = { workerRequests: 1e6, objectRequests: 2e6, frames: 20e6, rowsWritten: 3e6, rowsRead: 1e9, awakeSeconds: 3_600 / 0.128 };
  assert.deepEqual(bill(used).map(({ dollars }) => Number(dollars.toFixed(6))), [0.3, 0.3, 0.15, 3, 1, 0.045]);
  assert.equal(total(used).toFixed(3), '4.795');
});
