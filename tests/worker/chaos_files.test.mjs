/** A test file in each weather, or as many as fit into CHAOS_SECONDS; `npm run chaos` does all. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { filesWithSdk, report, strikeFor } from './chaos_files.mjs';

const seconds = Number(process.env.CHAOS_SECONDS ?? 1);
const weathers = /** @type {const} */ ([
  ['evictions', 'objects lose their memory'],
  ['kills', 'the server is killed'],
]);
/** Most of what a kill could break is here. The other files wait longer, or for less; the command has them all. */
const MOST = /^(annotations|auth|chat|continuity|deltas|filters|last_message|messages|objects|spaces|stored|updates)\.test/;

for (const [weather, what] of weathers) {
  test(`tests hold while ${what}`, async (t) => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    // At once: of a test that hangs no diagnostic is told.
    console.log(`files in chaos, ${weather}: seed ${seed}`);
    const files = filesWithSdk(weather).filter((file) => weather === 'evictions' || MOST.test(file));
    const figures = await strikeFor(weather, { files, seconds, seed, say: (text) => t.diagnostic(text) });
    t.diagnostic(report(weather, figures));
    for (const skipped of figures.skipped) t.diagnostic(`skipped: ${skipped}`);
    const again = `npx node tests/worker/chaos_files.mjs ${seed} FILE ${weather}`;
    assert.equal(figures.failed, 0, `${again}\n${figures.failures}`);
    assert.ok(figures.strikes > 0, 'something happened');
  });
}
