/**
 * The published client of Socket.IO 4, unchanged, over each of its transports: what it emits is durable and in the one
 * order of its channel, others hear it, and who was away misses nothing.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { after } from 'node:test';
import { io } from 'socket.io-client';
import { Inbox, appsWithFewRights as apps, connected, demoKey, rest, wholeHistory } from './clients.mjs';
import { isKilling } from './kills.mjs';
import { Network } from './network.mjs';
import { startRuntime } from './runtime.mjs';

/** @typedef {import('socket.io-client').Socket} Socket */

const [demo] = apps.apps;
const runtime = await startRuntime({ apps: [{ ...demo, namespaces: [...demo.namespaces, { id: 'mutable', mutableMessages: true }] }] });
after(() => runtime.stop());

/** How a client goes: it polls, has a WebSocket, or begins by the one and goes on by the other. */
const ways = [
  { way: 'polling', transports: ['polling'] },
  { way: 'websocket', transports: ['websocket'] },
  { way: 'upgrade', transports: ['polling', 'websocket'] },
];

/**
 * A client that is closed with the test.
 * @param {import('node:test').TestContext} scope
 * @param {string} namespace
 * @param {Partial<import('socket.io-client').ManagerOptions & import('socket.io-client').SocketOptions>} [options]
 * @param {{ url: string }} [server]
 */
function socketTo(scope, namespace, options, server = runtime) {
  const defaults = { auth: { key: demoKey }, transports: ['polling', 'websocket'], forceNew: true, reconnectionDelay: 50 };
  const socket = io(`${server.url}${namespace}`, { ...defaults, ...options });
  scope.after(() => void socket.disconnect());
  return socket;
}

/** Once it is connected, and where it is to change its transport, once it did. @param {Socket} socket */
async function ready(socket) {
  if (!socket.connected) {
    await new Promise((resolve, reject) => {
      // One without data is the network's.
      socket.on('connect_error', (/** @type {any} */ error) => error.data && reject(error));
      socket.once('connect', () => resolve(undefined));
    });
  }
  const { engine } = socket.io;
  const wanted = /** @type {any} */ (socket.io.opts).transports.at(-1);
  while (engine.transport.name !== wanted) await new Promise((resolve) => void engine.once('upgrade', resolve));
  return socket;
}

/** The error that a client gets instead of its namespace. @param {Socket} socket @returns {Promise<any>} */
const refusal = (socket) => new Promise((resolve) => void socket.once('connect_error', resolve));

/** What comes of an event, each time its arguments but for the offset. @param {Socket} socket @param {string} event */
function heard(socket, event) {
  /** @type {any[][]} */
  const all = [];
  /** @type {(() => void)[]} */
  const waiting = [];
  socket.on(event, (/** @type {any[]} */ ...args) => {
    all.push(args.slice(0, -1));
    waiting.splice(0).forEach((go) => go());
  });
  const until = async (/** @type {number} */ count) => {
    while (all.length < count) await new Promise((resolve) => void waiting.push(() => resolve(undefined)));
    return all;
  };
  return { all, until };
}

