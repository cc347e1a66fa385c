/** Event streams, for those who only listen. */
import assert from 'node:assert/strict';
import net from 'node:net';
import test, { after } from 'node:test';
import vcdiff from '@ably/vcdiff-decoder';
import { appsWithFewRights, connected, demoKey, rest } from './clients.mjs';
import { EventReader } from './event_reader.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(appsWithFewRights);
after(() => runtime.stop());

/** @typedef {import('node:test').TestContext} TestContext */

/**
 * @param {TestContext} t
 * @param {string} channels
 * @param {Record<string, string>} [query]
 * @param {Parameters<typeof EventReader.open>[2]} [options]
 */
async function listen(t, channels, query, options) {
  const reader = await EventReader.open(runtime, { key: demoKey, v: '2', channels, ...query }, options);
  t.after(() => reader.leave());
  return reader;
}

/** @param {string} channel @param {string[]} data */
const publish = (channel, ...data) => rest(runtime).channels.get(channel).publish(data.map((one) => ({ name: 'score', data: one })));

test('a stream gives what its channels say, each in its order', async (t) => {
  const reader = await (await listen(t, 'one,other')).attached();
  assert.equal(reader.response.headers['content-type'], 'text/event-stream');
  assert.equal(reader.response.headers['access-control-allow-origin'], '*');
  assert.equal(reader.response.headers['cache-control'], 'no-store, no-transform');
  assert.equal(reader.response.headers['x-accel-buffering'], 'no');
  for (const data of ['a', 'b', 'c']) await Promise.all([publish('one', data), publish('other', data)]);
  /** @type {any[]} */
  const messages = [];
  for (let count = 0; count < 6; count++) messages.push((await reader.next()).data);
  for (const channel of ['one', 'other']) {
    const own = messages.filter((message) => message.channel === channel);
    assert.deepEqual(own.map((message) => message.data), ['a', 'b', 'c']);
    const stored = (await rest(runtime).channels.get(channel).history({ direction: 'forwards' })).items;
    const parts = (/** @type {any} */ { id, name, data, serial, timestamp }) => ({ id, name, data, serial, timestamp });
    assert.deepEqual(own.map(parts), stored.map(parts));
  }
});

for (const path of ['/sse', '/event-stream']) {
  test(`who comes back with any event's id misses and repeats nothing (${path})`, async (t) => {
    const [one, other] = ['one', 'other'].map((name) => `back-${path.slice(1)}-${name}`);
    const channels = `${one},${other}`;
    const first = await (await listen(t, channels, {}, { path })).attached();
    const begin = first.lastId;
    await publish(one, '1', '2', '3');
    await publish(other, '4');
    await publish(other, '5', '6');
    await publish(one, '7');
    const events = [];
    for (let count = 0; count < 7; count++) events.push(await first.next());
    const told = (/** @type {any[]} */ list) => list.map(({ data }) => data.data).toSorted();
    assert.deepEqual(told(events), ['1', '2', '3', '4', '5', '6', '7']);
    first.leave();

    /** @type {string[]} */
    const live = [];
    for (const [index, id] of [begin, ...events.map((event) => event.id)].entries()) {
      const options = index % 2 ? { path } : { path, headers: { 'last-event-id': /** @type {string} */ (id) } };
      const back = await listen(t, channels, index % 2 ? { lastEvent: /** @type {string} */ (id) } : { lastEvent: begin }, options);
      /** @type {any[]} */
      const wanted = [...told(events.slice(index)), ...live];
      const found = [];
      while (found.length < wanted.length) found.push(await back.next());
      assert.deepEqual(told(found), wanted.toSorted(), `behind event ${index}, ${id}`);
      live.push(`live ${index}`);
      await publish(other, `live ${index}`);
      assert.equal((await back.next()).data.data, `live ${index}`, 'and nothing more came before');
      back.leave();
    }
  });
}

