/**
 * Bad input over a WebSocket. Each gets its coded error as a frame of the protocol, never a refused upgrade; the
 * connection goes on where the protocol says so; and what was acknowledged stays.
 */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { appsWithFewRights, demoKey, rest, wholeHistory } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(appsWithFewRights);
after(() => runtime.stop());

const FRAME_MAX_BYTES = 512 * 1024;
const MESSAGE_MAX_BYTES = 64 * 1024;
const formats = ['json', 'msgpack'];

/** @param {import('node:test').TestContext} t @param {Record<string, string>} [query] */
async function connect(t, query) {
  const client = open(t, { key: demoKey, ...query });
  await client.expect(action.CONNECTED);
  return client;
}

/** @param {import('node:test').TestContext} t @param {Record<string, string>} query */
function open(t, query) {
  const client = new RawClient(runtime, query);
  t.after(() => client.close());
  return client;
}

/** The connection still does everything. @param {RawClient} client @param {string} channel @param {number} msgSerial */
async function assertAlive(client, channel, msgSerial) {
  client.send({ action: action.MESSAGE, channel, msgSerial, messages: [{ data: `alive ${msgSerial}` }] });
  const ack = await client.expect(action.ACK);
  assert.deepEqual([ack.msgSerial, ack.count], [msgSerial, 1]);
}

/**
 * The connection is over, with this error.
 * @param {RawClient} client
 * @param {number} code
 * @param {number} statusCode
 */
async function assertFails(client, code, statusCode) {
  const { error, channel } = await client.expect(action.ERROR);
  assert.deepEqual([error.code, error.statusCode, channel], [code, statusCode, undefined]);
  assert.ok(error.message.length > 0 && error.message.length < 500);
  assert.equal(await client.closed(), 1000);
}

/** @param {string} channel */
const stored = async (channel) =>
  (await wholeHistory(rest(runtime).channels.get(channel))).map((message) => message.data);