for (const { way, transports } of ways) {
  test(`${way}: what is emitted is acknowledged with its serial and heard by all but who emitted it`, async (t) => {
    const name = `order-${way}`;
    const [a, b] = await Promise.all([0, 1].map(() => ready(socketTo(t, `/${name}`, { transports }))));
    const ably = await connected(t, runtime);
    const inbox = await Inbox.of(ably.channels.get(name));
    const [hears, own] = [heard(b, 'said'), heard(a, 'said')];
    const acknowledged = await Promise.all(Array.from({ length: 20 }, (_, index) => a.emitWithAck('said', `a ${index}`)));
    await hears.until(20);
    await inbox.until(20);
    const history = await wholeHistory(rest(runtime).channels.get(name));
    assert.deepEqual(acknowledged, history.map(({ serial }) => ({ error: null, serial })));
    assert.deepEqual(hears.all, history.map(({ data }) => [data]));
    assert.deepEqual(inbox.data, history.map(({ data }) => data));
    await ably.channels.get(name).publish('said', 'from ably');
    const sent = await new Promise((resolve) => void b.timeout(10_000).emit('said', 'from b', (/** @type {any[]} */ ...args) => resolve(args)));
    assert.deepEqual([sent[0], sent[1].error], [null, null]);
    assert.deepEqual(await own.until(2), [['from ably'], ['from b']], 'others only');
    await inbox.until(22);
    assert.equal(/** @type {any} */ (inbox.messages.at(-1)).connectionId, b.id, 'an id is the one that others see');
  });

  test(`${way}: all kinds of arguments come as they went`, async (t) => {
    const name = `data-${way}`;
    const [a, b] = await Promise.all([0, 1].map(() => ready(socketTo(t, `/${name}`, { transports }))));
    const ably = await connected(t, runtime);
    const inbox = await Inbox.of(ably.channels.get(name));
    const hears = heard(b, 'any');
    const bytes = Buffer.from([0, 10, 255]);
    const emitted = [
      [], ['text, "quoted"\n'], [5], [null], [{ a: [1, null, { b: 'ü' }] }], [[1, 2]], [1, 'two', { three: [] }],
      [bytes], [bytes, { nested: [bytes, 'x'] }], ['x'.repeat(60_000)],
    ];
    for (const args of emitted) assert.equal((await a.emitWithAck('any', ...args)).error, null);
    await hears.until(emitted.length);
    assert.deepEqual(hears.all, emitted);
    await inbox.until(emitted.length);
    assert.deepEqual(inbox.data.slice(0, 6), [undefined, 'text, "quoted"\n', 5, null, { a: [1, null, { b: 'ü' }] }, [1, 2]]);
    assert.deepEqual([inbox.data[6], inbox.data[7]], [[1, 'two', { three: [] }], bytes]);
    assert.deepEqual(/** @type {any} */ (inbox.messages[8]).extras.socketio.binary, [bytes.toString('base64'), bytes.toString('base64')]);

    const [reserved, unnamed] = [heard(b, 'message:disconnect'), heard(b, 'message')];
    const channel = ably.channels.get(name);
    await channel.publish('any', bytes);
    await channel.publish([{ name: 'any', data: { a: 1 } }, { name: 'disconnect', data: 'one' }, { data: 'unnamed' }]);
    await channel.publish({ name: 'any', data: [1, 2], extras: { socketio: { args: 2 } } });
    assert.deepEqual((await hears.until(emitted.length + 3)).slice(emitted.length), [[bytes], [{ a: 1 }], [1, 2]]);
    assert.deepEqual([await reserved.until(1), await unnamed.until(1)], [[['one']], [['unnamed']]]);
  });
}

/** @param {string} by @param {number} count */
const numbered = (by, count) => Array.from({ length: count }, (_, index) => `${by} ${index}`);

/**
 * Of polling clients a poll is under way nearly always, and an object is idle between two: it may take a few pings.
 * @param {'Channel' | 'Relay'} className @param {string} [name] @returns {Promise<number>}
 */
async function evictBetween(className, name, tries = 4) {
  try {
    return await runtime.evict(className, name);
  } catch (error) {
    if (tries === 1 || !/active references/.test(String(error))) throw error;
    return evictBetween(className, name, tries - 1);
  }
}

