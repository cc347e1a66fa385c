/** A round, or as many as fit into CHAOS_SECONDS; `npm run chaos` does them for an hour. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { chaos, report } from './chaos.mjs';

test('whatever objects forget, and when the server is killed, clients of every transport see what they should', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  console.log(`seed ${seed}`);
  const figures = await chaos({ seconds: Number(process.env.CHAOS_SECONDS ?? 1), seed, pace: { roundMs: 12_000, calmMs: 4_000, calmMoreMs: 3_000 } });
  t.diagnostic(report(figures));
  assert.ok(figures.kills + figures.ended.resets > 0, 'something happened');
  assert.equal(figures.gaps, 0, 'nobody missed anything');
});
