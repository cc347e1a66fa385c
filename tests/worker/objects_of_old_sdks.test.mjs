/** LiveObjects of an SDK that has the names of version 5, beside the current one: both see the same. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { LiveCounter, LiveObjects } from 'ably/liveobjects';
import { closed, connected, demoKey, formats } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

/** @type {any} its types are those of the current one */
const { default: Old } = await import('ably-2.14.0');
const { default: Objects } = await import('ably-2.14.0/objects');

const runtime = await startRuntime();
after(() => runtime.stop());

const modes = /** @type {import('ably').ChannelMode[]} */ (['object_subscribe', 'object_publish']);

/**
 * A channel's objects, as the old SDK has them.
 * @param {import('./clients.mjs').Scope} scope @param {string} name @param {boolean} useBinaryProtocol
 */
async function oldObjects(scope, name, useBinaryProtocol) {
  const host = { restHost: '127.0.0.1', realtimeHost: '127.0.0.1', port: runtime.port, tls: false };
  const options = { key: demoKey, logLevel: 0, disconnectedRetryTimeout: 100, useBinaryProtocol, plugins: { Objects } };
  const client = new Old.Realtime({ ...options, ...host });
  scope.after(() => closed(client));
  const channel = client.channels.get(name, { modes });
  await channel.attach();
  return { objects: channel.objects, root: await channel.objects.getRoot() };
}

/** Resolves when this is so, which something that comes makes it. @param {() => boolean} isSo */
async function until(isSo) {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
}

for (const { format, useBinaryProtocol } of formats) {
  test(`an SDK of version 2.14 shares maps and counters with the current one (${format})`, async (t) => {
    const name = `old-and-new-${format}`;
    const client = await connected(t, runtime, { plugins: { LiveObjects }, useBinaryProtocol });
    const root = /** @type {any} */ (await client.channels.get(name, { modes }).object.get());
    const old = await oldObjects(t, name, useBinaryProtocol);

    await root.set('score', LiveCounter.create(10));
    await root.set('raw', Buffer.from([0, 255]));
    await until(() => old.root.get('raw') !== undefined);
    assert.equal(old.root.get('score').value(), 10);
    assert.deepEqual(Buffer.from(old.root.get('raw')), Buffer.from([0, 255]));

    const [goals, inner] = [await old.objects.createCounter(3), await old.objects.createMap({ live: true })];
    const data = { team: 'red', none: '', zero: 0, list: [1, { a: null }], raw: Buffer.from([1, 2]), goals, inner };
    await old.root.set('game', await old.objects.createMap(data));
    await old.root.remove('raw');
    await old.root.get('score').increment(-0.5);
    await until(() => root.get('score').value() === 9.5);
    const game = { team: 'red', none: '', zero: 0, list: [1, { a: null }], raw: 'AQI=', goals: 3, inner: { live: true } };
    assert.deepEqual(root.compactJson(), { score: 9.5, game });

    await root.get('game').set('team', 'blue');
    await root.get('game').remove('zero');
    await Promise.all(Array.from({ length: 20 }, () => root.get('game').get('goals').increment(1)));
    await until(() => goals.value() === 23);
    const late = await oldObjects(t, name, useBinaryProtocol);
    for (const view of [old, late]) {
      const seen = view.root.get('game');
      assert.deepEqual([...view.root.keys()].sort(), ['game', 'score']);
      assert.deepEqual([seen.get('team'), seen.get('zero'), seen.get('none')], ['blue', undefined, '']);
      assert.deepEqual(seen.get('list'), [1, { a: null }]);
      assert.deepEqual(Buffer.from(seen.get('raw')), Buffer.from([1, 2]));
      assert.deepEqual([seen.get('goals').value(), seen.get('inner').get('live')], [23, true]);
      assert.equal(view.root.get('score').value(), 9.5);
    }
  });
}

test('as many are created as are asked for, though some of their nonces are short', async (t) => {
  const { objects } = await oldObjects(t, 'nonces', true);
  await Promise.all(Array.from({ length: 100 }, (_, count) => objects.createCounter(count)));
});