for (const { way, transports } of ways) {
  for (const loss of /** @type {const} */ (['cut', 'vanish'])) {
    test(`${way}: who drops off (${loss}) goes on where it was, with nothing lost and nothing twice`, async (t) => {
      const name = `recovery-${loss}-${way}`;
      const network = await Network.to(t, runtime);
      const socket = socketTo(t, `/${name}`, { transports }, { url: `http://127.0.0.1:${network.clientOptions.port}` });
      await ready(socket);
      assert.equal(socket.recovered, false);
      const hears = heard(socket, 'a');
      const channel = rest(runtime).channels.get(name);
      const { id } = socket;
      for (const round of [0, 1, 2]) {
        // In the first round it has heard nothing yet, and goes on from where it began.
        await socket.emitWithAck('a', `own ${round}`);
        const gone = once(/** @type {any} */ (socket), 'disconnect');
        network[loss]();
        await gone;
        await channel.publish(numbered(`many ${round}`, 3).map((data) => ({ name: 'a', data })));
        for (const data of numbered(`missed ${round}`, 5)) await channel.publish('a', data);
        network.mend();
        await ready(socket);
        assert.deepEqual([socket.recovered, socket.id], [true, id]);
        await channel.publish('a', `after ${round}`);
        await hears.until((round + 1) * 9);
        await socket.emitWithAck('a', `own again ${round}`);
      }
      const history = (await wholeHistory(channel)).map(({ data }) => data);
      assert.deepEqual(hears.all.map(([data]) => data), history.filter((data) => !data.startsWith('own')));
    });
  }

  test(`${way}: objects lose their memory, and what is emitted still comes once`, async (t) => {
    const name = `evicted-${way}`;
    const sockets = await Promise.all([0, 1].map(() => ready(socketTo(t, `/${name}`, { transports }))));
    const hears = sockets.map((socket) => heard(socket, 'a'));
    const channel = rest(runtime).channels.get(name);
    /** @type {unknown[]} */
    const drops = [];
    sockets.forEach((socket) => socket.on('disconnect', (why) => drops.push(why)));
    const gone = sockets.map((socket) => once(/** @type {any} */ (socket), 'disconnect'));
    const isHeld = transports.at(-1) === 'websocket';
    for (const [round, data] of numbered('round', isHeld ? 6 : 1).entries()) {
      assert.ok(await evictBetween('Relay') + await evictBetween('Channel', `demo/${name}`) > 0);
      await channel.publish('a', data);
      if (isHeld) await Promise.all(hears.map(({ until }) => until(round + 1)));
    }
    if (isHeld) {
      if (!isKilling) assert.deepEqual(drops, [], 'no client noticed');
      assert.equal((await sockets[0].emitWithAck('a', 'last')).error, null);
    } else {
      // A poll that waited is answered by nobody. Who says something learns that its connection is gone.
      for (const [index, socket] of sockets.entries()) {
        socket.emit('b');
        await gone[index];
        await ready(socket);
        assert.equal(socket.recovered, true);
      }
      assert.equal((await sockets[0].emitWithAck('a', 'last')).error, null);
    }
    const order = (await wholeHistory(channel)).filter((message) => message.name === 'a').map(({ data }) => data);
    await hears[1].until(order.length);
    assert.deepEqual(hears[1].all.map(([data]) => data), order);
  });
}

test('a client that was away for longer than is kept learns that it missed something, and misses nothing more', async (t) => {
  const network = await Network.to(t, runtime);
  const socket = socketTo(t, '/forgotten', { transports: ['websocket'] }, { url: `http://127.0.0.1:${network.clientOptions.port}` });
  await ready(socket);
  const channel = rest(runtime).channels.get('forgotten');
  const hears = heard(socket, 'a');
  await channel.publish('a', 'before');
  await hears.until(1);
  const offset = /** @type {any} */ (socket)._lastOffset;
  const drop = async (/** @type {string} */ lastOffset, /** @type {string} */ missed) => {
    const gone = once(/** @type {any} */ (socket), 'disconnect');
    network.cut();
    await gone;
    await channel.publish('a', missed);
    /** @type {any} */ (socket)._lastOffset = lastOffset;
    network.mend();
    await ready(socket);
    return socket.recovered;
  };
  // As a client that comes back from before the channel's log.
  assert.equal(await drop('from before', 'lost'), false);
  // The library keeps its offset until it hears an event.
  assert.equal(await drop(offset, 'missed'), true);
  await channel.publish('a', 'on');
  assert.deepEqual(await hears.until(3), [['before'], ['missed'], ['on']]);
});

