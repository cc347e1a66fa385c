/** Comet as it is on the wire, and what no SDK would send. */
import assert from 'node:assert/strict';
import net from 'node:net';
import test, { after } from 'node:test';
import { Inbox, changesOf, connected, demoKey, rest, wholeHistory } from './clients.mjs';
import { unlessEvicted } from './evictions.mjs';
import { RawClient, action } from './raw_client.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

/** @typedef {import('./raw_client.mjs').Frame} Frame */

const runtime = await startRuntime({
  apps: [
    ...demoApps.apps,
    { id: 'other', keys: [{ name: 'key1', secret: 'local-only' }, { name: 'brief', secret: 'local-only', revocableTokens: true }] },
  ],
});
after(() => runtime.stop());

const auth = { key: demoKey };

/** A connection, as curl would have it. */
class Comet {
  /** What was heard of it and not taken yet. @type {Frame[]} */
  heard = [];
  id = '';
  key = '';

  /** @param {Record<string, string>} [query] */
  static async connect(query) {
    const comet = new Comet();
    const answer = await ask('connect', { ...auth, stream: 'false', ...query });
    assert.equal(answer.status, 200, JSON.stringify(answer.frames));
    comet.heard = answer.frames;
    const { connectionId, connectionDetails } = await comet.expect(action.CONNECTED);
    [comet.id, comet.key] = [connectionId, connectionDetails.connectionKey];
    return comet;
  }

  /** @param {'recv' | 'close' | 'disconnect'} verb @param {Record<string, string>} [query] */
  ask(verb, query = auth) {
    return ask(`${this.key}/${verb}`, query);
  }

  /** @param {unknown} body @param {Record<string, string>} [query] */
  send(body, query = auth) {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return ask(`${this.key}/send`, query, { method: 'POST', body: text, headers: { 'content-type': 'application/json' } });
  }

  /**
   * The next frame that is no heartbeat, which must be of this action.
   * @param {number} wanted
   * @returns {Promise<Frame>}
   */
  async expect(wanted) {
    while (this.heard.length === 0) this.heard = (await this.ask('recv')).frames.filter(isNoHeartbeat);
    const frame = /** @type {Frame} */ (this.heard.shift());
    assert.equal(frame.action, wanted, JSON.stringify(frame));
    return frame;
  }

  /** @param {string} channel @param {object} [more] */
  async attach(channel, more) {
    assert.equal((await this.send([{ action: action.ATTACH, channel, ...more }])).status, 204);
    return this.expect(action.ATTACHED);
  }
}

const isNoHeartbeat = (/** @type {Frame} */ frame) => frame.action !== action.HEARTBEAT;

/** @param {string} path @param {Record<string, string>} query @param {RequestInit} [init] */
async function ask(path, query, init) {
  const response = await fetch(`${runtime.url}/comet/${path}?${new URLSearchParams(query)}`, init);
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, frames: /** @type {Frame[]} */ (text ? JSON.parse(text) : []) };
}

/** What a refusal says, in its body and in its headers alike. @param {Awaited<ReturnType<typeof ask>>} answer */
function refusal({ status, headers, frames }) {
  assert.equal(frames.length, 1);
  const [{ action: said, error }] = frames;
  assert.deepEqual([error.statusCode, String(error.code)], [status, headers.get('x-ably-errorcode')]);
  assert.equal(headers.get('access-control-allow-origin'), '*');
  return [said, error.code];
}

test('a poll ends with what there is, and what is sent is answered by the next', async () => {
  const comet = await Comet.connect();
  const attached = await comet.attach('wire');
  assert.equal(attached.channel, 'wire');
  const waiting = comet.ask('recv');
  assert.equal((await comet.send([{ action: action.MESSAGE, channel: 'wire', msgSerial: 0, messages: [{ data: 'x' }] }])).status, 204);
  const { status, headers, text, frames } = await waiting;
  assert.deepEqual([status, headers.get('content-type'), headers.get('cache-control')], [200, 'application/json', 'no-store']);
  assert.ok(text.endsWith(']\n'), 'a body is a line');
  while (frames.length < 2) frames.push(...(await comet.ask('recv')).frames.filter(isNoHeartbeat));
  const [ack, message] = frames.sort((one, other) => one.action - other.action);
  assert.deepEqual([ack.action, message.action, message.messages[0].data], [action.ACK, action.MESSAGE, 'x']);
  assert.deepEqual(ack.res[0].serials, [message.messages[0].serial]);
  assert.equal((await comet.ask('close')).status, 204);
});

