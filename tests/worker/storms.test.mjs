/** Clients share objects while the runtime fails; `npm run torture` does more of it. */
import test from 'node:test';
import { startRuntime } from './runtime.mjs';
import { fast, objectStorm, report } from './storms.mjs';

test('no kill, eviction or lost connection makes objects differ', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  console.log(`seed ${seed}`);
  const runtime = await startRuntime(undefined, { variables: fast });
  t.after(() => runtime.stop());
  t.diagnostic(report('operations', await objectStorm({ kills: 4, operations: 1_500, seed, runtime })));
});
