/**
 * Relays come and go with the crowd: connections go on to a second relay when the first is full, and nobody can tell
 * who is where. The bounds of the deployment are set low, so that a few clients are a crowd.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { after } from 'node:test';
import WebSocket from 'ws';
import { Inbox, changesOf, closed, connected, demoKey, inState, realtime, rest } from './clients.mjs';
import { unlessKilled } from './kills.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

/** @typedef {import('ably').Realtime} Client */

const apps = {
  apps: ['demo', 'seconds', 'return', 'presence', 'direct', 'far', 'tree'].map((id) => ({
    id, keys: [{ name: 'key1', secret: 'local-only' }, { name: 'brief', secret: 'local-only', revocableTokens: true }],
  })),
};
const variables = { RELAY_CONNECTIONS: '3', SANDBOX: 'true' };
const runtime = await startRuntime(apps, { variables });
after(() => runtime.stop());

/** The relay that a connection says it is on. @param {Client} client */
const shardOf = (client) => Number(client.connection.key?.split('!')[1].split('-')[0]);

/**
 * Clients of an app, one after the other.
 * @param {import('node:test').TestContext} t
 * @param {number} count
 * @param {string} key
 */
async function crowd(t, count, key, options = {}) {
  const clients = [];
  for (let number = 0; number < count; number++) {
    clients.push(await connected(t, runtime, { key, clientId: `client${number}`, ...options }));
  }
  return clients;
}

test('a crowd spreads over relays as each is full, and all get all in one order', async (t) => {
  const clients = await crowd(t, 8, demoKey);
  assert.deepEqual(clients.slice(0, 6).map(shardOf), [0, 0, 0, 1, 1, 1]);
  assert.ok(clients.slice(6).every((client) => [2, 3].includes(shardOf(client))), String(clients.map(shardOf)));
  const inboxes = await Promise.all(clients.map((client) => Inbox.of(client.channels.get('crowd'))));
  await Promise.all(clients.flatMap((client, number) => [1, 2, 3, 4, 5].map((round) =>
    client.channels.get('crowd').publish('n', `${number}.${round}`))));
  const orders = await Promise.all(inboxes.map(async (inbox) => {
    await inbox.until(40);
    return inbox.data;
  }));
  for (const order of orders) assert.deepEqual(order, orders[0]);
  assert.equal(new Set(orders[0]).size, 40);
});

test('a connection resumes on its own relay, and misses nothing', async (t) => {
  const key = 'return.key1:local-only';
  const clients = await crowd(t, 4, key);
  const [first, , , last] = clients;
  const inboxes = await Promise.all([first, last].map((client) => Inbox.of(client.channels.get('c'))));
  const before = [first, last].map((client) => client.connection.id);
  const drop = async (/** @type {Client} */ client) => {
    const gone = new Promise((resolve) => client.connection.once('disconnected', resolve));
    /** @type {any} */ (client.connection).connectionManager.activeProtocol.getTransport().wsConnection.close();
    await gone;
  };
  await Promise.all([drop(first), drop(last)]);
  await rest(runtime, { key }).channels.get('c').publish('n', 'meanwhile');
  await Promise.all([first, last].map((client) => inState(client.connection, 'connected')));
  await Promise.all(inboxes.map((inbox) => inbox.until('meanwhile')));
  assert.deepEqual([first, last].map((client) => client.connection.id), before);
  assert.deepEqual([first, last].map(shardOf), [0, 1]);
  assert.deepEqual(inboxes.map((inbox) => inbox.data), [['meanwhile'], ['meanwhile']]);
});

test('a revocation reaches every relay, and so does the end of an app', async (t) => {
  const brief = 'demo.brief:local-only';
  const { token } = await rest(runtime, { key: brief }).auth.requestToken({ clientId: 'ann' });
  const tokens = { key: undefined, token, clientId: 'ann' };
  const clients = [];
  for (let number = 0; number < 5; number++) clients.push(await connected(t, runtime, tokens));
  assert.ok(new Set(clients.map(shardOf)).size > 1, String(clients.map(shardOf)));
  const revoked = clients.map((client) => new Promise((resolve) => client.connection.once('failed', resolve)));
  await rest(runtime, { key: brief }).auth.revokeTokens([{ type: 'clientId', value: 'ann' }]);
  await Promise.all(revoked);

  const made = await fetch(`${runtime.url}/apps`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ keys: [{}] }),
  });
  const { appId, keys: [{ keyStr: key }] } = await made.json();
  const fans = await crowd(t, 5, key);
  assert.deepEqual(fans.map(shardOf), [0, 0, 0, 1, 1]);
  const failed = fans.map((client) => new Promise((resolve) => client.connection.once('failed', resolve)));
  const ended = await fetch(`${runtime.url}/apps/${appId}`, { method: 'DELETE', headers: { authorization: `Basic ${btoa(key)}` } });
  assert.equal(ended.status, 204);
  const reasons = await Promise.all(failed);
  assert.deepEqual(reasons.map(({ reason }) => reason.code), [40400, 40400, 40400, 40400, 40400]);
});

