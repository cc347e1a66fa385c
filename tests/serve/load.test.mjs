/** `courtside load` against servers that make mistakes: each is counted as what it is, and none is overlooked. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { Histogram } from '../../bin/load/histogram.mjs';
import { cli } from './cli.mjs';
import { faultyServer, frame, whole } from './faulty_server.mjs';

/** @param {string} url @param {string[]} more */
async function loaded(url, ...more) {
  const args = ['load', '--url', url, '--viewers', '2', '--rate', '20', '--seconds', '1', '--json', ...more];
  const { code, out, err } = await cli(args, { COURTSIDE_KEY: 'demo.key1:a-secret-of-nobody' });
  assert.ok(out, err);
  return { code, ...JSON.parse(out) };
}

/** @param {Record<string, number>} result */
const faults = ({ lost, repeated, outOfOrder, gaps, refused, code }) =>
  ({ lost, repeated, outOfOrder, gaps, refused, code });
const none = { lost: 0, repeated: 0, outOfOrder: 0, gaps: 0, refused: 0 };

/** @type {object[]} */
const kept = [];

/** @type {Record<string, [import('./faulty_server.mjs').Faults, Partial<typeof none>]>} */
const mistakes = {
  'one is left out': [{ deliver: (message, index) => index === 3 ? [] : [message] }, { lost: 2 }],
  'the last one is left out': [{ deliver: (message, index) => index === 19 ? [] : [message] }, { lost: 2 }],
  'one comes twice': [{ deliver: (message, index) => index === 3 ? [message, message] : [message] }, { repeated: 2 }],
  'two change places': [{ deliver: (message, index) => {
    if (index !== 3) return [message, ...kept.splice(0)];
    kept.push(message);
    return [];
  } }, { outOfOrder: 2 }],
  'the stream begins anew': [{ cut: (index) => index === 10 }, { gaps: 2 }],
  'one is refused': [{ refuse: (index) => index === 3 }, { refused: 1 }],
};

// Together: each waits for what does not come.
describe('mistakes of a server', { concurrency: true }, () => {
  for (const [what, [server, expected]] of Object.entries(mistakes)) {
    test(`${what}, and load says so`, { timeout: 90_000 }, async (t) => {
      const result = await loaded(await faultyServer(t, server));
      const { lost, ...others } = faults(/** @type {any} */ (result));
      // Who was away while it went on without them has lost what came meanwhile, too.
      if (expected.gaps) assert.ok((lost ?? 0) > 0);
      else assert.equal(lost, expected.lost ?? 0);
      const { lost: _, ...rest } = { ...none, ...expected, code: 1 };
      assert.deepEqual(others, rest);
    });
  }
});

/** Every way in which a frame may come. @type {Record<string, (text: string) => Buffer[]>} */
const ways = {
  whole,
  'long': (text) => whole(text.padEnd(70_000, ' ')),
  'byte by byte': (text) => whole(text).flatMap((bytes) => [...bytes].map((byte) => Buffer.from([byte]))),
  'in parts, with a ping between': (text) => {
    const bytes = Buffer.from(text);
    const [first, second, third] = [bytes.subarray(0, 7), bytes.subarray(7, 9), bytes.subarray(9)];
    return [frame(0x01, first), frame(0x89, Buffer.from('?')), frame(0x00, second), frame(0x80, third)];
  },
  'several at once': (text) =>
    [Buffer.concat([frame(0x8a, Buffer.alloc(0)), ...whole(text), ...whole('{"action":0}')])],
};

for (const [way, write] of Object.entries(ways)) {
  test(`frames are read ${way}`, { timeout: 60_000 }, async (t) => {
    const result = await loaded(await faultyServer(t, { write }), '--size', '300');
    assert.deepEqual(faults(/** @type {any} */ (result)), { ...none, code: 0 });
    assert.equal(result.delivered, 40);
  });
}

test('load ends where frames are none', { timeout: 30_000 }, async (t) => {
  const url = await faultyServer(t, { write: () => whole('hello') });
  const args = ['load', '--url', url, '--viewers', '2', '--rate', '1', '--seconds', '1'];
  const { code, err } = await cli(args, { COURTSIDE_KEY: 'demo.key1:a-secret-of-nobody' });
  assert.deepEqual([code, /^courtside: \S+ does not answer as Courtside does: .*\n$/.test(err)], [1, true], err);
});

test('a part of all took no longer than it says, by four percent', () => {
  const histogram = new Histogram();
  assert.equal(histogram.quantile(0.99), 0);
  for (let ms = 1; ms <= 10_000; ms++) histogram.add(ms);
  for (const part of [0.5, 0.9, 0.99, 0.999]) {
    const exact = part * 10_000;
    assert.ok(histogram.quantile(part) >= exact && histogram.quantile(part) <= exact * 1.04, String(part));
  }
  assert.equal(histogram.quantile(1), 10_000);
  histogram.add(0);
  histogram.add(1e12);
  assert.equal(histogram.count, 10_002);
  assert.equal(histogram.most, 1e12);
});
