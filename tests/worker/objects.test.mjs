/** LiveObjects with the published SDK and its plugin against the built worker: shared state, equal for everyone. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { LiveCounter, LiveMap, LiveObjects } from 'ably/liveobjects';
import { connected, demoKey, formats, rest } from './clients.mjs';
import { EventReader } from './event_reader.mjs';
import { Network } from './network.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';
import { StreamedObjects } from './streamed_objects.mjs';

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

    // The SDK's msgpack has integers of 64 bits at most.
    const large = useBinaryProtocol ? 2 ** 60 : 1e20;
    await ann.root.set('score', LiveCounter.create(10));
    await ann.root.set('large', large);
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
      large,
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

for (const { format, useBinaryProtocol } of formats) {
  test(`two who write at once, and one who joins meanwhile, see the same in the end (${format})`, async (t) => {
    const name = `busy-${format}`;
    const ann = await objects(t, runtime, name, { useBinaryProtocol });
    await ann.root.set('hits', LiveCounter.create());
    await ann.root.set('large', LiveMap.create({}));
    const bob = await objects(t, runtime, name, { useBinaryProtocol });
    const writes = [];
    for (let turn = 0; turn < 40; turn++) {
      for (const { root } of [ann, bob]) {
        writes.push(root.get('hits').increment(turn % 7));
        writes.push(root.get('large').set(`key${turn % 30}`, 'x'.repeat(4_000) + turn));
        if (turn % 9 === 5) writes.push(root.get('large').remove(`key${turn % 4}`));
        if (turn % 5 === 0) writes.push(root.set(`made${turn}`, LiveMap.create({ turn: LiveCounter.create(turn) })));
      }
    }
    const [late] = await Promise.all([objects(t, runtime, name, { useBinaryProtocol }), ...writes]);
    const { body: state } = await ask(`/channels/${name}/object`);
    const last = await objects(t, runtime, name, { useBinaryProtocol });
    await Promise.all([ann, bob, late, last].map(({ root }) => shows(root, sorted(state))));
  });

  test(`operations that cannot be done are refused, and the connection goes on (${format})`, async (t) => {
    const name = `refused-${format}`;
    const client = new RawClient(runtime, { key: demoKey, format: useBinaryProtocol ? 'msgpack' : 'json' });
    t.after(() => client.close());
    await client.expect(action.CONNECTED);
    client.send({ action: action.ATTACH, channel: name, flags: OBJECT_MODES });
    const attached = await client.expect(action.ATTACHED);
    assert.equal(attached.flags, OBJECT_MODES | HAS_OBJECTS);
    assert.deepEqual((await client.expect(OBJECT_SYNC)).state, [], 'a sync begins with nothing');
    assert.match((await client.expect(OBJECT_SYNC)).channelSerial, /^[\w-]+:$/, 'and ends, though there is nothing');

    let msgSerial = 0;
    const operate = (/** @type {unknown} */ state) => {
      client.send({ action: OBJECT, channel: name, msgSerial: msgSerial++, state });
    };
    const root = (/** @type {number} */ number, /** @type {object} */ payload) =>
      [{ operation: { action: number, objectId: 'root', ...payload } }];
    const counter = (/** @type {unknown} */ number, objectId = 'counter:x@1') =>
      [{ operation: { action: 4, objectId, counterInc: { number } } }];
    const wrong = [
      undefined, [], [{}], [{ operation: {} }], [{ object: {} }], {}, root(1, {}), root(99, { mapSet: {} }),
      root(2, { mapSet: { key: 'k', value: { number: 1 } } }), root(1, { mapSet: { key: 'k', value: {} } }),
      root(5, { objectDelete: {} }), root(0, { mapCreate: {} }), counter(1, 'root'), counter(1, 'nonsense'), counter('1'),
      counter({}), [...counter(1), ...counter(1, 'map:x@1')],
      [{ operation: { action: 6, objectId: 'map:x@1', mapClear: {} } }],
      [{ operation: {
        action: 3, objectId: 'counter:x@1',
        counterCreateWithObjectId: { initialValue: '{"count":1}', nonce: '0123456789abcdef' },
      } }],
    ];
    if (useBinaryProtocol) wrong.push(counter(NaN), counter(Infinity), root(1, { mapSet: { key: 'k', value: { number: -Infinity } } }));
    for (const state of wrong) {
      operate(state);
      const refused = await client.expect(action.NACK);
      assert.equal(refused.error.code, 92000, `${JSON.stringify(state)}: ${refused.error.message}`);
    }
    operate(root(1, { mapSet: { key: 'k'.repeat(65_537), value: { number: 1 } } }));
    assert.equal((await client.expect(action.NACK)).error.code, 40009);
    assert.deepEqual((await ask(`/channels/${name}/object`)).body, {}, 'nothing was done');
    operate(counter(1.5));
    const acknowledged = [await client.next(), await client.next()].find((frame) => frame.action === action.ACK);
    assert.equal(acknowledged?.res[0].serials.length, 1);
    const outcome = async () => {
      let frame;
      do frame = await client.next(); while (frame.action !== action.ACK && frame.action !== action.NACK);
      return frame.error?.code ?? 0;
    };
    for (const [one, tree] of [[root(1, { mapSet: { key: 'k', value: { number: 1 } } }), { k: 1 }], [root(6, { mapClear: {} }), {}]]) {
      operate(one);
      assert.deepEqual([await outcome(), (await ask(`/channels/${name}/object`)).body], [0, tree]);
    }
  });

  test(`references that lead nowhere or back are shown as what they are (${format})`, async (t) => {
    const name = `references-${format}`;
    const write = async (/** @type {object} */ json) => assert.equal((await ask(`/channels/${name}/objects`, { json })).status, 201);
    await write({ path: 'loop', mapCreate: { entries: { back: { data: { objectId: 'root' } }, n: { data: { number: 1 } } } } });
    await write({ path: '', mapSet: { key: 'nowhere', value: { objectId: 'counter:none@1' } } });
    await write({ path: 'loop.back.loop', mapSet: { key: 'n', value: { number: 2 } } });
    const { body } = await ask(`/channels/${name}/object`);
    assert.deepEqual([body.loop.back, body.loop.n, body.nowhere], [{ objectId: 'root' }, 2, undefined]);
    const { root } = await objects(t, runtime, name, { useBinaryProtocol });
    assert.deepEqual([root.get('loop').get('back').get('loop').get('n').value(), root.get('nowhere').value()], [2, undefined]);
  });

  test(`what is too much for a page comes in several (${format})`, async (t) => {
    const name = `pages-${format}`;
    const keys = ['a', 'bb', 'ccc'];
    for (const key of keys) {
      const value = { string: key[0].repeat(65_536 - key.length) };
      assert.equal((await ask(`/channels/${name}/objects`, { json: { path: '', mapSet: { key, value } } })).status, 201);
    }
    const client = new RawClient(runtime, { key: demoKey, format: useBinaryProtocol ? 'msgpack' : 'json' });
    t.after(() => client.close());
    await client.expect(action.CONNECTED);
    client.send({ action: action.ATTACH, channel: name, flags: OBJECT_MODES });
    await client.expect(action.ATTACHED);
    let page;
    do page = await client.expect(OBJECT_SYNC); while (!page.channelSerial.endsWith(':'));
    const pages = client.heard.filter((frame) => frame.action === OBJECT_SYNC && frame.state.length > 0);
    assert.ok(pages.length >= 3, `${pages.length} pages`);
    const late = await objects(t, runtime, name, { useBinaryProtocol });
    assert.deepEqual(keys.map((key) => late.root.get(key).value().length), keys.map((key) => 65_536 - key.length));
  });
}

