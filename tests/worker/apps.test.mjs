/**
 * Apps that are made while the server runs: by whom, how soon they work, what they keep to themselves, and their end.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { closed, Inbox, inState, realtime, rest } from './clients.mjs';
import { unlessKilled } from './kills.mjs';
import { RawClient, action } from './raw_client.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

const runtime = await startRuntime(demoApps, { variables: { SANDBOX: 'true' } });
test.after(() => runtime.stop());

/** @param {import('./runtime.mjs').Runtime} server @param {object} [body] @param {Record<string, string>} [headers] */
const postApp = (server, body = {}, headers = {}) => fetch(`${server.url}/apps`,
  { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) });

/** @param {object} [body] */
async function made(body) {
  const response = await postApp(runtime, body);
  assert.equal(response.status, 201);
  return response.json();
}

/** @param {{ appId: string, keys: { keyStr: string }[] }} app */
const ended = (app, key = app.keys[0].keyStr) => fetch(`${runtime.url}/apps/${app.appId}`,
  { method: 'DELETE', headers: { authorization: `Basic ${btoa(key)}` } });

test('a new app works at once, in the place that its answer names', async (t) => {
  const app = await made({ keys: [{}, { capability: JSON.stringify({ 'open:*': ['subscribe'] }) }] });
  const where = { endpoint: app.endpoint, port: app.port, tls: app.tls };
  assert.deepEqual(where, runtime.clientOptions);
  const fan = realtime(t, runtime, { ...where, key: app.keys[1].keyStr });
  const inbox = await Inbox.of(fan.channels.get('open:scores'));
  await rest(runtime, { key: app.keys[0].keyStr }).channels.get('open:scores').publish('score', '15–0');
  await inbox.until('15–0');
  await assert.rejects(fan.channels.get('open:scores').publish('score', 'x'), { code: 40160 });
});

test('two apps with the same channel name never meet', async (t) => {
  const apps = await Promise.all([made(), made()]);
  const fans = apps.map((app) => realtime(t, runtime, { key: app.keys[0].keyStr }));
  const inboxes = await Promise.all(fans.map((fan) => Inbox.of(fan.channels.get('scores'))));
  for (const [index, fan] of fans.entries()) await fan.channels.get('scores').publish('of', `app ${index}`);
  for (const [index, app] of apps.entries()) {
    await rest(runtime, { key: app.keys[0].keyStr }).channels.get('scores').publish('end', 'end');
    await inboxes[index].until('end');
    assert.deepEqual(inboxes[index].data, [`app ${index}`, 'end']);
    const page = await rest(runtime, { key: app.keys[0].keyStr }).channels.get('scores').history();
    assert.deepEqual(page.items.map((message) => message.data), ['end', `app ${index}`]);
  }
  const [a, b] = apps.map((app) => app.keys[0]);
  const mixed = rest(runtime, { key: `${a.keyName}:${b.keySecret}` });
  await assert.rejects(mixed.channels.get('scores').history(), { code: 40101 });
  const details = await rest(runtime, { key: a.keyStr }).auth.requestToken();
  const forged = details.token.replace(a.keyName.split('.')[0], b.keyName.split('.')[0]);
  const refused = await fetch(`${runtime.url}/channels/scores/messages`, { headers: { authorization: `Bearer ${forged}` } });
  assert.equal(refused.status, 401);
});

const kept = unlessKilled('its sockets go with the process');

test('an app outlives the memory of its object, of its relay, and of the whole server', kept, async (t) => {
  const server = await startRuntime(demoApps, { variables: { SANDBOX: 'true' } });
  t.after(() => server.stop());
  const app = await (await postApp(server)).json();
  const fan = realtime(t, server, { key: app.keys[0].keyStr });
  const inbox = await Inbox.of(fan.channels.get('scores'));
  let states = 0;
  fan.connection.on(() => states++);
  await server.evict('App');
  await server.evict('Relay');
  await rest(server, { key: app.keys[0].keyStr }).channels.get('scores').publish('n', 'evicted');
  await inbox.until('evicted');
  assert.equal(states, 0, 'the socket stayed');
  await server.kill();
  await server.start();
  await inState(fan.connection, 'connected');
  await fan.channels.get('scores').publish('n', 'killed');
  await inbox.until('killed');
});

test('a deleted app ends at once for clients, and soon for REST', async (t) => {
  const app = await made({ keys: [{}, {}] });
  const [first, second] = app.keys.map((/** @type {{ keyStr: string }} */ key) => key.keyStr);
  const fan = realtime(t, runtime, { key: second });
  await inState(fan.connection, 'connected');
  const failed = new Promise((resolve) => fan.connection.once('failed', resolve));
  assert.equal((await ended(app, second)).status, 401, 'only its first key may');
  assert.equal((await ended(app, 'demo.key1:local-only')).status, 401);
  assert.equal((await ended(app, first)).status, 204);
  assert.equal((await failed).reason.code, 40400);
  const late = realtime(t, runtime, { key: second });
  await assert.rejects(inState(late.connection, 'connected'), { code: 40101 });
  await assert.rejects(rest(runtime, { key: second }).channels.get('scores').history(), { code: 40101 });
});

test('the deployment\'s own apps cannot be deleted', async () => {
  const response = await ended({ appId: 'demo', keys: [{ keyStr: 'demo.key1:local-only' }] });
  assert.equal((await response.json()).error.code, 40300);
});

