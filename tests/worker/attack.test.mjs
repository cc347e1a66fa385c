/**
 * What an attacker sends over HTTP: too long, too deep, split where nothing should be, or asking for what it may not
 * see.
 */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import test, { after } from 'node:test';
import { rest, wholeHistory } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const secret = 'a-secret-of-the-demo';
const other = 'another-secret-here';
const runtime = await startRuntime({
  apps: [
    { id: 'demo', keys: [{ name: 'key1', secret }, { name: 'chat', secret: other, capability: { 'chat:*': ['*'] } }] },
    { id: 'other', keys: [{ name: 'key1', secret: other }] },
  ],
});
after(() => runtime.stop());

const key = `demo.key1:${secret}`;
const json = { 'content-type': 'application/json' };
const MEGABYTE = 'x'.repeat(1 << 20);
/** 1,000 deep. */
const DEEP = `${'{"a":'.repeat(1_000)}1${'}'.repeat(1_000)}`;

/**
 * A request whose path goes out as it is written: `fetch` would resolve and encode it.
 * @param {string} path
 * @param {{ method?: string, headers?: Record<string, string>, body?: string }} [options]
 * @returns {Promise<{ status: number, headers: http.IncomingHttpHeaders, body: any, text: string }>}
 */
function raw(path, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: runtime.port, path, method, headers, agent: false });
    request.on('error', reject).on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => { text += chunk; }).on('end', () => {
        let parsed;
        try {
          parsed = JSON.parse(text);
        } catch {
          parsed = undefined;
        }
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parsed, text });
      });
    });
    request.end(body);
  });
}

/** @param {object | string} body @param {string} [name] */
const tokenRequest = (body, name = 'demo.key1') => raw(`/keys/${name}/requestToken`,
  { method: 'POST', headers: json, body: typeof body === 'string' ? body : JSON.stringify(body) });

/**
 * As an application server signs it.
 * @param {Record<string, any>} fields
 * @param {string} by
 * @returns {Record<string, any>}
 */
function signed(fields, by = secret) {
  /** @type {Record<string, any>} */
  const body = { keyName: 'demo.key1', timestamp: Date.now(), nonce: crypto.randomUUID(), ...fields };
  const { keyName, ttl = '', capability = '', clientId = '', timestamp, nonce } = body;
  const text = [keyName, ttl, capability, clientId, timestamp, nonce].map((field) => `${field}\n`).join('');
  return { ...body, mac: crypto.createHmac('sha256', by).update(text).digest('base64') };
}