for (const format of formats) {
  test(`what cannot be read ends the connection, and nothing before it is lost (${format})`, async (t) => {
    const { encode } = await import('./msgpack.mjs');
    const bad = [
      '', '{', 'null', '[]', '"text"', '{"action":"x"}', '{"action":-1}', '{}', '{"action":15,"channel":"c"}',
      '{"action":10}{"action":10}', '\u0000', '['.repeat(200_000),
      new Uint8Array(), new Uint8Array([0xc1]), new Uint8Array([0x91]), new Uint8Array([0xdf, 0xff, 0xff, 0xff, 0xff]),
      new Uint8Array([...encode({ action: 0 }), 0]), encode([10]), encode({ action: 'x' }), new Uint8Array(100_000).fill(0x91),
    ];
    for (const [index, data] of bad.entries()) {
      const client = await connect(t, { format });
      const channel = `unread-${format}`;
      await assertAlive(client, channel, 0);
      client.sendRaw(data);
      await assertFails(client, 40001, 400);
      assert.equal((await stored(channel)).length, index + 1);
    }
  });

  test(`either format is understood on any connection, by the kind of the frame (${format})`, async (t) => {
    const { encode } = await import('./msgpack.mjs');
    const client = await connect(t, { format });
    const publish = (/** @type {number} */ msgSerial) =>
      ({ action: action.MESSAGE, channel: `kinds-${format}`, msgSerial, messages: [{ data: `m${msgSerial}` }] });
    client.sendRaw(JSON.stringify(publish(0)));
    assert.equal((await client.expect(action.ACK)).msgSerial, 0);
    client.sendRaw(encode(publish(1)));
    assert.equal((await client.expect(action.ACK)).msgSerial, 1);
    assert.deepEqual(await stored(`kinds-${format}`), ['m0', 'm1']);
  });

  test(`a message over the limit is refused, the connection goes on (${format})`, async (t) => {
    const client = await connect(t, { format });
    const channel = `large-${format}`;
    const send = (/** @type {number} */ msgSerial, /** @type {object[]} */ messages) =>
      client.send({ action: action.MESSAGE, channel, msgSerial, messages });
    send(0, [{ name: 'name', data: 'x'.repeat(MESSAGE_MAX_BYTES - 4) }]);
    assert.equal((await client.expect(action.ACK)).msgSerial, 0);
    send(1, [{ name: 'name', data: 'x'.repeat(MESSAGE_MAX_BYTES - 3) }]);
    const nack = await client.expect(action.NACK);
    assert.deepEqual([nack.msgSerial, nack.count, nack.error.code], [1, 1, 40009]);
    send(2, Array.from({ length: 3 }, () => ({ data: 'x'.repeat(MESSAGE_MAX_BYTES / 3 + 1) })));
    assert.equal((await client.expect(action.NACK)).error.code, 40009);
    send(3, Array.from({ length: 1_001 }, () => ({})));
    assert.equal((await client.expect(action.NACK)).error.code, 40034);
    send(4, []);
    assert.equal((await client.expect(action.NACK)).error.code, 40000);
    await assertAlive(client, channel, 5);
    assert.equal((await stored(channel)).length, 2);
  });

  test(`a frame over the limit is refused by its serial or ends the connection, one at the limit does not (${format})`, async (t) => {
    const client = await connect(t, { format });
    const padded = (/** @type {number} */ length) => {
      const frame = JSON.stringify({ action: action.HEARTBEAT, id: 'beat' });
      return frame + ' '.repeat(length - frame.length);
    };
    client.sendRaw(padded(FRAME_MAX_BYTES));
    assert.equal((await client.expect(action.HEARTBEAT)).id, 'beat');
    const enter = { action: action.PRESENCE, channel: 'large', msgSerial: 0, presence: [{ data: 'x'.repeat(FRAME_MAX_BYTES) }] };
    client.sendRaw(JSON.stringify(enter));
    assert.equal((await client.expect(action.NACK)).error.code, 40009);
    client.sendRaw(padded(FRAME_MAX_BYTES + 1));
    await assertFails(client, 40009, 400);
    const other = await connect(t, { format });
    other.sendRaw(new Uint8Array(4 * FRAME_MAX_BYTES));
    await assertFails(other, 40009, 400);
  });

  test(`a publish that makes no sense is refused in its turn (${format})`, async (t) => {
    const client = await connect(t, { format });
    const channel = `senseless-${format}`;
    const bad = [
      [{ messages: 'text' }, 40001], [{ messages: [1] }, 40001], [{ messages: [{ data: 1 }] }, 40013],
      [{ messages: [{ data: 'x', extras: [] }] }, 40032], [{ messages: [{ name: {} }] }, 40001],
      [{ messages: [{ id: 'a:1' }, { id: 'a:0' }] }, 40031], [{ messages: [{ action: 1 }] }, 93002],
      [{ channel: undefined, messages: [{}] }, 40010], [{ channel: '', messages: [{}] }, 40010],
      [{ channel: ':hell', messages: [{}] }, 40010], [{ channel: 'x'.repeat(2_049), messages: [{}] }, 40010],
      [{ channel: '[meta]log', messages: [{}] }, 40160], [{ channel: '[meta]x', messages: [{}] }, 40010], [{ messages: [{}], params: { _forceNack: 'true' } }, 40099],
    ];
    for (const [msgSerial, [frame]] of bad.entries()) {
      client.send({ action: action.MESSAGE, channel, msgSerial, ...Object(frame) });
    }
    for (const [msgSerial, [, code]] of bad.entries()) {
      const nack = await client.expect(action.NACK);
      assert.deepEqual([nack.msgSerial, nack.count, nack.error.code], [msgSerial, 1, code], JSON.stringify(nack));
    }
    await assertAlive(client, channel, bad.length);
    assert.deepEqual(await stored(channel), [`alive ${bad.length}`]);
  });

  test(`a name that is none fails its channel alone (${format})`, async (t) => {
    const client = await connect(t, { format });
    for (const channel of ['', ':hell', '[nonsense]x', '[meta', '[?]x', '[?rewind=1]', 'a\nb', 'x'.repeat(2_049), 'é'.repeat(1_025)]) {
      client.send({ action: action.ATTACH, channel });
      const failed = await client.expect(action.ERROR);
      assert.deepEqual([failed.channel, failed.error.code, failed.error.statusCode], [channel, 40010, 400], channel);
    }
    for (const channel of ['x'.repeat(2_048), 'é'.repeat(1_024)]) {
      client.send({ action: action.ATTACH, channel });
      assert.equal((await client.expect(action.ATTACHED)).channel, channel);
      client.send({ action: action.DETACH, channel });
      assert.equal((await client.expect(action.DETACHED)).channel, channel);
    }
    await assertAlive(client, 'x'.repeat(2_048), 0);
  });
}