/**
 * A connection whose first response goes on: what it gives, line by line.
 * @returns {Promise<{ comet: Comet, lines: AsyncIterator<Frame[]> }>}
 */
async function streaming() {
  const response = await fetch(`${runtime.url}/comet/connect?${new URLSearchParams(auth)}`);
  const lines = linesOf(/** @type {ReadableStream<Uint8Array>} */ (response.body));
  const comet = new Comet();
  comet.key = (await lines.next()).value[0].connectionDetails.connectionKey;
  return { comet, lines };
}

/** @param {ReadableStream<Uint8Array>} body */
async function* linesOf(body) {
  let rest = '';
  for await (const chunk of body) {
    rest += Buffer.from(chunk).toString();
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    yield* lines.map((line) => JSON.parse(line));
  }
  assert.equal(rest, '');
}

test('a stream gives line after line, for as long as it is read', async () => {
  const { comet, lines } = await streaming();
  await comet.send([{ action: action.ATTACH, channel: 'stream' }]);
  assert.equal((await lines.next()).value[0].action, action.ATTACHED);
  await rest(runtime).channels.get('stream').publish('a', 'b');
  assert.equal((await lines.next()).value[0].messages[0].data, 'b');
  await comet.ask('close');
  assert.equal((await lines.next()).value[0].action, action.CLOSED);
  assert.ok((await lines.next()).done, 'and then it ends');
});

test('many frames in one body are taken in their order, each by itself', async () => {
  const comet = await Comet.connect();
  const sent = Array.from({ length: 40 }, (_, msgSerial) => ({ action: action.MESSAGE, channel: 'many', msgSerial, messages: [{ data: `${msgSerial}` }] }));
  /** @type {any} */ (sent[7]).messages = 'what';
  await comet.send(sent);
  const outcomes = [];
  while (outcomes.length < 40) {
    comet.heard.push(...(await comet.ask('recv')).frames);
    for (const frame of comet.heard.splice(0)) {
      for (let index = 0; index < (frame.count ?? 0); index++) outcomes.push([frame.action, frame.error?.code]);
    }
  }
  const expected = sent.map((_, index) => (index === 7 ? [action.NACK, 40001] : [action.ACK, undefined]));
  assert.deepEqual(outcomes, expected);
  const history = await wholeHistory(rest(runtime).channels.get('many'));
  assert.deepEqual(history.map(({ data }) => Number(data)), [...Array(40).keys()].filter((index) => index !== 7));
});

test('of two that poll with one key the later goes on, and the other is told so', async () => {
  const comet = await Comet.connect();
  await comet.attach('two');
  const polls = [comet.ask('recv'), comet.ask('recv')];
  const superseded = await Promise.race(polls);
  assert.deepEqual(superseded.frames.map(({ action: said, error }) => [said, error?.code]), [[action.DISCONNECTED, 80016]]);
  await rest(runtime).channels.get('two').publish('a', 'b');
  const both = await Promise.all(polls);
  assert.equal(both.find((poll) => poll !== superseded)?.frames[0].messages[0].data, 'b');
});

test('two streams on one connection end each other: nobody knows which of them has what', async () => {
  const { comet, lines } = await streaming();
  const second = await comet.ask('recv');
  assert.deepEqual(second.frames.map(({ action: said, error }) => [said, error?.code]), [[action.DISCONNECTED, 80016]]);
  const [first] = (await lines.next()).value;
  assert.deepEqual([first.action, first.error.code], [action.DISCONNECTED, 80016]);
  const heir = await Comet.connect({ resume: comet.key });
  assert.notEqual(heir.key, comet.key);
  assert.deepEqual(refusal(await comet.ask('recv')), [action.DISCONNECTED, 80003]);
});