test('without envelopes an event is the data of its message, and nothing else passes for the stream\'s own', async (t) => {
  await publish('plain', 'two\nlines');
  await rest(runtime).channels.get('plain').publish('', { points: 15 });
  const reader = await listen(t, 'plain', { enveloped: 'false', rewind: '2' });
  const { event, data } = await reader.next();
  assert.deepEqual([event, data], ['message', 'two\nlines']);
  assert.deepEqual((await reader.next()).data, { points: 15 });
  const lines = await listen(t, 'plain', { enveloped: 'false', rewind: '2' }, { path: '/event-stream' });
  assert.equal(lines.response.headers['content-type'], 'application/x-ndjson');
  assert.deepEqual(await lines.next().then((line) => [line.event, line.data]), ['message', 'two\nlines']);
  for (const name of ['error', 'gap', 'open']) {
    await rest(runtime).channels.get('plain').publish(name, 'forged');
    assert.deepEqual(await reader.next().then((own) => [own.event, own.data]), ['message', 'forged']);
  }
});

test('channels are named in either parameter, with any separator', async (t) => {
  for (const parameter of ['channel', 'channels']) {
    const reader = await EventReader.open(runtime, { key: demoKey, separator: '|', [parameter]: 'fo,o|ba,r' });
    t.after(() => reader.leave());
    await reader.attached();
    for (const name of ['fo,o', 'ba,r']) {
      await publish(name, 'x');
      assert.equal((await reader.next()).data.channel, name);
    }
  }
});

test('what was missed comes behind the id that a stand-in for EventSource adds', async (t) => {
  const reader = await (await listen(t, 'polyfill')).attached();
  await publish('polyfill', 'a', 'b');
  assert.deepEqual(await reader.data(2), ['a', 'b']);
  reader.leave();
  await publish('polyfill', 'c');
  const lastEvent = /** @type {string} */ (reader.events[0].id);
  const back = await listen(t, 'polyfill', { lastEvent, lastEventId: reader.lastId });
  assert.deepEqual(await back.data(1), ['c']);
});

test('deltas come to those who ask, and apply', async (t) => {
  const reader = await (await listen(t, 'deltas', { delta: 'vcdiff' })).attached();
  const scores = [15, 30, 40].map((points) => JSON.stringify({ home: 'Courtside', away: 'The Others', points }));
  for (const score of scores) await publish('deltas', score);
  let base = new Uint8Array();
  const found = [];
  for (const _ of scores) {
    const { data } = await reader.next();
    const bytes = Buffer.from(data.data, data.extras?.delta ? 'base64' : 'utf8');
    base = new Uint8Array(data.extras?.delta ? vcdiff.decode(bytes, base) : bytes);
    found.push([Boolean(data.extras?.delta), Buffer.from(base).toString()]);
  }
  assert.deepEqual(found, scores.map((score, index) => [index > 0, score]));
});

test('who listens now gets what is ephemeral, in its place, and nobody gets it later', async (t) => {
  const reader = await (await listen(t, 'passing')).attached();
  await publish('passing', 'before');
  await rest(runtime).channels.get('passing').publish({ name: 'score', data: 'ephemeral', extras: { ephemeral: true } });
  await publish('passing', 'after');
  assert.deepEqual(await reader.data(3), ['before', 'ephemeral', 'after']);
  // Behind any of the three the stream goes on, also behind the one that is not kept.
  for (const [index, rest] of [['after'], ['after'], []].entries()) {
    const back = await listen(t, 'passing', { lastEvent: /** @type {string} */ (reader.events[index].id) });
    await publish('passing', `live ${index}`);
    const missed = ['live 0', 'live 1'].slice(0, index);
    assert.deepEqual(await back.data(rest.length + missed.length + 1), [...rest, ...missed, `live ${index}`]);
    back.leave();
  }
});

test('who asks for presence is told of it, and others are not', async (t) => {
  const ann = await connected(t, runtime, { clientId: 'ann' });
  const channel = ann.channels.get('lobby');
  await channel.presence.enter('early');
  const silent = await (await listen(t, 'lobby')).attached();
  const told = await listen(t, 'lobby', { modes: 'subscribe,presence_subscribe' });
  const there = await told.next();
  assert.deepEqual([there.event, there.data.action, there.data.clientId, there.data.data, there.data.channel], ['presence', 1, 'ann', 'early', 'lobby']);
  await channel.presence.update('late');
  await channel.publish('score', '15-0');
  await channel.presence.leave();
  const events = [await told.next(), await told.next(), await told.next()];
  assert.deepEqual(events.map(({ event, data }) => [event, data.action, data.data]), [['presence', 4, 'late'], ['message', 0, '15-0'], ['presence', 3, 'late']]);
  assert.deepEqual(await silent.data(1), ['15-0']);
  const back = await listen(t, 'lobby', { modes: 'presence_subscribe', lastEvent: /** @type {string} */ (events[0].id) });
  assert.deepEqual((await back.next()).data, events[2].data);
});

