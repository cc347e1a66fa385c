/** Twenty kills; `npm run torture` does five hundred. */
import test from 'node:test';
import { report, torture } from './torture.mjs';

test('no kill loses or repeats an acknowledged message', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  console.log(`seed ${seed}`);
  t.diagnostic(report(await torture({ kills: 20, seed })));
});