test('clients without an SDK are given objects too, over a socket and over long polls', async (t) => {
  const asked = { key: demoKey, channel: 'bare', attach: 'auto', modes: 'object_subscribe' };
  const client = new RawClient(runtime, asked);
  t.after(() => client.close());
  const begun = await fetch(`${runtime.url}/comet/connect?${new URLSearchParams({ ...asked, stream: 'false' })}`);
  const polled = await begun.json();
  const key = encodeURIComponent(polled[0].connectionDetails.connectionKey);
  const poll = async (/** @type {(frame: any) => boolean} */ isWanted) => {
    while (!polled.some(isWanted)) polled.push(...await (await fetch(`${runtime.url}/comet/${key}/recv?key=${demoKey}`)).json());
    return polled.find(isWanted);
  };
  const isLast = (/** @type {any} */ { action, channelSerial }) => action === OBJECT_SYNC && channelSerial.endsWith(':');
  await poll(isLast);
  await client.expect(action.CONNECTED);
  await client.expect(action.ATTACHED);
  let page;
  do page = await client.expect(OBJECT_SYNC); while (!isLast(page));
  await ask('/channels/bare/objects', { json: { path: '', mapSet: { key: 'k', value: { number: 1 } } } });
  for (const { state } of [await client.expect(OBJECT), await poll(({ action }) => action === OBJECT)]) {
    assert.deepEqual(state[0].operation, { action: 1, objectId: 'root', mapSet: { key: 'k', value: { number: 1 } } });
  }
  await fetch(`${runtime.url}/comet/${key}/close?key=${demoKey}`);
});