/**
 * Resolves when so many members were heard of.
 * @param {import('ably').RealtimePresence} presence
 * @param {number} count
 */
async function seesAll(presence, count) {
  const seen = new Set();
  await new Promise((resolve) => void presence.subscribe(({ clientId }) => {
    seen.add(clientId);
    if (seen.size === count) resolve(undefined);
  }));
}

test('presence is one set', async (t) => {
  const clients = await crowd(t, 7, 'presence.key1:local-only');
  const names = clients.map((_, number) => `client${number}`);
  const seen = Promise.all(clients.map((client) => seesAll(client.channels.get('room').presence, names.length)));
  await Promise.all(clients.map((client) => client.channels.get('room').presence.enter()));
  await seen;
  for (const client of clients) {
    const members = await client.channels.get('room').presence.get();
    assert.deepEqual(members.map((member) => member.clientId).sort(), names);
  }
  assert.ok(new Set(clients.map(shardOf)).size >= 3);
});

test('a channel that holds its clients itself has them held by relays once it is full', async (t) => {
  const clients = await crowd(t, 5, 'direct.key1:local-only', { transportParams: { channel: 'c' } });
  const own = 65_535;
  assert.deepEqual(clients.map(shardOf), [own, own, own, 0, 0]);
  const inboxes = await Promise.all(clients.map((client) => Inbox.of(client.channels.get('c'))));
  await clients[4].channels.get('c').publish('n', 'to all');
  await Promise.all(inboxes.map((inbox) => inbox.until('to all')));
});

const places = unlessKilled('who is away for a moment leaves its place to another');

test('a relay that lost its memory is still the same relay', places, async (t) => {
  const clients = await crowd(t, 4, 'seconds.key1:local-only');
  const inbox = await Inbox.of(clients[3].channels.get('c'));
  const { key } = clients[3].connection;
  assert.equal(await runtime.evict('Relay', 'seconds/1'), 1);
  await clients[0].channels.get('c').publish('n', 'after');
  await inbox.until('after');
  assert.equal(clients[3].connection.key, key);
  assert.equal(shardOf(await connected(t, runtime, { key: 'seconds.key1:local-only' })), 1);
});

test('a storm of connects is spread, and those who are connected are not disturbed', unlessKilled('everybody is'), async (t) => {
  const paced = await startRuntime(undefined, { variables: { RELAY_CONNECTS_PER_SECOND: '4' } });
  t.after(() => paced.stop());
  const settled = await connected(t, paced);
  const changes = changesOf(settled);
  const inbox = await Inbox.of(settled.channels.get('storm'));
  /** @type {(import('ably').ErrorInfo | undefined)[]} */
  const refusals = [];
  const storm = Array.from({ length: 12 }, () => {
    const client = realtime(t, paced);
    client.connection.on('disconnected', ({ reason }) => refusals.push(reason));
    return client;
  });
  // Each comes in in the end: what they are told makes them try again, by themselves and with a pause.
  await Promise.all(storm.map((client) => inState(client.connection, 'connected')));
  assert.ok(refusals.length >= 12 - 2 * 4, `${refusals.length} were sent away at first`);
  for (const reason of refusals) assert.deepEqual([reason?.code, reason?.statusCode], [42910, 429]);
  assert.deepEqual(new Set(storm.map(shardOf)), new Set([0]), 'a storm alone needs no second relay');
  await storm[0].channels.get('storm').publish('n', 'calm');
  await inbox.until('calm');
  assert.deepEqual(changes, []);
});

test('a refusal is a frame that says to come back, and then the socket ends', async (t) => {
  const paced = await startRuntime(undefined, { variables: { RELAY_CONNECTS_PER_SECOND: '1' } });
  t.after(() => paced.stop());
  const clients = Array.from({ length: 8 }, () => new RawClient(paced, { key: demoKey }));
  const first = await Promise.all(clients.map((client) => client.next()));
  const refused = clients.filter((_, index) => first[index].action !== action.CONNECTED);
  assert.ok(refused.length > 0);
  for (const frame of first.filter((frame) => frame.action !== action.CONNECTED)) {
    assert.deepEqual([frame.action, frame.error.code, frame.error.statusCode], [action.DISCONNECTED, 42910, 429]);
  }
  for (const client of refused) assert.equal(await client.closed(), 1000);
  clients.forEach((client) => client.close());
});

