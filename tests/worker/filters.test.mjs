/** Filtered channels, with the published SDK in both formats, and without one. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected, formats, rest } from './clients.mjs';
import { EventReader } from './event_reader.mjs';
import { Network } from './network.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const secret = 'local-only';
const runtime = await startRuntime({
  apps: [{
    id: 'demo',
    keys: [
      { name: 'key1', secret, capability: { '*': ['*'] } },
      { name: 'every', secret, capability: { '[*]*': ['*'] } },
      { name: 'filters', secret, capability: { '[filter]open:*': ['subscribe'] } },
    ],
    namespaces: [],
  }],
});
after(() => runtime.stop());

/** @param {string} name */
const key = (name) => `demo.${name}:${secret}`;
/** @param {string} expression @param {string} channel @param {string} [params] */
const filtered = (expression, channel, params = '') => (
  `[filter=${Buffer.from(expression).toString('base64')}${params}]${channel}`);
/** @param {string} channel @param {any[]} messages */
const publish = (channel, ...messages) => rest(runtime).channels.get(channel).publish(messages);

const expression = 'name == `"filtered"` && headers.number == `26095`';
const six = [
  { name: 'filtered', data: 'no extras' },
  { name: 'filtered', data: 'first', extras: { headers: { number: 26095 } } },
  { name: 'filtered', data: 'other number', extras: { headers: { number: 1 } } },
  { name: 'other', data: 'other name', extras: { headers: { number: 26095 } } },
  { data: 'no name' },
  { name: 'filtered', data: 'second', extras: { headers: { number: 26095, more: 'x' } } },
];

for (const { format, useBinaryProtocol } of formats) {
  test(`${format}: a derived channel gets what passes its filter, beside the channel itself`, async (t) => {
    const name = `derived-${format}`;
    const client = await connected(t, runtime, { key: key('every'), useBinaryProtocol });
    const all = await Inbox.of(client.channels.get(name));
    const some = await Inbox.of(client.channels.getDerived(name, { filter: expression }));
    await publish(name, ...six);
    await publish(name, { name: 'filtered', data: 'third', extras: { headers: { number: 26095 } } });
    await all.until(7);
    await some.until(3);
    assert.deepEqual(all.data, [...six.map(({ data }) => data), 'third']);
    assert.deepEqual(some.data, ['first', 'second', 'third']);
    assert.deepEqual(some.messages[1].extras, { headers: { number: 26095, more: 'x' } });
    const sent = [1, 5, 6].map((index) => all.messages[index]);
    const parts = (/** @type {any} */ { id, serial, timestamp, connectionId }) => ({ id, serial, timestamp, connectionId });
    assert.deepEqual(some.messages.map(parts), sent.map(parts), 'each has the id of its place in its publish');
  });

  test(`${format}: a filter that is none fails its channel, and the connection goes on`, async (t) => {
    const client = await connected(t, runtime, { key: key('every'), useBinaryProtocol });
    for (const filter of [' ', 'name ==', `${'('.repeat(1_000)}`, `name == '${'x'.repeat(10_240)}'`, "data == 'x'",
      Array(200).fill('a').join('||')]) {
      await assert.rejects(client.channels.getDerived('bad', { filter }).attach(), { code: 40010, statusCode: 400 }, filter);
    }
    await assert.rejects(client.channels.get('[filter=%%%]bad').attach(), { code: 40010 });
    await client.channels.getDerived('bad', { filter: 'name' }).attach();
  });

  test(`${format}: a filtered channel can only be subscribed to`, async (t) => {
    const client = await connected(t, runtime, { key: key('every'), useBinaryProtocol, clientId: 'ann' });
    const channel = client.channels.getDerived('only', { filter: 'name' });
    await channel.attach();
    assert.deepEqual(channel.modes, ['subscribe']);
    await assert.rejects(channel.publish('a', 'b'), { code: 40000 });
    const raw = new RawClient(runtime, { key: key('every'), format: useBinaryProtocol ? 'msgpack' : 'json', v: '2', agent: 't' });
    t.after(() => raw.close());
    await raw.expect(action.CONNECTED);
    const enter = [{ action: 2, clientId: 'ann' }];
    raw.send({ action: action.PRESENCE, channel: filtered('name', 'only'), msgSerial: 0, presence: enter });
    assert.equal((await raw.expect(action.NACK)).error.code, 40000);
    const { channels } = rest(runtime, { key: key('every'), useBinaryProtocol });
    const view = channels.get(filtered('name', 'only'));
    await assert.rejects(view.history(), { code: 40000, statusCode: 400 });
    await assert.rejects(view.publish('a', 'b'), { code: 40000, statusCode: 400 });
    await assert.rejects(view.presence.get(), { code: 40000, statusCode: 400 });
    await assert.rejects(view.status(), { code: 40000, statusCode: 400 });
  });

  test(`${format}: headers are an object, of whatever else`, async () => {
    const { channels } = rest(runtime, { useBinaryProtocol });
    for (const headers of [[1], 'x', 1]) {
      await assert.rejects(channels.get('headers').publish({ name: 'a', extras: { headers } }), { code: 40032, statusCode: 400 });
    }
    await channels.get('headers').publish({ name: 'a', extras: { headers: { a: 'b', c: 1, d: true, e: null, f: [1], g: { h: 2 } } } });
  });
}