// Of one channel its own object holds the stream, of several a relay does.
for (const { format, useBinaryProtocol } of formats) {
  for (const [what, others] of [['one channel', ''], ['several channels', ',elsewhere']]) {
    test(`a stream of ${what} holds what clients hold, and goes on behind evictions (${format})`, async (t) => {
      const name = `streamed-${others.length}-${format}`;
      const ann = await objects(t, runtime, name, { useBinaryProtocol });
      await ann.root.set('score', LiveCounter.create(10));
      const listen = async (/** @type {Record<string, string>} */ query = {}) => {
        const asked = { key: demoKey, v: '2', channels: `${name}${others}`, modes: 'subscribe,object_subscribe', ...query };
        const reader = await EventReader.open(runtime, asked);
        t.after(() => reader.leave());
        return reader;
      };
      const [view, first] = [new StreamedObjects(name), await listen()];
      await view.until(first, { score: 10 });
      await ann.root.set('game', LiveMap.create({ team: 'red', players: LiveMap.create({ keeper: 'cy' }) }));
      const channel = rest(runtime).channels.get(name);
      await channel.publish('news', 'half time');
      await ann.root.batch((/** @type {any} */ root) => {
        root.get('score').increment(0.5);
        root.get('game').remove('team');
      });
      const game = { players: { keeper: 'cy' } };
      assert.deepEqual(await view.until(first, { game, score: 10.5 }), ['half time'], 'in one order with messages');
      first.leave();

      // Fails as long as the stream is there.
      const evicted = [await runtime.evict('Relay', 'demo/0'), await runtime.evict('Channel', `demo/${name}`)];
      assert.deepEqual(evicted, [1, 1]);
      await ann.root.get('score').increment(1);
      await channel.publish('news', 'a goal');
      const { operations } = view;
      const back = await listen({ lastEvent: first.lastId });
      assert.deepEqual(await view.until(back, { game, score: 11.5 }), [], 'the operation came first');
      assert.equal(view.operations, operations + 1, 'it gets what it missed');
      assert.equal((await back.next()).data.data, 'a goal');
      await ann.root.set('closed', true);
      await view.until(back, { closed: true, game, score: 11.5 });
      const fresh = new StreamedObjects(name);
      await fresh.until(await listen(), view.tree());
      assert.deepEqual(sorted(ann.root.compactJson()), view.tree());
    });
  }
}

