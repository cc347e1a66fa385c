/** Tokens of operators, by the published SDK: what they hear, that they do nothing, and what makes one and ends it. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import test from 'node:test';
import mqtt from 'mqtt';
import { io } from 'socket.io-client';
import { Heard, closed, connected, inState, realtime, rest } from './clients.mjs';
import { addressOf } from './mqtt_clients.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

const ADMIN_TOKEN = 'admin-token-of-this-test';
const runtime = await startRuntime(demoApps, { variables: { ADMIN_TOKEN }, tellsCounts: true });
test.after(() => runtime.stop());

const [log, statistics] = ['[meta]log', '[meta]stats:minute'];
const operator = `Bearer ${ADMIN_TOKEN}`;
const key = `Basic ${btoa('demo.key1:local-only')}`;

/** @param {string} method @param {string} path @param {string} [authorization] @param {object} [body] */
async function ask(method, path, authorization = operator, body = {}) {
  const headers = { authorization, 'content-type': 'application/json' };
  const response = await fetch(runtime.url + path, { method, headers, body: method === 'GET' ? undefined : JSON.stringify(body) });
  const answer = await response.json().catch(() => undefined);
  return { status: response.status, body: answer, code: answer?.error?.code };
}

/** Where tokens of an app are had, or those of the deployment. @param {string} app */
const at = (app) => app === '*' ? '/tokens' : `/apps/${app}/tokens`;

/** @param {string} app @returns {Promise<import('ably').TokenDetails>} */
const issued = async (app) => (await ask('POST', at(app))).body;

/**
 * An operator's client of an app, as the console has it.
 * @param {string} app
 * @returns {import('ably').ClientOptions}
 */
const options = (app) => ({
  key: undefined, authCallback: (_, done) => { issued(app).then((token) => done(null, token), (error) => done(error, null)); },
});

/** @param {import('ably').Realtime} client @param {string} name */
async function heard(client, name) {
  const said = new Heard();
  await client.channels.get(name).subscribe(said.hear);
  return said;
}

test('an operator hears what is done and counted, in each app and in all together', { timeout: 60_000 }, async (t) => {
  const made = (await ask('POST', '/apps')).body.appId;
  const [all, demo, other] = await Promise.all(['*', 'demo', made].map((app) => connected(t, runtime, options(app))));
  const [ofAll, ofDemo, ofOther] = await Promise.all([all, demo, other].map((client) => heard(client, log)));
  assert.equal((await ask('POST', '/apps/demo/bans', key, { clientId: 'eve' })).status, 201);
  assert.equal((await ask('POST', `/apps/${made}/bans`, operator, { clientId: 'pat' })).status, 201);
  const next = (await ask('POST', '/apps')).body.appId;
  await ofAll.until(({ data }) => data.action === 'create app' && data.target === next);
  await ofDemo.until(({ data }) => data.target === 'clientId eve');
  await ofOther.until(({ data }) => data.target === 'clientId pat');
  assert.deepEqual(ofDemo.all.map(({ data }) => data.by), ['key demo.key1'], 'of its app alone');
  assert.deepEqual(ofOther.all.map(({ data }) => data.by), ['operator']);
  assert.deepEqual(ofAll.all.map(({ data }) => data), (await ask('GET', '/audit?limit=3')).body.reverse());

  const counted = await heard(other, statistics);
  // One more is heard of, whatever minute the others came in.
  await connected(t, runtime, options(made));
  await counted.until(({ data }) => data.appId === made && data.entries['connections.all.opened'] >= 1);
  const ofNone = await heard(all, statistics);
  // Here, too.
  await connected(t, runtime, options('*'));
  await ofNone.until(({ data }) => data.appId === '*');

  const held = (await ask('GET', `/apps/${made}/connections`)).body.find((/** @type {any} */ { channels }) => channels.length > 0);
  assert.deepEqual([held.keyName, held.clientId, held.channels.sort()], [`${made}.[operator]`, null, [log, statistics]]);
  const ended = inState(other.connection, 'failed').catch((error) => error);
  assert.equal((await ask('DELETE', `/apps/${made}`)).status, 204);
  await ended;
  assert.equal(other.connection.errorReason?.code, 40400, 'it ends with its app');
  await ofAll.until(({ data }) => data.action === 'delete app');
  assert.deepEqual((await ask('GET', '/apps')).body.map((/** @type {any} */ { id }) => id).includes('*'), false);
});

test('an operator does nothing by it, and hears nothing else', async (t) => {
  const client = await connected(t, runtime, options('demo'));
  for (const name of ['room', '[meta]channel.lifecycle']) {
    await assert.rejects(client.channels.get(name).attach(), { code: 40160 });
  }
  await assert.rejects(client.channels.get(log).publish('a', 'x'), { code: 40160 });
  await assert.rejects(client.channels.get('another room').publish('a', 'x'), { code: 40160 });
  const { token } = await issued('demo');
  for (const path of [`/channels/${encodeURIComponent(log)}/messages`, '/channels/room/messages', '/stats']) {
    assert.equal((await ask('GET', path, `Bearer ${token}`)).code, 40143, path);
  }
  for (const path of ['/apps', '/apps/demo/bans', '/audit', '/metrics']) {
    assert.equal((await ask('GET', path, `Bearer ${token}`)).code, 40101, path);
  }
});