const holders = /** @type {[string, Record<string, string>][]} */ ([['relay', {}], ['channel\'s own object', { channel: 'moves: ü' }]]);
for (const [holder, query] of holders) test(`a connection of a ${holder} goes on from a WebSocket to Comet and back`, async () => {
  const channel = query.channel ?? 'moves';
  const socket = new RawClient(runtime, { ...auth, ...query });
  const { connectionId, connectionDetails } = await socket.expect(action.CONNECTED);
  socket.send({ action: action.ATTACH, channel });
  const { channelSerial } = await socket.expect(action.ATTACHED);
  await rest(runtime).channels.get(channel).publish('a', 'one');
  await socket.expect(action.MESSAGE);

  // The WebSocket is still there: it is told that the connection goes on elsewhere.
  const comet = await Comet.connect({ ...query, resume: connectionDetails.connectionKey });
  assert.equal(comet.id, connectionId);
  const superseded = await socket.expect(action.DISCONNECTED);
  assert.equal(superseded.error.code, 80016);
  await comet.attach(channel, { channelSerial });
  assert.equal((await comet.expect(action.MESSAGE)).messages[0].data, 'one');

  const poll = comet.ask('recv');
  const back = new RawClient(runtime, { ...auth, ...query, resume: comet.key });
  const again = await back.expect(action.CONNECTED);
  assert.equal(again.connectionId, connectionId);
  assert.deepEqual((await poll).frames.map(({ action: said, error }) => [said, error?.code]), [[action.DISCONNECTED, 80016]]);
  assert.deepEqual(refusal(await comet.send([])), [action.DISCONNECTED, 80003]);
  // A WebSocket's connection is not spoken for over HTTP.
  comet.key = again.connectionDetails.connectionKey;
  assert.deepEqual(refusal(await comet.ask('recv')), [action.ERROR, 40006]);
  assert.deepEqual(refusal(await comet.ask('close')), [action.ERROR, 40006]);
  back.send({ action: action.HEARTBEAT, id: 'alive' });
  assert.equal((await back.expect(action.HEARTBEAT)).id, 'alive');
  back.close();
});

test('a key leads to the channel that holds its connection, and there it has to be good', async () => {
  const key = 'other.key1:local-only';
  const isDirect = (/** @type {string} */ text) => text.includes('!65535-');
  const socket = new RawClient(runtime, { key, channel: 'led: ü' });
  const { connectionId: id, connectionDetails: { connectionKey } } = await socket.expect(action.CONNECTED);
  socket.send({ action: action.ATTACH, channel: 'led: ü' });
  const { channelSerial } = await socket.expect(action.ATTACHED);
  await rest(runtime, { key }).channels.get('led: ü').publish('a', 'missed');
  assert.ok(isDirect(connectionKey));

  const [, proof, leads] = connectionKey.split('!');
  const elsewhere = connectionKey.replace(leads, Buffer.from('elsewhere').toString('base64url'));
  const { token } = await rest(runtime, { key: 'other.brief:local-only' }).auth.requestToken();
  for (const [query, direct] of /** @type {[Record<string, string>, boolean][]} */ ([
    [{ key, resume: connectionKey.replace(proof, proof.replace('-0-', '-1-')) }, true],
    // To another channel's object, to another app's; and of who is to be sent away only a relay hears.
    [{ key, resume: elsewhere }, true],
    [{ resume: connectionKey }, true],
    [{ key: '', accessToken: token, resume: connectionKey }, false],
  ])) {
    const answer = await ask('connect', { ...auth, stream: 'false', ...query });
    const [{ action: said, connectionId, connectionDetails, error }] = answer.frames;
    assert.deepEqual([said, error?.code, isDirect(connectionDetails.connectionKey)], [action.CONNECTED, 80018, direct]);
    assert.notEqual(connectionId, id);
  }

  const comet = await Comet.connect({ key, resume: connectionKey });
  assert.deepEqual([comet.id, isDirect(comet.key)], [id, true]);
  assert.equal((await comet.send([{ action: action.ATTACH, channel: 'led: ü', channelSerial }], { key })).status, 204);
  const frames = [];
  while (frames.length < 2) frames.push(...(await comet.ask('recv', { key })).frames.filter(isNoHeartbeat));
  assert.deepEqual(frames.map(({ action: said, messages }) => [said, messages?.[0].data]), [
    [action.ATTACHED, undefined], [action.MESSAGE, 'missed'],
  ]);
  socket.close();
});

