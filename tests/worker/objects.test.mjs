/** LiveObjects with the published SDK and its plugin against the built worker: shared state, equal for everyone. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { LiveCounter, LiveMap, LiveObjects } from 'ably/liveobjects';
import { connected, demoKey, formats, rest } from './clients.mjs';
import { Network } from './network.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

const OBJECT = 19;
const OBJECT_SYNC = 20;
const HAS_OBJECTS = 1 << 7;
const OBJECT_MODES = (1 << 24) | (1 << 25);

/** @typedef {import('./clients.mjs').Scope} Scope */

/**
 * A client's view of a channel's objects.
 * @param {Scope} scope @param {{ clientOptions: object }} server @param {string} name
 * @param {import('ably').ClientOptions} [options]
 */
async function objects(scope, server, name, options) {
  const client = await connected(scope, server, { plugins: { LiveObjects }, ...options });
  const channel = client.channels.get(name, { modes: ['object_subscribe', 'object_publish'] });
  const root = /** @type {any} */ (await channel.object.get());
  return { client, channel, root };
}

/**
 * Resolves when a view shows this, whatever comes first.
 * @param {any} root @param {unknown} wanted
 */
async function shows(root, wanted) {
  const text = JSON.stringify(wanted);
  const isThere = () => JSON.stringify(sorted(root.compactJson())) === text;
  if (isThere()) return;
  await new Promise((resolve) => {
    const subscription = root.subscribe(() => {
      if (!isThere()) return;
      subscription.unsubscribe();
      resolve(undefined);
    });
  });
}

/** With keys in order: replicas hold them in the order in which they came. @param {any} value @returns {any} */
function sorted(value) {
  if (Array.isArray(value) || value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

/** @param {string} path @param {RequestInit & { json?: unknown }} [options] */
async function ask(path, { json, ...options } = {}) {
  const response = await fetch(`${runtime.url}${path}`, {
    headers: { authorization: `Basic ${btoa(demoKey)}`, 'content-type': 'application/json' },
    ...(json === undefined ? {} : { method: 'POST', body: JSON.stringify(json) }),
    ...options,
  });
  return { status: response.status, body: await response.json() };
}

for (const { format, useBinaryProtocol } of formats) {
  test(`what one client does, another sees, and a late joiner, and REST (${format})`, async (t) => {
    const name = `shared-${format}`;
    const ann = await objects(t, runtime, name, { useBinaryProtocol, clientId: 'ann' });
    const bob = await objects(t, runtime, name, { useBinaryProtocol, clientId: 'bob' });
    assert.deepEqual(ann.channel.modes, ['object_subscribe', 'object_publish']);
    assert.deepEqual([ann.root.compactJson(), bob.root.compactJson()], [{}, {}]);

    await ann.root.set('score', LiveCounter.create(10));
    await ann.root.set('game', LiveMap.create({
      team: 'red', half: 1.5, live: true, none: '', zero: 0, raw: Buffer.from([0, 255]), list: [1, { a: null }],
      players: LiveMap.create({ keeper: 'cy' }),
    }));
    await ann.root.get('score').increment(5);
    await bob.root.get('score').increment(0.1);
    await bob.root.get('score').increment(0.2);
    await ann.root.get('game').set('team', 'blue');
    await ann.root.get('game').remove('half');
    await bob.root.batch((/** @type {any} */ root) => {
      root.get('score').increment(-1);
      root.get('game').get('players').set('coach', 'di');
      root.set('closed', false);
    });
    const state = {
      closed: false,
      game: {
        list: [1, { a: null }], live: true, none: '', players: { coach: 'di', keeper: 'cy' }, raw: 'AP8=', team: 'blue',
        zero: 0,
      },
      score: 10 + 5 + 0.1 + 0.2 - 1,
    };
    await Promise.all([shows(ann.root, state), shows(bob.root, state)]);
    const late = await objects(t, runtime, name, { useBinaryProtocol });
    assert.deepEqual(sorted(late.root.compactJson()), state);

    const read = await ask(`/channels/${name}/object`);
    assert.deepEqual(read.status, 200);
    // REST gives JSON values as their text.
    assert.deepEqual(sorted(read.body), { ...state, game: { ...state.game, list: '[1,{"a":null}]' } });
  });

  test(`state outlives connections, memory and the process (${format})`, async (t) => {
    const own = await startRuntime();
    t.after(() => own.stop());
    const name = `kept-${format}`;
    const network = await Network.to(t, own);
    const ann = await objects(t, own, name, { useBinaryProtocol });
    const bob = await objects(t, network, name, { useBinaryProtocol });
    await ann.root.set('hits', LiveCounter.create());
    let hits = 0;
    const hit = async () => {
      await ann.root.get('hits').increment(1);
      await ann.root.set('last', ++hits);
    };
    await hit();
    for (const evict of [
      () => own.evict('Channel', `demo/${name}`),
      () => own.evict('Relay', 'demo/0'),
      async () => await own.evict('Relay', 'demo/0') + await own.evict('Channel', `demo/${name}`),
    ]) {
      assert.ok(await evict() > 0, 'something was evicted');
      await hit();
      await shows(bob.root, { hits, last: hits });
    }
    const dropped = bob.client.connection.once('disconnected');
    network.cut();
    await dropped;
    await hit();
    network.mend();
    await shows(bob.root, { hits, last: hits });

    const reconnected = ann.client.connection.once('connected');
    await own.kill();
    await own.start();
    await reconnected;
    await hit();
    await Promise.all([shows(ann.root, { hits, last: hits }), shows(bob.root, { hits, last: hits })]);
    const late = await objects(t, own, name, { useBinaryProtocol });
    assert.deepEqual(sorted(late.root.compactJson()), { hits, last: hits });
  });
}