test('only the admin token gets one', async () => {
  const { token } = await issued('demo');
  const own = await rest(runtime).auth.requestToken();
  for (const app of ['demo', '*']) {
    for (const authorization of [key, `Bearer ${own.token}`, `Bearer ${token}`, 'Bearer another-admin-token', `Basic ${btoa(`x:${ADMIN_TOKEN}`)}`]) {
      const { status, code } = await ask('POST', at(app), authorization);
      assert.deepEqual([status, code], [401, 40101], authorization);
    }
  }
  assert.equal((await ask('POST', '/apps/nowhere/tokens')).status, 404);
});

test("the console's token is good for a connection of MQTT and of Socket.IO", async (t) => {
  const { body: { token } } = await ask('POST', '/apps/demo/tokens', operator, { scope: 'channels' });
  const mine = await mqtt.connectAsync(addressOf(runtime), { username: '', password: token, clientId: '', reconnectPeriod: 0 });
  t.after(() => mine.endAsync(true));
  const socket = io(`${runtime.url}/doors`, { query: { token }, forceNew: true, reconnection: false });
  t.after(() => void socket.disconnect());
  const connects = new Promise((resolve) => socket.once('connect', () => resolve(undefined)));
  await Promise.all([mine.subscribeAsync('doors'), connects]);
  const came = new Promise((resolve) => mine.once('message', (_, payload) => resolve(String(payload))));
  socket.emit('said', 'by an operator');
  assert.equal(await came, 'by an operator');
});

/** The reason why a token lets nobody in. @param {import('node:test').TestContext} t @param {string} token */
async function refusal(t, token) {
  const client = realtime(t, runtime, { key: undefined, authCallback: (_, done) => done(null, token) });
  const reason = await new Promise((resolve) => client.connection.on((change) => change.reason && resolve(change.reason)));
  await closed(client);
  return reason.code;
}

/** @param {string | Buffer} key @param {string | Buffer} said */
const mac = (key, said) => createHmac('sha256', key).update(said).digest();

/**
 * Such a token of the demo app, made by whoever has that admin token.
 * @param {string} token
 * @param {(body: Buffer) => Buffer} change
 */
function changed(token, change, adminToken = ADMIN_TOKEN) {
  const body = change(Buffer.from(token.split('.')[1], 'base64url').subarray(0, -32));
  const secret = mac(adminToken, 'courtside operators').toString('base64url');
  return `demo.${Buffer.concat([body, mac(mac(secret, 'courtside token demo.[operator]'), body)]).toString('base64url')}`;
}

/** A number as postcard writes it, seven bits to a byte. @param {number} ms */
function varint(ms) {
  const bytes = [];
  for (let rest = BigInt(ms); bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0)) && rest > 127n;) rest >>= 7n;
  return Buffer.from(bytes);
}

/** With another time of issue. @param {number} from @param {number} to @returns {(body: Buffer) => Buffer} */
const issuedAt = (from, to) => (body) => {
  const at = body.indexOf(varint(from));
  assert.ok(at > 0);
  return Buffer.concat([body.subarray(0, at), varint(to), body.subarray(at + varint(from).length)]);
};

test('one of another app, one that is over, and one of another secret let nobody in', async (t) => {
  const { token, issued: ms, expires } = await issued('demo');
  assert.equal(changed(token, (body) => body), token, 'this test makes them as the server does');
  assert.equal(await refusal(t, changed(token, issuedAt(ms, ms - (expires - ms) - 1))), 40142);
  assert.equal(await refusal(t, changed(token, (body) => body, 'another-admin-token')), 40143);
  const { body: { appId } } = await ask('POST', '/apps');
  assert.equal(await refusal(t, token.replace('demo.', `${appId}.`)), 40143);
  assert.equal(await refusal(t, token.replace('demo.', '*.')), 40143);
  const renewed = await connected(t, runtime, { key: undefined, token });
  await renewed.auth.authorize(undefined, { token: (await issued('demo')).token });
  assert.equal(renewed.connection.state, 'connected', 'a connection goes on with another');
});

test('with another admin token those of before are over', { timeout: 60_000 }, async (t) => {
  const before = await issued('demo');
  const client = realtime(t, runtime, { key: undefined, tokenDetails: before });
  await inState(client.connection, 'connected');
  await runtime.kill();
  runtime.variables = { ADMIN_TOKEN: 'admin-token-that-came-after' };
  const refused = new Promise((resolve) => client.connection.on('failed', ({ reason }) => resolve(reason)));
  await runtime.start();
  // It has no other to renew it with.
  assert.equal((await refused).code, 40171);
  assert.equal(await refusal(t, before.token), 40143);
  assert.equal((await ask('POST', '/apps/demo/tokens')).status, 401);
  const { status, body } = await ask('POST', '/apps/demo/tokens', 'Bearer admin-token-that-came-after');
  assert.equal(status, 201);
  await connected(t, runtime, { key: undefined, tokenDetails: body });
});