test('an object that forgot a connection between two polls brings its client back', async () => {
  const comet = await Comet.connect();
  const { channelSerial } = await comet.attach('forgotten');
  assert.ok(await runtime.evict('Relay', 'demo/0') > 0);
  await rest(runtime).channels.get('forgotten').publish('a', 'missed');
  assert.deepEqual(refusal(await comet.ask('recv')), [action.DISCONNECTED, 80003]);
  assert.deepEqual(refusal(await comet.send([])), [action.DISCONNECTED, 80003]);
  const heir = await Comet.connect({ resume: comet.key });
  assert.equal(heir.id, comet.id);
  await heir.attach('forgotten', { channelSerial });
  assert.equal((await heir.expect(action.MESSAGE)).messages[0].data, 'missed');
});

test('sockets beside a poll sleep through the loss of memory', async (t) => {
  const comet = await Comet.connect();
  await comet.attach('beside');
  const client = await connected(t, runtime);
  const inbox = await Inbox.of(client.channels.get('beside'));
  await rest(runtime).channels.get('beside').publish('a', 'one');
  await inbox.until('one');
  const drops = changesOf(client, 'disconnected');
  await comet.expect(action.MESSAGE);
  assert.ok(await runtime.evict('Relay', 'demo/0') > 0);
  await rest(runtime).channels.get('beside').publish('a', 'two');
  await inbox.until('two');
  assert.deepEqual(inbox.data, ['one', 'two']);
  assert.deepEqual(drops, []);
});

test('after the end of a connection its key is good for nothing', async () => {
  const closed = await Comet.connect();
  const waiting = closed.ask('recv');
  assert.equal((await closed.ask('close')).status, 204);
  assert.deepEqual((await waiting).frames.map(({ action: said }) => said), [action.CLOSED]);
  assert.deepEqual(refusal(await closed.send([{ action: action.MESSAGE, channel: 'c', msgSerial: 0, messages: [{ data: 'late' }] }])), [action.ERROR, 80017]);
  assert.deepEqual(refusal(await closed.ask('recv')), [action.ERROR, 80017]);
  assert.deepEqual(refusal(await closed.ask('close')), [action.ERROR, 80017]);

  const parted = await Comet.connect();
  assert.equal((await parted.ask('disconnect')).status, 204);
  assert.deepEqual(refusal(await parted.send([])), [action.DISCONNECTED, 80003]);
  assert.equal((await Comet.connect({ resume: parted.key })).id, parted.id);
});

test('what ends a connection between two polls is told by the next', async () => {
  const comet = await Comet.connect();
  assert.equal((await comet.send([{ channel: 'no action' }])).status, 204);
  const { error } = await comet.expect(action.ERROR);
  assert.equal(error.code, 40001);
  assert.deepEqual(refusal(await comet.ask('recv')), [action.ERROR, 80017]);
});

test('a key is good with the credentials of its client, and at no other door', async () => {
  const tokenOf = async (/** @type {string} */ clientId) => {
    const { token } = await rest(runtime, { key: demoKey }).auth.requestToken({ clientId });
    return { access_token: token };
  };
  // As SDKs do, it says who it is only when it connects.
  const ann = await Comet.connect({ clientId: 'ann' });
  await ann.attach('of-ann');
  const mallory = await tokenOf('mallory');
  for (const refused of [
    await ann.ask('recv', mallory), await ann.ask('close', mallory), await ann.ask('disconnect', mallory),
    await ann.send([{ action: action.CLOSE }], mallory),
  ]) assert.deepEqual(refusal(refused), [action.DISCONNECTED, 80003]);
  const sid = `${runtime.url}/socket.io/?EIO=4&transport=polling&sid=demo.${ann.key}`;
  for (const init of [{}, { method: 'POST', body: JSON.stringify({ action: action.CLOSE }) }]) {
    const { status, headers } = await fetch(sid, init);
    assert.deepEqual([status, headers.get('x-ably-errorcode')], [400, '40006']);
  }
  assert.equal((await ann.send([{ action: action.ATTACH, channel: 'of-ann-too' }], await tokenOf('ann'))).status, 204);
  assert.equal((await ann.expect(action.ATTACHED)).channel, 'of-ann-too');
});