test('parameters that make no sense fail the attachment alone', async (t) => {
  const client = await connect(t);
  const bad = [{ rewind: 'x' }, { rewind: '-1' }, { rewind: '1h' }, { rewind: '1s', rewindLimit: 'x' }, { modes: 'fly' },
    { rewind: '9'.repeat(2_000) }];
  for (const params of bad) {
    client.send({ action: action.ATTACH, channel: 'params', params });
    const failed = await client.expect(action.ERROR);
    assert.deepEqual([failed.channel, failed.error.code], ['params', 40003], JSON.stringify(params));
  }
  client.send({ action: action.ATTACH, channel: 'params', channelSerial: 'nonsense' });
  const attached = await client.expect(action.ATTACHED);
  assert.deepEqual([attached.error.code, attached.flags & 4], [90003, 0]);
  await assertAlive(client, 'elsewhere', 0);
});

test('what a key does not allow is refused per channel', async (t) => {
  const reader = await connect(t, { key: 'demo.reader:local-only' });
  reader.send({ action: action.ATTACH, channel: 'shut' });
  const failed = await reader.expect(action.ERROR);
  assert.deepEqual([failed.channel, failed.error.code, failed.error.statusCode], ['shut', 40160, 401]);
  reader.send({ action: action.MESSAGE, channel: 'open:a', msgSerial: 0, messages: [{ data: 'no' }] });
  const nack = await reader.expect(action.NACK);
  assert.deepEqual([nack.msgSerial, nack.error.code, nack.error.statusCode], [0, 40160, 401]);
  reader.send({ action: action.ATTACH, channel: 'open:a' });
  await reader.expect(action.ATTACHED);

  const writer = await connect(t, { key: 'demo.writer:local-only' });
  writer.send({ action: action.ATTACH, channel: 'open:a' });
  await writer.expect(action.ATTACHED);
  await assertAlive(writer, 'open:a', 0);
  const heard = await reader.expect(action.MESSAGE);
  assert.deepEqual(heard.messages.map((/** @type {any} */ message) => message.data), ['alive 0']);
  writer.send({ action: action.HEARTBEAT, id: 'after' });
  assert.equal((await writer.expect(action.HEARTBEAT)).id, 'after', 'who may not subscribe hears no message');
});

test('credentials that are wrong are told in the protocol', async (t) => {
  const cases = [
    [{}, 40106], [{ key: '' }, 40106], [{ key: 'this.is:wrong' }, 40101], [{ key: 'demo.nobody:local-only' }, 40101],
    [{ key: 'demo.key1:wrong-one' }, 40101], [{ key: 'demo.key1' }, 40101], [{ key: 'nonsense' }, 40101],
    [{ access_token: 'invalid' }, 40101], [{ access_token: 'this.is.wrong' }, 40101], [{ accessToken: 'demo.x' }, 40101],
    [{ key: demoKey, access_token: 'x' }, 40102],
  ];
  for (const [query, code] of cases) {
    for (const format of formats) {
      const client = open(t, { ...Object(query), format });
      await assertFails(client, Number(code), 401);
    }
  }
  await assertFails(open(t, { key: demoKey, clientId: 'x'.repeat(256) }), 40012, 400);
});