test('in the middle of a publish a client goes on with the rest of it', async (t) => {
  const network = await Network.to(t, runtime);
  const socket = socketTo(t, '/middle', { transports: ['websocket'] }, { url: `http://127.0.0.1:${network.clientOptions.port}` });
  await ready(socket);
  const hears = heard(socket, 'a');
  /** @type {string[]} */
  const offsets = [];
  socket.on('a', (_, offset) => offsets.push(offset));
  const channel = rest(runtime).channels.get('middle');
  await channel.publish(numbered('one', 4).map((data) => ({ name: 'a', data })));
  await hears.until(4);
  assert.deepEqual(offsets.map((offset) => offset.split(':')[1]), ['000', '001', '002', undefined]);
  const gone = once(/** @type {any} */ (socket), 'disconnect');
  network.cut();
  await gone;
  /** @type {any} */ (socket)._lastOffset = offsets[1];
  await channel.publish('a', 'later');
  network.mend();
  await ready(socket);
  assert.equal(socket.recovered, true);
  await hears.until(7);
  assert.deepEqual(hears.all.slice(4), [['one 2'], ['one 3'], ['later']]);
});

test('namespaces of one connection are channels of one client', async (t) => {
  const token = (/** @type {object} */ params) => rest(runtime).auth.requestToken(params).then((details) => details.token);
  const [mine, other] = await Promise.all([token({ clientId: 'me' }), token({ clientId: 'you' })]);
  const first = socketTo(t, '/rooms:one', { auth: { token: mine } });
  await ready(first);
  const manager = first.io;
  const beside = (/** @type {string} */ namespace, /** @type {object} */ options) => {
    const socket = manager.socket(namespace, options);
    t.after(() => void socket.disconnect());
    return socket;
  };
  const second = beside('/rooms:two', { auth: { token: mine } });
  const root = beside('/', {});
  await Promise.all([ready(second), ready(root)]);
  const hears = [heard(first, 'a'), heard(second, 'a'), heard(root, 'a')];
  for (const [index, name] of ['rooms:one', 'rooms:two', '/'].entries()) {
    await rest(runtime).channels.get(name).publish('a', name);
    assert.deepEqual(await hears[index].until(1), [[name]]);
  }
  assert.equal((await second.emitWithAck('b', 1)).error, null);
  const [last] = await wholeHistory(rest(runtime).channels.get('rooms:two')).then((all) => all.slice(-1));
  assert.equal(last.clientId, 'me');

  const stranger = beside('/rooms:three', { auth: { token: other } });
  const error = await refusal(stranger);
  assert.deepEqual(error.data, { code: 40102, statusCode: 401, href: 'https://help.ably.io/error/40102' });
  second.disconnect();
  await rest(runtime).channels.get('rooms:two').publish('a', 'nobody hears');
  await rest(runtime).channels.get('rooms:one').publish('a', 'still here');
  await hears[0].until(2);
  assert.equal(hears[1].all.length, 1);
});

test('who may not come in learns why', async (t) => {
  const of = async (/** @type {object} */ auth, namespace = '/open:a') => {
    const error = await refusal(socketTo(t, namespace, { auth }));
    return [error.message, error.data.code, error.data.statusCode];
  };
  assert.deepEqual(await of({}), ['no authentication information provided', 40106, 401]);
  assert.deepEqual(await of({ key: 'demo.key1:wrong' }), ['invalid credentials', 40101, 401]);
  assert.deepEqual((await of({ token: 5 })).slice(1), [40101, 401]);
  assert.deepEqual((await of({ key: 'demo.reader:local-only' }, '/shut')).slice(1), [40160, 401]);
  assert.deepEqual((await of({ key: demoKey, params: { delta: 'vcdiff' } })).slice(1), [40003, 400]);
  assert.deepEqual((await of({ key: demoKey }, '/a%20b')).slice(0, 2), ["write this namespace as '/a b'", 40010]);
  const expired = (await rest(runtime).auth.requestToken({ ttl: 1 })).token;
  assert.equal((await of({ token: expired }))[1], 40142);
});

