/** What is counted is also written to Analytics Engine, where the deployment has a dataset bound: to the message. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected, rest } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(undefined, {
  tellsCounts: true,
  isQuiet: true,
  inFront: [new URL('entries/metrics-entry.mjs', import.meta.url).pathname],
});
after(() => runtime.stop());

/** @returns {{ indexes: string[], blobs: string[], doubles: number[] }[]} */
const points = () => runtime.log.split('\n').flatMap((line) => {
  const [, text] = line.match(/point (\{.*\})/) ?? [];
  return text ? [JSON.parse(text)] : [];
});

/** Sums over all points, by the places of docs/operations. @param {number} place from 1 */
const sum = (place) => points().filter(({ blobs }) => blobs[0] === 'counts').reduce((all, { doubles }) => all + doubles[place - 1], 0);

test('a load of known size is the sum of its points, and what is refused is there by its code', async (t) => {
  const fan = await connected(t, runtime, { clientId: 'fan' });
  const inbox = await Inbox.of(fan.channels.get('scores'));
  const client = rest(runtime);
  for (let index = 0; index < 20; index++) await client.channels.get('scores').publish('n', `${index}`);
  await inbox.until('19');
  await assert.rejects(rest(runtime, { key: 'demo.key1:wrong' }).channels.get('scores').publish('n', 'x'), { code: 40101 });
  const refused = () => points().filter(({ blobs }) => blobs[0] === 'refusals' && blobs[1] === '40101');
  while (sum(6) < 20 || sum(7) < 20 || refused().length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual([sum(1), sum(6), sum(7)], [1, 20, 20]);
  assert.deepEqual(refused().map(({ doubles }) => doubles), [[1]]);
  assert.ok(points().every(({ indexes, blobs, doubles }) => indexes.length === 1 && blobs.length <= 20 && doubles.length <= 20));
  assert.ok(points().every(({ blobs }) => !blobs.includes('scores')), 'no name of a channel');
});