test('who may only filter may not read all, and the other way round', async (t) => {
  const filters = await connected(t, runtime, { key: key('filters') });
  await filters.channels.getDerived('open:a', { filter: 'name' }).attach();
  await assert.rejects(filters.channels.get('open:a').attach(), { code: 40160, statusCode: 401 });
  await assert.rejects(filters.channels.getDerived('shut', { filter: 'name' }).attach(), { code: 40160 });
  const plain = await connected(t, runtime, { key: key('key1') });
  await plain.channels.get('open:a').attach();
  await assert.rejects(plain.channels.getDerived('open:a', { filter: 'name' }).attach(), { code: 40160, statusCode: 401 });
});

test('a filtered channel misses nothing over a lost connection, and repeats nothing', async (t) => {
  const network = await Network.to(t, runtime);
  const client = await connected(t, network, { key: key('every') });
  const channel = client.channels.getDerived('resumed', { filter: 'headers.n' });
  const inbox = await Inbox.of(channel);
  const numbered = (/** @type {number} */ n) => ({ name: 'a', data: `${n}`, extras: n % 2 ? { headers: { n } } : {} });
  await publish('resumed', ...[1, 2, 3].map(numbered));
  await inbox.until(2);
  const dropped = client.connection.once('disconnected');
  network.cut();
  await dropped;
  await publish('resumed', ...[4, 5, 6, 7].map(numbered));
  const attached = channel.once('attached');
  network.mend();
  const change = /** @type {any} */ (await attached);
  assert.deepEqual([change.resumed, change.hasBacklog], [true, true]);
  await publish('resumed', numbered(9));
  await inbox.until(5);
  assert.deepEqual(inbox.data, ['1', '3', '5', '7', '9']);
});

for (const what of /** @type {const} */ (['Relay', 'Channel'])) {
  test(`after a ${what} lost its memory the filter holds`, async (t) => {
    const name = `evicted-${what}`;
    const clients = await Promise.all([
      connected(t, runtime, { key: key('every') }),
      connected(t, runtime, { key: key('every'), transportParams: { channel: name } }),
    ]);
    const inboxes = await Promise.all(clients.map((client) => (
      Inbox.of(client.channels.getDerived(name, { filter: "starts_with(name, 'g')" })))));
    for (const data of ['1', '2', '3']) {
      assert.ok(await runtime.evict(what, what === 'Relay' ? 'demo/0' : `demo/${name}`) > 0);
      await publish(name, { name: 'foul', data }, { name: 'goal', data });
    }
    for (const inbox of inboxes) {
      await inbox.until(3);
      assert.deepEqual(inbox.data, ['1', '2', '3']);
    }
  });
}

for (const path of ['/sse', '/event-stream']) {
  test(`a stream takes a filter in its query, and goes on by the last id (${path})`, async (t) => {
    const [one, other] = ['one', 'other'].map((name) => `stream-${path.slice(1)}-${name}`);
    const query = { key: key('every'), channels: `${one},${other}`, filter: "name == 'goal'" };
    const open = async (/** @type {object} */ options) => {
      const reader = await EventReader.open(runtime, query, { path, ...options });
      t.after(() => reader.leave());
      return reader;
    };
    const first = await (await open({})).attached();
    await publish(one, { name: 'foul', data: '1' }, { name: 'goal', data: '2' }, { name: 'foul', data: '3' });
    await publish(other, { name: 'goal', data: '4' });
    const got = [(await first.next()).data, (await first.next()).data];
    assert.deepEqual(got.map(({ data }) => data).toSorted(), ['2', '4']);
    assert.equal(got.find(({ data }) => data === '2').channel, filtered(query.filter, one));
    const last = first.lastId;
    first.leave();
    await publish(one, { name: 'goal', data: '5' }, { name: 'foul', data: '6' });
    const second = await open({ headers: { 'last-event-id': last } });
    assert.equal((await second.next()).data.data, '5');
  });
}