test('a channel in the URL that is none ends the connection with its code', async (t) => {
  await assertFails(open(t, { key: demoKey, channel: ':hell' }), 40010, 400);
  await assertFails(open(t, { key: demoKey, channel: '' }), 40010, 400);
  for (const channel of ['x'.repeat(2_048), 'ä/ö?ü#%41&=+ 🎾', '[?rewind=1]home']) {
    await assertAlive(await connect(t, { channel }), channel, 0);
  }
});

test('a resume key of any length is only a key that never was', async (t) => {
  const client = open(t, { key: demoKey, resume: 'x'.repeat(10_000) });
  assert.equal((await client.expect(action.CONNECTED)).error.code, 80018);
  await assertAlive(client, 'long-key', 0);
});

test('a burst of attaches and detaches ends as its last frame says', async (t) => {
  const client = await connect(t);
  const burst = [action.ATTACH, action.DETACH, action.ATTACH, action.DETACH, action.ATTACH];
  for (const each of burst) client.send({ action: each, channel: 'burst' });
  client.send({ action: action.MESSAGE, channel: 'burst', msgSerial: 0, messages: [{ data: 'x' }] });
  const frames = [];
  do frames.push(await client.next()); while (frames.at(-1)?.action !== action.MESSAGE);
  const states = frames.filter((frame) => [action.ATTACHED, action.DETACHED].includes(frame.action));
  assert.equal(states.at(-1)?.action, action.ATTACHED);
  assert.equal(states.filter((frame) => frame.action === action.DETACHED).length, 2);
});

test('a socket that is closed, by either side, closes', async (t) => {
  const client = await connect(t);
  client.close();
  await client.closed();
  const polite = await connect(t);
  polite.send({ action: action.CLOSE });
  await polite.expect(action.CLOSED);
  assert.equal(await polite.closed(), 1000);
});

test('what is unknown is ignored', async (t) => {
  const client = await connect(t, { what: 'ever', v: '99', agent: 'ably-later/9.0.0' });
  for (const frame of [{ action: 99 }, { action: 4 }, { action: 9, error: {} }, { action: 3 }, { action: 0 }, { action: 16, channel: 'c' }]) {
    client.send({ ...frame, unknown: { deeply: [1, null] } });
  }
  // All flags but modes: to ask for one that there is not is refused.
  const flags = 0xffff;
  client.send({ action: action.ATTACH, channel: 'unknown', what: 'ever', flags, params: { no: 1, such: null } });
  assert.deepEqual((await client.expect(action.ATTACHED)).params, {});
  client.send({ action: action.MESSAGE, channel: 'unknown', msgSerial: 0, messages: [{ data: 'x', size: 7, timestamp: 1, serial: 'mine' }] });
  const { timestamp, messages: [message] } = await client.expect(action.MESSAGE);
  assert.ok(timestamp > 1 && message.serial !== 'mine' && !('size' in message) && !('timestamp' in message));
  await client.expect(action.ACK);
});

test('a parameter that cannot be obeyed is refused by its name', async (t) => {
  for (const [name, value, code] of [
    ['echo', 'maybe', 40003], ['heartbeatInterval', 'x', 40003], ['remainPresentFor', '1', 40003], ['rewind', '5', 40003],
    ['format', 'xml', 40003], ['chanel', 'c', 40002],
  ]) {
    const client = new RawClient(runtime, { key: demoKey, [String(name)]: String(value) });
    t.after(() => client.close());
    const { error } = await client.expect(action.ERROR);
    assert.deepEqual([error.code, error.message.includes(`'${name}'`)], [code, true], error.message);
    assert.equal(await client.closed(), 1000);
  }
});

test('acknowledgements come in order, without a gap, whatever was refused between', async (t) => {
  const client = await connect(t);
  const total = 200;
  for (let msgSerial = 0; msgSerial < total; msgSerial++) {
    const channel = msgSerial % 7 === 0 ? ':hell' : `order-${msgSerial % 3}`;
    client.send({ action: action.MESSAGE, channel, msgSerial, messages: [{ data: `m${msgSerial}` }] });
  }
  for (let next = 0; next < total;) {
    const frame = await client.next();
    assert.equal(frame.msgSerial, next);
    for (const serial of Array.from({ length: frame.count }, (_, index) => next + index)) {
      assert.equal(frame.action, serial % 7 === 0 ? action.NACK : action.ACK);
    }
    if (frame.action === action.ACK) assert.equal(frame.res.length, frame.count);
    next += frame.count;
  }
});