test('every bad request has a code and harms nobody', async () => {
  const comet = await Comet.connect();
  const somebody = '0123456789ab!0-0-0123456789012345678901';
  /** @type {[Promise<Awaited<ReturnType<typeof ask>>>, number, number][]} */
  const cases = [
    [ask('connect', {}), action.ERROR, 40106],
    [ask('connect', { key: 'demo.key1:wrong-secret' }), action.ERROR, 40101],
    [ask('connect', { ...auth, access_token: 'both' }), action.ERROR, 40102],
    [ask('connect', { ...auth, format: 'msgpack' }), action.ERROR, 40003],
    [ask('connect', { ...auth, format: 'yaml' }), action.ERROR, 40003],
    [ask('connect', auth, { method: 'POST' }), action.ERROR, 40500],
    [ask('nowhere', auth), action.ERROR, 40400],
    [ask(`${somebody}/recv`, auth), action.DISCONNECTED, 80003],
    [ask('no-key-at-all/recv', auth), action.DISCONNECTED, 80003],
    [ask(`${somebody}/recv/more`, auth), action.ERROR, 40400],
    [ask(`${somebody}/recv`, {}), action.ERROR, 40106],
    [comet.ask('recv', { key: 'demo.key1:wrong-secret' }), action.ERROR, 40101],
    [comet.ask('recv', { key: 'other.key1:local-only' }), action.DISCONNECTED, 80003],
    [comet.send([{ action: action.CLOSE }], { key: 'other.key1:local-only' }), action.DISCONNECTED, 80003],
    [comet.ask('close', { key: 'other.key1:local-only' }), action.DISCONNECTED, 80003],
    [comet.send('no JSON'), action.ERROR, 40001],
    [comet.send('{"action":7}'), action.ERROR, 40001],
    [comet.send('[{"action":7]'), action.ERROR, 40001],
    [comet.send(`[${' '.repeat(8 * 1024 * 1024)}]`), action.ERROR, 40009],
    [ask(`${comet.key.slice(0, -1)}${comet.key.endsWith('A') ? 'B' : 'A'}/close`, auth), action.DISCONNECTED, 80003],
  ];
  const answers = await Promise.all(cases.map(([answer]) => answer));
  assert.deepEqual(answers.map(refusal), cases.map(([, said, code]) => [said, code]));
  assert.equal((await comet.attach('harmless')).channel, 'harmless');
});

test('HEAD and OPTIONS leave nothing behind', async () => {
  const comet = await Comet.connect();
  for (const path of ['connect', `${comet.key}/recv`, `${comet.key}/send`, `${comet.key}/close`]) {
    const head = await fetch(`${runtime.url}/comet/${path}?${new URLSearchParams(auth)}`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('x-ably-errorcode')], [405, '40500']);
    const options = await fetch(`${runtime.url}/comet/${path}`, { method: 'OPTIONS', headers: { 'access-control-request-method': 'POST' } });
    assert.equal(options.status, 204);
    assert.match(String(options.headers.get('access-control-allow-methods')), /POST/);
  }
  assert.equal((await comet.attach('still-here')).channel, 'still-here');
});

test('HTTP/1.0 is answered too', async () => {
  const socket = net.connect(runtime.port, '127.0.0.1');
  socket.end(`GET /comet/connect?stream=false&${new URLSearchParams(auth)} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n`);
  let text = '';
  for await (const chunk of socket) text += chunk;
  assert.match(text, /^HTTP\/1\.[01] 200/);
  assert.equal(JSON.parse(text.slice(text.indexOf('['), text.lastIndexOf(']') + 1))[0].action, action.CONNECTED);
});

test('who reads too slowly is sent back to the log, behind what it got', unlessEvicted('with the relay\'s memory more is gone than a replay may have'), async () => {
  let comet = await Comet.connect();
  let { channelSerial } = await comet.attach('slow');
  const { id } = comet;
  const data = Array.from({ length: 160 }, (_, index) => `${index} ${'x'.repeat(60_000)}`);
  for (const one of data) await rest(runtime).channels.get('slow').publish('a', one);
  const got = [];
  let resumes = 0;
  while (got.length < data.length) {
    const frame = comet.heard.shift();
    if (!frame) {
      comet.heard = (await comet.ask('recv')).frames.filter(isNoHeartbeat);
    } else if (frame.action === action.DISCONNECTED) {
      assert.equal(frame.error.code, 80003);
      comet = await Comet.connect({ resume: comet.key });
      await comet.attach('slow', { channelSerial });
      resumes++;
    } else {
      assert.equal(frame.action, action.MESSAGE);
      got.push(...frame.messages.map((/** @type {any} */ message) => message.data));
      ({ channelSerial } = frame);
    }
  }
  assert.deepEqual([got, comet.id], [data, id]);
  assert.ok(resumes > 0, 'not all of it waited');
});