test('what may not be emitted is refused, with or without an acknowledgement', async (t) => {
  const reader = await ready(socketTo(t, '/open:b', { auth: { key: 'demo.reader:local-only' } }));
  const { error, serial } = await reader.emitWithAck('a', 1);
  assert.deepEqual([error.code, error.statusCode, serial], [40160, 401, null]);
  const told = once(/** @type {any} */ (reader), '[meta]error');
  reader.emit('a', 1);
  assert.equal((await told)[0].code, 40160);
  const writer = await ready(socketTo(t, '/open:b', { auth: { key: 'demo.writer:local-only' } }));
  const hears = heard(reader, 'a');
  assert.equal((await writer.emitWithAck('a', 'x'.repeat(70_000))).error.code, 40009);
  assert.equal((await writer.emitWithAck('a', Buffer.alloc(70_000))).error.code, 40009);
  const polling = await ready(socketTo(t, '/open:b', { auth: { key: 'demo.writer:local-only' }, transports: ['polling'] }));
  for (const socket of [writer, polling]) {
    const { id } = socket.io.engine;
    assert.equal((await socket.emitWithAck('a', 'x'.repeat(600_000))).error.code, 40009);
    assert.equal((await socket.emitWithAck('a', Buffer.alloc(600_000))).error.code, 40009);
    assert.equal(socket.io.engine.id, id, 'the connection goes on');
  }
  assert.equal((await writer.emitWithAck('[meta]a', 1)).error.code, 40030);
  assert.equal((await writer.emitWithAck('a', 'good')).error, null);
  assert.deepEqual(await hears.until(1), [['good']]);
});

test('credentials in the URL or a header are as good', async (t) => {
  const { token } = await rest(runtime).auth.requestToken({ clientId: 'ann' });
  const given = [
    { query: { token } }, { query: { key: demoKey } }, { extraHeaders: { authorization: `Bearer ${Buffer.from(token).toString('base64')}` } },
  ];
  for (const options of given) {
    const socket = await ready(socketTo(t, '/by-url', { auth: {}, ...options }));
    assert.equal((await socket.emitWithAck('a', 1)).error, null);
  }
});

test('parameters of the channel, and changes of messages', async (t) => {
  const name = 'mutable:socketio';
  const channel = (await connected(t, runtime)).channels.get(name);
  const { serials: [serial] } = await channel.publish('a', 'before');
  const socket = socketTo(t, `/${name}`, { auth: { key: demoKey, params: { rewind: '1', occupancy: 'metrics' } } });
  const [hears, changes, deletions] = [heard(socket, 'a'), heard(socket, '[meta]message.update'), heard(socket, '[meta]message.delete')];
  const counted = once(/** @type {any} */ (socket), '[meta]occupancy');
  await ready(socket);
  assert.deepEqual(await hears.until(1), [['before']]);
  assert.ok((await counted)[0].metrics.connections >= 1);
  await channel.updateMessage({ serial: String(serial), data: 'changed' });
  await channel.deleteMessage({ serial: String(serial) });
  const [[changed]] = await changes.until(1);
  assert.deepEqual([changed.serial, changed.name, changed.data, changed.action], [serial, 'a', 'changed', 1]);
  assert.equal((await deletions.until(1))[0][0].serial, serial);
});