test('any version of the protocol is spoken to in the same way, as on a WebSocket', async (t) => {
  for (const v of ['1.2', '99', 'nonsense', '']) {
    assert.equal((await listen(t, 'versions', { v })).status, 200, v);
    const socket = new RawClient(runtime, { key: demoKey, v });
    t.after(() => socket.close());
    await socket.expect(action.CONNECTED);
  }
});

test('a stream goes on where another transport was, and the other way round', async (t) => {
  const socket = new RawClient(runtime, { key: demoKey, channel: 'moved', attach: 'auto' });
  await socket.expect(action.CONNECTED);
  await socket.expect(action.ATTACHED);
  await publish('moved', 'a');
  const { channelSerial } = await socket.expect(action.MESSAGE);
  socket.close();
  await publish('moved', 'b');
  const reader = await listen(t, 'moved', { lastEvent: channelSerial });
  assert.deepEqual(await reader.data(1), ['b']);
  reader.leave();
  await publish('moved', 'c');
  const again = new RawClient(runtime, { key: demoKey, channel: 'moved', attach: 'auto', channelSerial: reader.lastId });
  t.after(() => again.close());
  await again.expect(action.CONNECTED);
  await again.expect(action.ATTACHED);
  assert.deepEqual((await again.expect(action.MESSAGE)).messages.map((/** @type {any} */ { data }) => data), ['c']);
});

test('a stream outlives nothing, and its reader goes on all the same', async (t) => {
  const reader = await (await listen(t, 'persisted:news')).attached();
  await publish('persisted:news', 'before');
  assert.deepEqual(await reader.data(1), ['before']);
  await runtime.kill();
  await reader.end();
  await runtime.start();
  await publish('persisted:news', 'after');
  const back = await listen(t, 'persisted:news', {}, { headers: { 'last-event-id': reader.lastId } });
  assert.deepEqual(await back.data(1), ['after']);
});

test('a gap is told, and the stream goes on', async (t) => {
  await publish('gap', 'a');
  for (const lastEvent of ['99999999999999-000@other', '00000000000001-000@other:001']) {
    const reader = await listen(t, 'gap', { lastEvent });
    const { event, data } = await reader.next();
    assert.deepEqual([event, data.channel, data.error.code], ['gap', 'gap', 90003]);
    await publish('gap', 'b');
    assert.deepEqual(await reader.data(1), ['b']);
    reader.leave();
  }
});

test('a place in the future, or in another channel, is none to go on from', async (t) => {
  /** @param {string} channel */
  const place = async (channel) => {
    const { serials: [serial] } = await publish(channel, 'here');
    return /** @type {string} */ (serial).split(':')[0];
  };
  const [here, there] = [await place('here'), await place('there')];
  for (const lastEvent of [here.replace(/^\d+/, '99999999999999'), there]) {
    const reader = await listen(t, 'here', { lastEvent });
    const { event, data } = await reader.next();
    assert.deepEqual([event, data.channel, data.error.code], ['gap', 'here', 90003], lastEvent);
    reader.leave();
  }
});