test('a stream that lost its place is told so, and then all that is there', async (t) => {
  await ask('/channels/lost/objects', { json: { path: '', mapSet: { key: 'k', value: { number: 1 } } } });
  const query = { key: demoKey, channels: 'lost', modes: 'object_subscribe', lastEvent: '00000000000001-000@other' };
  const reader = await EventReader.open(runtime, query, { path: '/event-stream' });
  t.after(() => reader.leave());
  const { event, data } = await reader.next();
  assert.deepEqual([event, data.error.code], ['gap', 90003]);
  await new StreamedObjects('lost').until(reader, { k: 1 });
});

test('a slow reader is given all objects of a large channel', async (t) => {
  const entries = Object.fromEntries(Array.from({ length: 90 }, (_, index) => [`k${index + 10}`, `${index}`.padEnd(60_000, 'x')]));
  for (const [key, string] of Object.entries(entries)) {
    await ask('/channels/large/objects', { json: { path: '', mapSet: { key, value: { string } } } });
  }
  const reader = await EventReader.open(runtime, { key: demoKey, channels: 'large', modes: 'object_subscribe' });
  t.after(() => reader.leave());
  reader.response.pause();
  // By then all pages were sent to who reads.
  const other = await EventReader.open(runtime, { key: demoKey, channels: 'large', modes: 'object_subscribe' });
  t.after(() => other.leave());
  await new StreamedObjects('large').until(other, entries);
  reader.response.resume();
  await new StreamedObjects('large').until(reader, entries);
});

test('a stream of objects needs the capability, and has no other modes', async (t) => {
  const own = { '*': ['object-subscribe'] };
  const token = async (/** @type {object} */ capability) =>
    (await rest(runtime).auth.requestToken({ capability: JSON.stringify(capability) })).token;
  const code = async (/** @type {string} */ accessToken, /** @type {Record<string, string>} */ query) => {
    const reader = await EventReader.open(runtime, { accessToken, channels: 'c', ...query });
    t.after(() => reader.leave());
    return reader.status === 200 ? 200 : (await reader.refusal()).code;
  };
  const [reader, nobody, all] = [await token(own), await token({ '*': ['object-publish', 'history'] }), await token({ '*': ['*'] })];
  assert.equal(await code(reader, { modes: 'object_subscribe' }), 200);
  assert.equal(await code(reader, { channels: 'a,[?modes=object_subscribe]b', modes: '' }), 40160, 'an empty one is the usual');
  assert.equal(await code(reader, { channels: '[?modes=object_subscribe]a' }), 200);
  for (const modes of ['subscribe', 'subscribe,object_subscribe']) assert.equal(await code(reader, { modes }), 40160, modes);
  assert.equal(await code(nobody, { modes: 'object_subscribe' }), 40160);
  for (const modes of ['object_publish', 'objects']) assert.equal(await code(all, { modes }), 40003, modes);
  assert.equal(await code(all, { modes: 'object_subscribe', filter: 'name == `"goal"`' }), 40003);
});

test('a key without the capability neither changes objects nor reads them', async (t) => {
  const own = await startRuntime({ apps: [{ id: 'demo', keys: [
    { name: 'key1', secret: 'local-only', capability: { '*': ['history', 'publish'] } },
  ] }] });
  t.after(() => own.stop());
  const client = new RawClient(own, { key: demoKey });
  t.after(() => client.close());
  await client.expect(action.CONNECTED);
  client.send({ action: action.ATTACH, channel: 'c', flags: OBJECT_MODES });
  assert.equal((await client.expect(action.ATTACHED)).flags ?? 0, 0, 'no mode, and no objects to wait for');
  const state = [{ operation: { action: 6, objectId: 'root', mapClear: {} } }];
  client.send({ action: OBJECT, channel: 'c', msgSerial: 0, state });
  assert.equal((await client.expect(action.NACK)).error.code, 40160);
  await assert.rejects(rest(own).request('get', '/channels/c/object', 6, {}, null, {}).then((page) => {
    if (!page.success) throw Object.assign(new Error(page.errorMessage), { code: page.errorCode });
  }), { code: 40160 });
});