test('too many channels on one connection are refused, those there stay', async (t) => {
  const client = await connect(t);
  const bound = 200;
  // Names of their own for the connection, fifty channels for the server.
  const name = (/** @type {number} */ index) => `[?number=${index}]bound-${index >> 2}`;
  for (let index = 0; index <= bound; index++) client.send({ action: action.ATTACH, channel: name(index) });
  const frames = [];
  for (let index = 0; index <= bound; index++) frames.push(await client.next());
  const failed = frames.filter((frame) => frame.action === action.ERROR);
  assert.deepEqual(failed.map((frame) => [frame.channel, frame.error.code]), [[name(bound), 90010]]);
  for (let channel = 0; channel < bound / 4; channel++) {
    client.send({ action: action.MESSAGE, channel: `bound-${channel}`, msgSerial: channel, messages: [{ data: 'x' }] });
  }
  const heard = [];
  while (heard.length < bound) {
    const frame = await client.next();
    if (frame.action === action.MESSAGE) heard.push(frame.channel);
  }
  assert.deepEqual(heard.sort(), Array.from({ length: bound }, (_, index) => name(index)).sort());
});

test('one channel under many names is a frame for few of them', async (t) => {
  const client = await connect(t);
  const [bound, names] = [4, 199];
  for (let index = 0; index < names; index++) client.send({ action: action.ATTACH, channel: `[?m=${index}]lobby` });
  /** @type {import('./raw_client.mjs').Frame[]} */
  const frames = [];
  for (let index = 0; index < names; index++) frames.push(await client.next());
  const of = (/** @type {number} */ kind) => frames.filter((frame) => frame.action === kind);
  assert.deepEqual([of(action.ATTACHED).length, of(action.ERROR).length], [bound, names - bound]);
  assert.deepEqual([...new Set(of(action.ERROR).map(({ error }) => error.code))], [90010]);
  client.send({ action: action.ATTACH, channel: '[?m=0]lobby' });
  assert.equal((await client.expect(action.ATTACHED)).channel, '[?m=0]lobby', 'who is there may attach again');
  client.send({ action: action.DETACH, channel: '[?m=0]lobby' });
  await client.expect(action.DETACHED);
  client.send({ action: action.ATTACH, channel: 'lobby' });
  await client.expect(action.ATTACHED);
  client.send({ action: action.ATTACH, channel: '[?m=1&m=2]lobby' });
  assert.equal((await client.expect(action.ERROR)).error.code, 90010);
});

test('a deployment without apps says what to set, in the protocol and over REST', async (t) => {
  const bare = await startRuntime(null);
  t.after(() => bare.stop());
  for (const format of formats) {
    const client = new RawClient(bare, { key: demoKey, format });
    const { error } = await client.expect(action.DISCONNECTED);
    assert.equal(error.code, 50320);
    assert.match(error.message, /wrangler secret put APPS/);
    assert.equal(await client.closed(), 1000);
  }
  const response = await fetch(`${bare.url}/channels/c/messages?key=${demoKey}`);
  assert.equal(response.status, 503);
  assert.match((await response.json()).error.message, /wrangler secret put APPS/);
  assert.match(response.headers.get('x-ably-errormessage') ?? '', /APPS/);
});

test('JSON that comes as bytes is read, and a heartbeat without an id is answered, as some SDKs want both', async (t) => {
  const client = await connect(t);
  const send = (/** @type {object} */ frame) => client.sendRaw(new TextEncoder().encode(JSON.stringify(frame)));
  send({ action: action.ATTACH, channel: 'bytes' });
  await client.expect(action.ATTACHED);
  send({ action: action.HEARTBEAT });
  assert.deepEqual(await client.any(), { action: action.HEARTBEAT });
});