test('what is wrong with a request is said at once, with a code', async (t) => {
  /** @param {Record<string, string>} query @param {object} [options] */
  const code = async (query, options) => {
    const reader = await listen(t, 'c', query, options);
    const { code, statusCode } = await reader.refusal();
    assert.equal(reader.status, statusCode);
    assert.equal(reader.response.headers['x-ably-errorcode'], `${code}`);
    return code;
  };
  for (const lastEvent of ['nonsense', '00000000000001-000@s,00000000000001-000@t', '00000000000001-000@s:1']) {
    assert.equal(await code({ lastEvent }), 40003, lastEvent);
    assert.equal(await code({}, { headers: { 'last-event-id': lastEvent } }), 40003, lastEvent);
  }
  assert.equal(await code({ channels: '' }), 40010);
  assert.equal(await code({ channels: 'a,:b' }), 40010);
  assert.equal(await code({ channels: Array.from({ length: 21 }, (_, index) => `c${index}`).join(',') }), 90010);
  assert.equal(await code({ rewind: 'soon' }), 40003);
  assert.equal(await code({ format: 'xml' }), 40003);
  assert.equal(await code({ enveloped: 'no' }), 40003);
  assert.equal(await code({ channel: 'other' }), 40003);
  assert.equal(await code({ delta: 'vcdiff', enveloped: 'false' }), 40003);
  assert.equal(await code({ rewnid: '10' }), 40002);
  assert.equal(await code({ key: 'demo.key1:wrong-one' }), 40101);
  assert.equal(await code({ key: '' }), 40106);
  assert.equal(await code({ key: 'demo.reader:local-only', channels: 'open:a,shut' }), 40160);
  assert.equal(await code({ key: 'demo.writer:local-only', channels: 'open:a' }), 40160);
  assert.equal(await code({}, { method: 'POST' }), 40500);
  const head = await listen(t, 'c', {}, { method: 'HEAD' });
  assert.deepEqual([head.status, head.response.headers['x-ably-errorcode'], head.response.headers.allow], [405, '40500', 'GET, OPTIONS']);
  assert.equal((await listen(t, 'c', {}, { method: 'OPTIONS' })).status, 204);
  assert.equal((await listen(t, 'open:a', { key: 'demo.reader:local-only' })).status, 200);
});

test('a stream ends with its token, and says so', async (t) => {
  const { token } = await rest(runtime).auth.requestToken({ ttl: 1_500 });
  const { key: _, ...query } = { key: '', accessToken: token, channels: 'brief', v: '2' };
  const reader = await EventReader.open(runtime, query);
  t.after(() => reader.leave());
  const { event, data } = await reader.next();
  assert.deepEqual([event, data.code, data.statusCode], ['error', 40142, 401]);
  await reader.end();
  const refused = await EventReader.open(runtime, query, { headers: { 'last-event-id': reader.lastId } });
  assert.deepEqual([refused.status, (await refused.refusal()).code], [401, 40142]);
});

test('HTTP/1.0 will do', async (t) => {
  const socket = net.connect(runtime.port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.write(`GET /sse?channels=old&enveloped=false&key=${demoKey} HTTP/1.0\r\nHost: localhost\r\n\r\n`);
  let text = '';
  const until = (/** @type {RegExp} */ wanted) => new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    const look = () => { if (wanted.test(text)) resolve(); };
    socket.setEncoding('utf8').on('data', look);
    look();
  });
  socket.setEncoding('utf8').on('data', (more) => { text += more; });
  await until(/\r\n\r\nid: \S+\n\n$/);
  assert.doesNotMatch(text, /transfer-encoding/i);
  await publish('old', 'news');
  await until(/event: message\ndata: news\n\n$/);
});

test('who leaves without a word is noticed, and nothing is left of them', async () => {
  // Of one channel its own object holds the stream, of several a relay does.
  const left = await Promise.all(Array.from({ length: 200 }, async (_, index) => {
    const channels = index % 2 ? 'left' : 'left,behind';
    return (await EventReader.open(runtime, { key: demoKey, channels })).attached();
  }));
  left.forEach((reader) => reader.leave());
  // Fails as long as an object has something to say to somebody.
  assert.deepEqual(await Promise.all([runtime.evict('Channel', 'demo/left'), runtime.evict('Relay', 'demo/0')]), [1, 1]);
});

test('a stream that is not read ends, and its reader goes on behind what it got', async (t) => {
  const reader = await (await listen(t, 'flood')).attached();
  reader.response.pause();
  // More than the kernel and the server keep for a reader.
  const channel = rest(runtime).channels.get('flood');
  for (let sent = 0; sent < 400; sent++) await channel.publish(`${sent}`, 'x'.repeat(60_000));
  reader.response.resume();
  await reader.end();
  const got = reader.events.filter(({ event }) => event === 'message').map(({ data }) => Number(data.name));
  assert.deepEqual(got, got.map((_, index) => index));
  assert.ok(got.length < 400, 'not everything was kept for it');
  const { event, data } = await (await listen(t, 'flood', { lastEvent: reader.lastId })).next();
  if (event === 'gap') assert.equal(data.error.code, 90004, 'too much to replay, and it is told');
  else assert.equal(data.name, `${got.length}`);
});