test('an admin token opens apps to who has it; without either nobody makes any', async (t) => {
  const token = 'a-token-of-this-deployment';
  const guarded = await startRuntime(null, { variables: { ADMIN_TOKEN: token } });
  t.after(() => guarded.stop());
  for (const authorization of ['Bearer wrong', 'Bearer ', `Basic ${btoa(`a.b:${token}`)}`]) {
    assert.equal((await postApp(guarded, {}, { authorization })).status, 401, authorization);
  }
  assert.equal((await postApp(guarded)).status, 401);
  const response = await postApp(guarded, {}, { authorization: `Bearer ${token}` });
  assert.equal(response.status, 201);
  const app = await response.json();
  assert.deepEqual((await rest(guarded, { key: app.keys[0].keyStr }).channels.get('c').history()).items, []);
  const gone = await fetch(`${guarded.url}/apps/${app.appId}`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } });
  assert.equal(gone.status, 204);
  assert.ok(!guarded.log.includes(token));

  const closedToAll = await startRuntime();
  t.after(() => closedToAll.stop());
  const refused = await postApp(closedToAll);
  assert.equal(refused.status, 404);
  assert.match((await refused.json()).error.message, /ADMIN_TOKEN/);
});

test('what has no effect yet is said', async () => {
  const app = await made({
    namespaces: [{ id: 'kept', persisted: true }, { id: 'last', retentionHours: 5 }],
    limits: { presence: { maxMembers: 250 } },
  });
  assert.deepEqual(app.namespaces.map((/** @type {any} */ namespace) => namespace.notEffective), [undefined, ['retentionHours']]);
  assert.deepEqual(app.notEffective, ['limits']);
});

test('an app begins with the members that were asked for, in REST and in realtime', async (t) => {
  const presence = [
    { clientId: 'client_bool', data: 'true' },
    { clientId: 'client_decoded', data: '{"example":{"json":"Object"}}', encoding: 'json' },
    { clientId: 'client_encoded', data: 'HO4cYSP8LybPYBPZPHQOtuD53yrD3YV3NBoTEYBh4U0N1QXHbtkfsDfTspKeLQFt', encoding: 'json/utf-8/cipher+aes-128-cbc/base64' },
  ];
  const { keys } = await made({ namespaces: [{ id: 'persisted', persisted: true }], channels: [{ name: 'persisted:fixtures', presence }] });
  const key = keys[0].keyStr;
  const response = await fetch(`${runtime.url}/channels/persisted:fixtures/presence?key=${key}`);
  const listed = await response.json();
  assert.deepEqual(listed.map((/** @type {any} */ { clientId, data, encoding }) => ({ clientId, data, ...encoding && { encoding } })), presence);
  for (const useBinaryProtocol of [false, true]) {
    const client = realtime(t, runtime, { key, useBinaryProtocol });
    const members = await client.channels.get('persisted:fixtures').presence.get();
    assert.deepEqual(members.map(({ clientId }) => clientId).sort(), presence.map(({ clientId }) => clientId));
    assert.deepEqual(members.find(({ clientId }) => clientId === 'client_decoded')?.data, { example: { json: 'Object' } });
    const history = await rest(runtime, { key, useBinaryProtocol }).channels.get('persisted:fixtures').presence.history();
    assert.deepEqual(history.items.map(({ action }) => action), ['enter', 'enter', 'enter']);
  }
});

test('a channel with such members that slept wakes for who waits there, and for who is gone', { timeout: 60_000 }, async (t) => {
  const { appId, keys } = await made({ channels: [{ name: 'sleepers', presence: [{ clientId: 'fixture' }] }] });
  const key = keys[0].keyStr;
  assert.equal(await runtime.evict('Channel', `${appId}/sleepers`), 1);
  const channel = realtime(t, runtime, { key }).channels.get('sleepers');
  const left = new Promise((resolve) => { channel.presence.subscribe('leave', ({ clientId }) => resolve(clientId)); });
  await channel.attach();
  const waited = await fetch(`${runtime.url}/channels/sleepers/messages?key=${key}&wait=1`);
  assert.deepEqual(await waited.json(), []);
  const guest = new RawClient(runtime, { key, clientId: 'guest', remainPresentFor: '1000' });
  await guest.expect(action.CONNECTED);
  guest.send({ action: action.ATTACH, channel: 'sleepers' });
  guest.send({ action: action.PRESENCE, channel: 'sleepers', msgSerial: 0, presence: [{ action: 2 }] });
  while ((await guest.next()).action !== action.ACK);
  guest.close();
  assert.equal(await left, 'guest');
});

test('secrets are in no other answer and in no log', async (t) => {
  const app = await made({ keys: [{}] });
  const { keyStr, keySecret, keyName } = app.keys[0];
  const client = realtime(t, runtime, { key: keyStr });
  await inState(client.connection, 'connected');
  const { token } = await rest(runtime, { key: keyStr }).auth.requestToken();
  const basic = (/** @type {string} */ key) => ({ authorization: `Basic ${btoa(key)}` });
  const asked = [
    ['/channels/c', basic(keyStr)], ['/nowhere', basic(keyStr)], [`/channels/c/messages?key=${keyStr}&limit=1`, {}],
    ['/channels/c/messages', basic(`${keyName}:${keySecret}x`)], [`/keys/${keyName}/requestToken?key=${keyStr}&ttl=-1`, {}],
    [`/channels/c/messages?access_token=${token}x`, {}], [`/channels/c/messages?access_token=${token}`, {}],
    [`/channels/${keySecret}:/%ff?key=${keyStr}`, {}],
  ];
  for (const [path, headers] of asked) {
    const response = await fetch(`${runtime.url}${path}`, { headers: /** @type {Record<string, string>} */ (headers) });
    const said = `${JSON.stringify([...response.headers])} ${await response.text()}`;
    assert.ok(!said.includes(keySecret) && !said.includes(token), `${path}: ${said}`);
  }
  await closed(client);
  assert.ok(!runtime.log.includes(keySecret) && !runtime.log.includes(token));
});