test('two hundred who leave without a word are gone, however they read', async (t) => {
  const watcher = (await connected(t, runtime)).channels.get('leavers');
  const [here, came] = [new Set(), new Set()];
  const gone = new Promise((resolve) => void watcher.presence.subscribe(({ action: did, clientId }) => {
    if (did === 'leave') here.delete(clientId);
    else [here, came].forEach((names) => names.add(clientId));
    if (here.size === 0 && came.size === 200) resolve(undefined);
  }));
  await watcher.attach();
  const names = Array.from({ length: 200 }, (_, index) => `leaver ${index}`);
  for (let at = 0; at < names.length; at += 20) await Promise.all(names.slice(at, at + 20).map(leaveSilently));
  await gone;
  assert.deepEqual(await watcher.presence.get(), []);
});

/**
 * Enters and is gone: while it polls, while it streams, between two polls.
 * @param {string} clientId
 * @param {number} index
 */
async function leaveSilently(clientId, index) {
  const control = new AbortController();
  const query = { ...auth, clientId, remainPresentFor: '1000', stream: String(index % 3 === 0) };
  const response = await fetch(`${runtime.url}/comet/connect?${new URLSearchParams(query)}`, control);
  const [{ connectionDetails }] = (await linesOf(/** @type {ReadableStream<Uint8Array>} */ (response.body)).next()).value;
  const comet = new Comet();
  comet.key = connectionDetails.connectionKey;
  const enter = { action: 14, channel: 'leavers', msgSerial: 0, presence: [{ action: 2 }] };
  await comet.send([{ action: action.ATTACH, channel: 'leavers' }, enter]);
  if (index % 3 === 1) await comet.ask('recv');
  control.abort();
}

test('a body has so many frames, and what they bring about does not pile up', async () => {
  const comet = await Comet.connect();
  const body = (/** @type {number} */ count) => `[${'{"action":10},'.repeat(count - 1)}{"action":10}]`;
  assert.deepEqual(refusal(await comet.send(body(10_001))), [action.ERROR, 40009]);
  let bodies = 0;
  while ((await comet.send(body(10_000))).status === 204) assert.ok(++bodies < 10);
  assert.ok(bodies > 0);
  // More was answered than waits for a reader: it is told to come back, and the others are as they were.
  while (comet.heard.at(-1)?.action !== action.DISCONNECTED) comet.heard = (await comet.ask('recv')).frames;
  const other = await Comet.connect();
  await other.attach('piled');
});

/**
 * Begins to send a body, and then says no more. Gives what is answered.
 * @param {string} path @param {Record<string, string>} headers
 * @returns {Promise<string>}
 */
function stall(path, headers = {}) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(runtime.port, '127.0.0.1');
    const lines = Object.entries({ host: '127.0.0.1', 'content-length': '1000000', ...headers });
    socket.write(`POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${'x'.repeat(1_000)}`);
    let text = '';
    socket.setEncoding('utf8').on('error', reject).on('data', (data) => {
      text += data;
      if (!/\r\n\r\n[^]+/.test(text)) return;
      socket.destroy();
      resolve(text);
    });
  });
}

test('a body that does not go on is given up, whoever sends it', { timeout: 60_000 }, async () => {
  const comet = await Comet.connect();
  const basic = (/** @type {string} */ key) => ({ authorization: `Basic ${btoa(key)}` });
  const [known, unknown, own, none] = await Promise.all([
    stall('/channels/stalled/messages', basic(demoKey)), stall('/channels/stalled/messages', basic('demo.key1:wrong-one')),
    stall(`/comet/${comet.key}/send?key=${demoKey}`), stall(`/comet/made-up/send?key=${demoKey}`),
  ]);
  const codes = [known, unknown, own, none].map((text) => text.match(/x-ably-errorcode: (\d+)/i)?.[1]);
  assert.deepEqual(codes, ['50003', '40101', '50003', '80003']);
  const other = await Comet.connect();
  await other.attach('unstalled');
});