test('a stream whose filter is none, or that asks for what a filtered channel has not, is refused', async () => {
  const refused = async (/** @type {Record<string, string>} */ query) => {
    const reader = await EventReader.open(runtime, { key: key('every'), channels: 'a', ...query }, { path: '/event-stream' });
    return (await reader.refusal()).code;
  };
  assert.equal(await refused({ filter: 'name ==' }), 40010);
  assert.equal(await refused({ filter: '('.repeat(1_000) }), 40010);
  assert.equal(await refused({ filter: Array(200).fill('a').join('||') }), 40010);
  assert.equal(await refused({ filter: "data == 'x'" }), 40010);
  const others = [['rewind', '5'], ['delta', 'vcdiff'], ['occupancy', 'metrics'], ['modes', 'presence_subscribe']];
  for (const [name, value] of others) {
    assert.equal(await refused({ filter: 'name', [name]: value }), 40003, name);
  }
  assert.equal(await refused({ filter: 'name', key: key('key1') }), 40160);
});

for (const { format } of formats) {
  test(`${format}: a plain socket takes a filter in its URL`, async (t) => {
    const channel = `plain-${format}`;
    const query = { key: key('every'), channel, attach: 'auto', format: format.toLowerCase(), v: '2' };
    const socket = new RawClient(runtime, { ...query, filter: 'headers.n > `1`' });
    t.after(() => socket.close());
    await socket.expect(action.CONNECTED);
    assert.equal((await socket.expect(action.ATTACHED)).channel, filtered('headers.n > `1`', channel));
    const numbered = (/** @type {number} */ n) => ({ name: 'a', data: `${n}`, extras: { headers: { n } } });
    const messages = [1, 2, 3].map(numbered);
    socket.send({ action: action.MESSAGE, channel, msgSerial: 0, messages });
    const frames = [await socket.next(), await socket.next()];
    const came = frames.find((frame) => frame.action === action.MESSAGE);
    assert.deepEqual(came?.messages.map((/** @type {any} */ { data }) => data), ['2', '3']);
    assert.ok(frames.some((frame) => frame.action === action.ACK), 'one may publish on the channel itself');
    const bad = new RawClient(runtime, { ...query, filter: '(' });
    t.after(() => bad.close());
    await bad.expect(action.CONNECTED);
    assert.equal((await bad.expect(action.ERROR)).error.code, 40010);
  });
}

for (const { format } of formats) {
  test(`${format}: a plain socket with a filter needs the right to filter, and goes on where it was`, async (t) => {
    const channel = `resumed-${format}`;
    const open = async (/** @type {Record<string, string>} */ fields) => {
      const query = { key: key('every'), channel, attach: 'auto', format: format.toLowerCase(), v: '2', filter: "name == 'goal'" };
      const socket = new RawClient(runtime, { ...query, ...fields });
      t.after(() => socket.close());
      await socket.expect(action.CONNECTED);
      return socket;
    };
    assert.equal((await (await open({ key: key('key1') })).expect(action.ERROR)).error.code, 40160);
    const first = await open({});
    const { channelSerial } = await first.expect(action.ATTACHED);
    first.close();
    await publish(channel, { name: 'foul', data: '1' }, { name: 'goal', data: '2' });
    await publish(channel, { name: 'foul', data: '3' });
    await publish(channel, { name: 'goal', data: '4' });
    const again = await open({ channelSerial });
    await again.expect(action.ATTACHED);
    const came = [];
    while (came.length < 2) came.push(...(await again.expect(action.MESSAGE)).messages);
    assert.deepEqual(came.map(({ data }) => data), ['2', '4']);
  });
}

test('a thousand distinct filters are all that a relay has of one channel, and each gets its own', async (t) => {
  const channel = 'crowded';
  const numbered = (/** @type {number} */ index) => filtered(`headers.n == \`${index}\``, channel);
  /** @type {RawClient[]} */
  const sockets = [];
  const come = async (/** @type {string[]} */ names) => {
    const socket = new RawClient(runtime, { key: key('every') });
    t.after(() => socket.close());
    sockets.push(socket);
    await socket.expect(action.CONNECTED);
    for (const name of names) socket.send({ action: action.ATTACH, channel: name });
    const answers = [];
    for (const _ of names) answers.push(await socket.next());
    return answers.map((answer) => answer.error?.code ?? answer.action);
  };
  // A connection has a channel by four names at most.
  for (let first = 0; first < 1_000; first += 4) {
    const names = [0, 1, 2, 3].map((index) => numbered(first + index));
    assert.deepEqual(await come(names), names.map(() => action.ATTACHED));
  }
  assert.deepEqual(await come([numbered(1_000), numbered(7)]), [42910, action.ATTACHED]);
  await publish(channel, { name: 'a', data: 'seven', extras: { headers: { n: 7 } } });
  for (const socket of [sockets[1], sockets[250]]) {
    assert.equal((await socket.expect(action.MESSAGE)).channel, numbered(7));
  }
});
