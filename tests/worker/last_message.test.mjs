/** The last message of a channel whose namespace keeps it, by a clock that is an hour ahead: all others have gone. */
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { Inbox, connected, rest, wholeHistory } from './clients.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

test('who comes an hour later gets the last message, and goes on behind it', async (t) => {
  const namespaces = [{ id: 'last', persistLast: true }];
  const runtime = await startRuntime({ apps: [{ ...demoApps.apps[0], namespaces }] });
  t.after(() => runtime.stop());
  for (const name of ['last:score', 'plain:score']) {
    for (const data of ['15–0', '30–0']) await rest(runtime).channels.get(name).publish('score', data);
  }
  await runtime.kill();
  runtime.inFront = [path.join(import.meta.dirname, 'entries/hour-later-entry.mjs')];
  await runtime.start();
  const history = async (/** @type {string} */ name) =>
    (await wholeHistory(rest(runtime).channels.get(name))).map(({ data }) => data);
  assert.deepEqual([await history('last:score'), await history('plain:score')], [['30–0'], []]);

  const client = await connected(t, runtime);
  const inbox = await Inbox.of(client.channels.get('last:score', { params: { rewind: '1' } }));
  await inbox.until('30–0');
  await rest(runtime).channels.get('last:score').publish('score', '40–0');
  await inbox.until('40–0');
  assert.deepEqual([inbox.data, await history('last:score')], [['30–0', '40–0'], ['40–0']]);
});