/** @param {object} claims @param {string} [by] */
function jwt(claims, by = secret) {
  const part = (/** @type {object} */ value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const text = `${part({ alg: 'HS256', kid: 'demo.key1' })}.${part({ iat: now, exp: now + 60, ...claims })}`;
  return `${text}.${crypto.createHmac('sha256', by).update(text).digest('base64url')}`;
}

const bearer = (/** @type {string} */ token) => ({ authorization: `Bearer ${token}` });

test('a token request that is too much of anything is refused with its code', async () => {
  const cases = [
    [signed({ capability: 'not JSON' }), 400, 40000], [signed({ capability: DEEP }), 400, 40000],
    [signed({ capability: '['.repeat(1_000) }), 400, 40000], [signed({ clientId: 'x'.repeat(256) }), 400, 40012],
    [signed({ capability: MEGABYTE }), 400, 40009], [signed({ clientId: MEGABYTE }), 400, 40009],
    [signed({ capability: 'x'.repeat(15_000) }), 400, 40000], [signed({ clientId: 'x'.repeat(15_000) }), 400, 40012],
    [signed({}, other), 401, 40101], [signed({ keyName: 'demo.chat' }, other), 401, 40101],
    [signed({ keyName: 'other.key1' }, other), 401, 40101], [DEEP, 400, 40001], ['['.repeat(10_000), 400, 40001],
    ['['.repeat(100_000), 400, 40009],
  ];
  for (const [body, status, code] of cases) {
    const answer = await tokenRequest(/** @type {any} */ (body));
    assert.deepEqual([answer.status, answer.body.error.code], [status, code], JSON.stringify(body).slice(0, 100));
    assert.ok(answer.text.length < 1_000, 'nothing of it comes back');
  }
  assert.equal((await tokenRequest(signed({}))).status, 201, 'and a good one is good');
});

test('a token request signed for a clientId that its user chose is good for no other', async () => {
  const [now, head] = [Date.now(), 'x'.repeat(16)];
  for (const clientId of ['admin', '*']) {
    const ours = signed({ clientId: `${clientId}\n${now}\n${head}` });
    assert.deepEqual((await tokenRequest(ours)).body.error.code, 40012);
    const anew = { ...ours, clientId, timestamp: now, nonce: `${head}\n${ours.timestamp}\n${ours.nonce}` };
    const query = new URLSearchParams(Object.entries(anew).map(([name, value]) => [name, String(value)]));
    const answers = [await tokenRequest(anew), await raw(`/keys/demo.key1/requestToken?${query}`)];
    assert.deepEqual(answers.map((answer) => answer.body.error?.code), [40003, 40003], clientId);
  }
});

test('a JWT that is too much of anything is refused with its code', async () => {
  const cases = [
    [jwt({ 'x-ably-capability': 'not JSON' }), 40000], [jwt({ 'x-ably-capability': DEEP }), 40000],
    [jwt({ 'x-ably-capability': JSON.parse(`${'{"a":'.repeat(100)}1${'}'.repeat(100)}`) }), 40000],
    [jwt({ 'x-ably-clientId': 'x'.repeat(256) }), 40012], [jwt({ 'x-ably-clientId': 7 }), 40144],
    [jwt({ 'x-ably-revocation-key': 'x'.repeat(256) }), 40003], [jwt({ 'ably.channel.*': 'x'.repeat(1_000) }), 40003],
    [jwt({ padding: 'x'.repeat(16 * 1024) }), 40101], [jwt({}, other), 40144],
  ];
  for (const [token, code] of cases) {
    const answer = await raw('/channels/c/messages', { headers: bearer(String(token)) });
    assert.equal(answer.body.error.code, code);
    const client = new RawClient(runtime, { access_token: String(token) });
    const { error } = await client.expect(action.ERROR);
    assert.equal(error.code, code);
    await client.closed();
  }
});

test('a clientId of any length is only too long', async () => {
  const encoded = { authorization: `Basic ${btoa(key)}`, 'x-ably-clientid': btoa('x'.repeat(6_000)) };
  assert.equal((await raw('/channels/c/messages', { headers: encoded })).body.error.code, 40012);
  const post = (/** @type {object} */ message) => raw(`/channels/c/messages?key=${key}`,
    { method: 'POST', headers: json, body: JSON.stringify(message) });
  assert.equal((await post({ clientId: MEGABYTE })).body.error.code, 40009);
  assert.equal((await post({ clientId: 'x'.repeat(300_000) })).body.error.code, 40012);
  assert.deepEqual((await raw(`/channels/c/messages?key=${key}`)).body, [], 'nothing of it was published');
});

test('no name breaks out of a header or a path', async () => {
  const line = '%0D%0ASet-Cookie:%20stolen=1%0D%0A%0D%0A<script>';
  const asked = [
    `/channels/${line}/messages?key=${key}`, `/channels/c/messages?key=${key}&cursor=${line}`, `/${line}?key=${key}`,
    `/channels/c/messages?key=${key}&direction=${line}`, `/channels/c/messages?key=${line}`, `/keys/${line}/requestToken`,
    `/channels/c/messages?key=${key}&limit=1&start=${line}`, `/channels/c/messages?access_token=${line}`, `/apps/${line}`,
    `/channels/c/messages?key=${key}&format=${line}&envelope=${line}&limit=0`, `/presence?key=${key}&channels=${line}`,
    `/channels/c/presence?key=${key}&clientId=${line}&connectionId=${line}`,
  ];
  for (const path of asked) {
    const answer = await raw(path.replaceAll('<', '%3C').replaceAll('>', '%3E'));
    assert.equal(answer.headers['set-cookie'], undefined, path);
    assert.equal(answer.headers['content-type'], 'application/json', path);
    assert.ok(!JSON.stringify(answer.headers).includes('stolen=1\\r'), path);
  }
  const limited = await raw(`/channels/c/messages?key=${key}&limit=1&from_serial=${line}`);
  assert.ok(!/[\r\n]/.test(String(limited.headers.link ?? '')));
  const body = JSON.stringify({ channels: ['a\r\nX: y', 'ok'], messages: { data: 'x' } });
  const batch = await raw(`/messages?key=${key}`, { method: 'POST', headers: json, body });
  assert.deepEqual([batch.body.successCount, batch.body.results[0].error.code], [1, 40010]);
});

test('a path leads where it says, whatever is encoded in it', async () => {
  const names = ['...', '../demo/x', 'a/../b', '%2e%2e', '%2F', '//', '\\..\\x', 'a?b#c', 'a;b', 'other/key1', 'ü\u202e☃'];
  for (const name of names) {
    // What is a segment `.` or `..`, however it is encoded, every URL resolves: a channel of that name has no path.
    const path = `/channels/${encodeURIComponent(name).replaceAll('.', '%2E')}/messages?key=${key}`;
    const post = await raw(path, { method: 'POST', headers: json, body: JSON.stringify({ data: name }) });
    assert.deepEqual([post.status, post.body.channel], [201, name], path);
  }
  for (const name of names) {
    const told = (await wholeHistory(rest(runtime, { key }).channels.get(name))).map((message) => message.data);
    assert.deepEqual(told, [name], name);
  }
  for (const path of [
    `/channels/a/../../apps?key=${key}`, `/channels/a%00b/messages?key=${key}`, `/channels/%/messages?key=${key}`,
    `/channels/%C0%AE%C0%AE/messages?key=${key}`, `/channels/a%ZZ/messages?key=${key}`, `/..%2f..%2fetc/passwd`, '/../../etc/passwd',
    '/vendor/..%2f..%2fwrangler.toml', '/%2e%2e/wrangler.toml', '/.env', '//demo', '/channels//messages',
  ]) {
    const answer = await raw(path);
    assert.ok([400, 401, 404, 405].includes(answer.status), `${path}: ${answer.status}`);
    assert.ok(!answer.text.includes('compatibility_date') && !answer.text.includes('root:'), path);
  }
});

test('what may be done on one channel, or in one app, may not be done on another by any spelling', async () => {
  const chat = `demo.chat:${other}`;
  const status = async (/** @type {string} */ name) => (await raw(`/channels/${name}/messages?key=${chat}`)).body.error?.code;
  assert.equal(await status('chat:a'), undefined);
  for (const name of ['chat', 'chat%2Fa', 'Chat:a', 'chat%253Aa', '%5B*%5Dchat:a', '%5Bmeta%5Dchat:a', 'chat%EF%BC%9Aa', 'xchat:a', '%20chat:a']) {
    assert.ok([40160, 40010].includes(await status(name)), name);
  }
  await raw(`/channels/shared/messages?key=other.key1:${other}`, { method: 'POST', headers: json, body: '{"data":"theirs"}' });
  for (const name of ['shared', '..%2Fother%2Fshared', 'other%2Fshared', '%2Fshared']) {
    assert.deepEqual((await raw(`/channels/${name}/messages?key=${key}`)).body, [], name);
  }
});

test('secrets and tokens come back in no answer, no frame and no log', async () => {
  const { body: details } = await tokenRequest(signed({}));
  const secrets = [secret, other, details.token, jwt({}), jwt({}, other)];
  for (const presented of [key, `demo.key1:${other}`, ...secrets.slice(2)]) {
    const isKey = presented.includes(':');
    const parameter = `${isKey ? 'key' : 'access_token'}=${presented}`;
    const authorization = isKey ? `Basic ${btoa(presented)}` : `Bearer ${presented}`;
    const answers = await Promise.all([
      raw(`/channels/c/messages?${parameter}&limit=1`), raw(`/channels/c?${parameter}&envelope=json`), raw(`/nowhere?${parameter}`),
      raw(`/channels/c/messages?${parameter}&limit=${presented}`), raw('/stats', { headers: { authorization } }),
      raw(`/channels/c/messages?${parameter}`, { method: 'POST', headers: json, body: `{"data":{"${presented}` }),
      raw(`/${presented}`), raw('/', { headers: { authorization } }), raw('/time', { method: 'PUT', headers: { authorization } }),
    ]);
    const client = new RawClient(runtime, { [isKey ? 'key' : 'access_token']: presented, resume: presented });
    const frame = await client.next();
    client.close();
    const said = answers.map((answer) => JSON.stringify(answer.headers) + answer.text).join() + JSON.stringify(frame);
    for (const hidden of secrets) assert.ok(!said.includes(hidden), `${hidden} in ${said}`);
  }
  for (const hidden of secrets) assert.ok(!runtime.log.includes(hidden));
});