test('a client whose token ends comes back with another, and misses nothing', async (t) => {
  const of = async (/** @type {number} */ ttl) => (await rest(runtime).auth.requestToken({ ttl, clientId: 'ann' })).token;
  const ttls = [2_000, 3_600_000];
  const auth = (/** @type {(auth: object) => void} */ give) => void of(ttls.shift() ?? 3_600_000).then((token) => give({ token }));
  const socket = await ready(socketTo(t, '/tokens', { transports: ['websocket'], auth }));
  const hears = heard(socket, 'a');
  await once(/** @type {any} */ (socket), 'disconnect');
  await rest(runtime).channels.get('tokens').publish('a', 'missed');
  await ready(socket);
  assert.equal(socket.recovered, true);
  assert.deepEqual(await hears.until(1), [['missed']]);
});

test('requests that are none get the number of their fault', async () => {
  const fetched = async (/** @type {string} */ query, /** @type {RequestInit} */ init = {}) => {
    const response = await fetch(`${runtime.url}/socket.io/?${query}`, init);
    const body = await response.text();
    return { status: response.status, body, json: () => JSON.parse(body) };
  };
  for (const [query, init, code] of /** @type {[string, RequestInit, number][]} */ ([
    ['EIO=4&transport=smoke', {}, 0],
    ['EIO=4&transport=polling&sid=demo.nobody!0-0-AAAAAAAAAAAAAAAAAAAAAA', {}, 1],
    ['EIO=4&transport=polling&sid=nobody.nobody!0-0-AAAAAAAAAAAAAAAAAAAAAA', {}, 1],
    ['EIO=4&transport=polling', { method: 'POST', body: '40' }, 2],
    ['EIO=4&transport=polling&j=1', {}, 3],
    ['EIO=3&transport=polling', {}, 5],
  ])) {
    const answer = await fetched(query, init);
    assert.deepEqual([answer.status, answer.json().code], [400, code], query);
  }
  const forbidden = await fetched('EIO=4&transport=polling&key=demo.key1:wrong');
  assert.deepEqual([forbidden.status, forbidden.json().code], [403, 4]);
  assert.equal((await fetched('EIO=4&transport=polling&app=nobody')).status, 403);

  const opened = await fetched('EIO=4&transport=polling');
  const { sid, ...handshake } = JSON.parse(opened.body.slice(1));
  assert.deepEqual(handshake, { upgrades: ['websocket'], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 1_000_000 });
  const of = `EIO=4&transport=polling&sid=${encodeURIComponent(sid)}`;
  const posted = await fetched(of, { method: 'POST', body: `40/raw,${JSON.stringify({ key: demoKey })}\x1e2hello` });
  assert.deepEqual([posted.status, posted.body], [200, 'ok']);
  const poll = await fetched(of);
  assert.match(poll.body, /^3hello(\x1e40\/raw,\{"sid":"[^"]+","pid":"[^"]+"\})?$/);
  const tooMuch = await fetched(of, { method: 'POST', body: 'x'.repeat(1_000_001) });
  assert.equal(tooMuch.status, 413);
  // A WebSocket that says junk is the last that is tried, and polls go on.
  const tried = () => {
    const socket = new WebSocket(`${runtime.url.replace('http', 'ws')}/socket.io/?${of.replace('polling', 'websocket')}`);
    socket.addEventListener('open', () => socket.send('junk'));
    return new Promise((resolve) => {
      socket.addEventListener('close', ({ code }) => resolve(code));
      socket.addEventListener('error', () => resolve('refused'));
    });
  };
  assert.equal(await tried(), 1000);
  assert.equal(await tried(), 'refused');
  assert.equal((await fetched(of, { method: 'POST', body: '2again' })).status, 200);
  assert.equal((await fetched(of)).body, '3again');
  // Two polls at once: nobody would know who has what.
  const polls = await Promise.all([fetched(of), fetched(of)]);
  assert.ok(polls.some(({ status }) => status === 400), JSON.stringify(polls));
  assert.deepEqual([(await fetched(of)).status], [400]);
});
