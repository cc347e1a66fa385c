/**
 * The published client of Socket.IO 4, unchanged, over each of its transports: what it emits is durable and in the one
 * order of its channel, others hear it, and who was away misses nothing.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { after } from 'node:test';
import { io } from 'socket.io-client';
import { Inbox, appsWithFewRights, connected, demoKey, rest, wholeHistory } from './clients.mjs';
import { Network } from './network.mjs';
import { startRuntime } from './runtime.mjs';

/** @typedef {import('socket.io-client').Socket} Socket */

const runtime = await startRuntime(appsWithFewRights);
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
  const socket = io(`${server.url}${namespace}`, { auth: { key: demoKey }, forceNew: true, reconnectionDelay: 50, ...options });
  scope.after(() => void socket.disconnect());
  return socket;
}

/** Once it is connected, and where it is to change its transport, once it did. @param {Socket} socket */
async function ready(socket) {
  if (!socket.connected) {
    await new Promise((resolve, reject) => void socket.once('connect', () => resolve(undefined)).once('connect_error', reject));
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