test('an SDK that would not wait is refused the upgrade, which says the same', async (t) => {
  const paced = await startRuntime(undefined, { variables: { RELAY_CONNECTS_PER_SECOND: '1' } });
  t.after(() => paced.stop());
  for (const agent of ['ably-go/1.3.0 go/1.24.0', 'ably-pubsub-python/4.0.0 python/3.13.0']) {
    const clients = Array.from({ length: 8 }, () => {
      const socket = new WebSocket(`${paced.url.replace('http', 'ws')}/?key=${demoKey}`, { headers: { 'ably-agent': agent } });
      t.after(() => socket.terminate());
      return socket;
    });
    const answers = await Promise.all(clients.map((socket) => Promise.race([
      once(socket, 'message').then(() => undefined),
      once(socket, 'unexpected-response').then(([, response]) => [response.statusCode, response.headers['x-ably-errorcode']]),
    ])));
    const refused = answers.filter((answer) => answer !== undefined);
    assert.ok(refused.length > 0, agent);
    for (const answer of refused) assert.deepEqual(answer, [429, '42910'], agent);
    const wrong = new WebSocket(`${paced.url.replace('http', 'ws')}/?key=demo.key1:wrong`, { headers: { 'ably-agent': agent } });
    const frame = JSON.parse(String((await once(wrong, 'message'))[0]));
    assert.deepEqual([frame.action, frame.error.statusCode], [action.ERROR, 401], 'what does not pass is said in the protocol');
  }
});

test('over HTTP a refusal is an answer that says the same', async (t) => {
  const paced = await startRuntime(undefined, { variables: { RELAY_CONNECTS_PER_SECOND: '1' } });
  t.after(() => paced.stop());
  const ask = async (/** @type {string} */ path) => {
    const response = await fetch(`${paced.url}${path}&key=${demoKey}`);
    const code = response.headers.get('x-ably-errorcode');
    if (code !== null) return { status: response.status, code, body: await response.text() };
    await response.body?.cancel();
  };
  const comet = await Promise.all(Array.from({ length: 8 }, () => ask('/comet/connect?stream=false')));
  const streams = await Promise.all(Array.from({ length: 8 }, () => ask('/event-stream?channels=a,b')));
  const browsers = await Promise.all(Array.from({ length: 8 }, () => ask('/sse?channels=a,b')));
  const [polls, lines, events] =
    [comet, streams, browsers].map((answers) => answers.filter((answer) => answer !== undefined));
  assert.ok(polls.length > 0 && lines.length > 0 && events.length > 0);
  for (const { status, body } of polls) {
    const [frame] = JSON.parse(body);
    assert.deepEqual([status, frame.action, frame.error.code], [429, action.DISCONNECTED, 42910]);
  }
  for (const { status, body } of lines) assert.deepEqual([status, JSON.parse(body).error.code], [429, 42910]);
  // An EventSource would give up for good at any other status.
  for (const { status, code, body } of events) {
    assert.deepEqual([status, code], [200, '42910']);
    assert.match(body, /^retry: \d{5}\nevent: error\ndata: \{"code":42910,.*\}\n\n$/);
  }
});

test('where a channel has many relays they feed each other, whatever they forget', places, async (t) => {
  const wide = await startRuntime(apps, { variables: { RELAY_CONNECTIONS: '1' } });
  t.after(() => wide.stop());
  /** @type {Client[]} */
  const clients = [];
  const inboxes = [];
  for (let number = 0; number < 12; number++) {
    const client = await connected(t, wide, { key: 'tree.key1:local-only' });
    clients.push(client);
    inboxes.push(await Inbox.of(client.channels.get('c')));
  }
  assert.equal(new Set(clients.map(shardOf)).size, 12, 'each has a relay of its own');
  const publish = (/** @type {string} */ data) => clients[11].channels.get('c').publish('n', data);
  await publish('first');
  await Promise.all(inboxes.map((inbox) => inbox.until('first')));

  // Nobody listens at the first relay now, but it has others to feed, also after it lost its memory.
  await closed(clients[0]);
  const others = inboxes.slice(1);
  for (const data of ['second', 'third', 'fourth']) {
    assert.equal(await wide.evict('Relay', 'tree/0'), 1, 'it was called');
    await publish(data);
    await Promise.all(others.map((inbox) => inbox.until(data)));
  }
  for (const inbox of others) assert.deepEqual(inbox.data, ['first', 'second', 'third', 'fourth']);
});

test('a client is held near where it is', async (t) => {
  const far = await startRuntime(apps, { cf: { continent: 'OC', longitude: '151.2' } });
  t.after(() => far.stop());
  const client = await connected(t, far, { key: 'far.key1:local-only' });
  assert.equal(shardOf(client), 7 * 256, 'the first relay of Oceania');
  const inbox = await Inbox.of(client.channels.get('c'));
  await client.channels.get('c').publish('n', 'x');
  await inbox.until('x');
});
