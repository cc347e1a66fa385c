/** A test file, or as many as fit into CHAOS_SECONDS; `npm run chaos` does all. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { evictFor, report } from './chaos_files.mjs';

test('tests hold while objects lose their memory', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  t.diagnostic(`seed ${seed}`);
  const figures = await evictFor({ seconds: Number(process.env.CHAOS_SECONDS ?? 1), seed, say: (text) => t.diagnostic(text) });
  t.diagnostic(report(figures));
  for (const skipped of figures.skipped) t.diagnostic(`skipped: ${skipped}`);
  assert.equal(figures.failed, 0, figures.failures);
  assert.ok(figures.evictions > 0, 'something happened');
});
