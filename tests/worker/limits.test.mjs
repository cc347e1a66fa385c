/** What one client may publish: over all its connections, by namespace, and nobody else pays for it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { realtime, rest } from './clients.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

const namespaces = [{ id: 'slow', clientMessagesPerSecond: 5 }, { id: 'short', maxMessageSize: 20, mutableMessages: true }];
const runtime = await startRuntime({ apps: [{ ...demoApps.apps[0], namespaces }] });
test.after(() => runtime.stop());

/** @param {import('node:test').TestContext} t @param {string} clientId */
async function client(t, clientId) {
  const { token } = await rest(runtime).auth.requestToken({ clientId });
  return realtime(t, runtime, { key: undefined, token });
}

test('a client that exceeds its share is refused on each of its connections, which go on', async (t) => {
  const [first, second, other] = await Promise.all(['ann', 'ann', 'ben'].map((name) => client(t, name)));
  const publish = (/** @type {import('ably').Realtime} */ by, /** @type {string} */ channel) =>
    by.channels.get(channel).publish('n', 'x').then(() => 0, (error) => error.code);
  const said = await Promise.all(Array.from({ length: 40 }, (_, index) => publish([first, second][index % 2], 'slow:a')));
  const taken = said.filter((code) => code === 0).length;
  assert.deepEqual([...new Set(said)].sort(), [0, 42911]);
  assert.ok(taken >= 5 && taken < 40, `${taken}`);
  assert.equal(await publish(other, 'slow:a'), 0, 'nobody else pays for it');
  assert.equal(await publish(first, 'quick'), 0, 'nor does another channel');
  assert.equal(first.connection.state, 'connected');
  const byKey = realtime(t, runtime);
  assert.ok((await Promise.all(Array.from({ length: 20 }, () => publish(byKey, 'slow:a')))).every((code) => code === 0));
});

test('a namespace takes so many bytes at once, of messages, changes and members, and the connection goes on', async (t) => {
  const channel = (await client(t, 'ann')).channels.get('short:a');
  const large = { code: 40009, message: /this channel takes at most 20 bytes at once, not \d+/ };
  const { serials: [serial] } = await channel.publish('n', 'x');
  await assert.rejects(channel.publish([{ data: 'x'.repeat(10) }, { data: 'x'.repeat(11) }]), large);
  await assert.rejects(channel.updateMessage({ serial: String(serial), data: 'x'.repeat(21) }), large);
  await assert.rejects(channel.presence.enter('x'.repeat(21)), large);
  await channel.presence.enter('x'.repeat(10));
  await channel.updateMessage({ serial: String(serial), data: 'x'.repeat(20) });
  assert.deepEqual((await channel.history()).items.map(({ data }) => data), ['x'.repeat(20)]);
});

test('a bound that would be none stops a deployment, which says which', async (t) => {
  const apps = { apps: [{ ...demoApps.apps[0], namespaces: [{ id: 'slow', clientMessagesPerSecond: 0 }] }] };
  const ruled = await startRuntime(apps);
  t.after(() => ruled.stop());
  const answer = await fetch(`${ruled.url}/time`);
  const { error } = /** @type {any} */ (await answer.json());
  assert.equal(answer.status, 503);
  assert.match(error.message, /namespaces\[0\]\.clientMessagesPerSecond must be from 1 to 10000/);
});
