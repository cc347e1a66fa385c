/**
 * Who may connect, as what and for how long: tokens of every kind with the published SDK, their renewal and their end.
 */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import test from 'node:test';
import { LiveObjects } from 'ably/liveobjects';
import { Inbox, changesOf, inState, realtime, rest } from './clients.mjs';
import { EventReader } from './event_reader.mjs';
import { unlessKilled } from './kills.mjs';
import { startRuntime } from './runtime.mjs';

const secret = 'a-secret-of-the-demo';
const runtime = await startRuntime({
  apps: [{
    id: 'demo',
    keys: [{ name: 'key1', secret }, { name: 'brief', secret, revocableTokens: true }, { name: 'guessed', secret }],
    namespaces: [{ id: 'named', authenticated: true }],
  }],
});
test.after(() => runtime.stop());

const full = { key: `demo.key1:${secret}` };
const brief = { key: `demo.brief:${secret}` };

/** A token, as an application server asks for it. @param {{ key: string }} by @param {object} [params] */
const tokenOf = async (by, params) => (await rest(runtime, by).auth.requestToken(params)).token;

/** @param {import('ably').ClientOptions} options @param {test.TestContext} t */
const client = (t, options) => realtime(t, runtime, { key: undefined, ...options });

/** The next change to a state. @param {import('ably').Realtime} of @param {import('ably').ConnectionEvent} event */
const next = (of, event) => new Promise((/** @type {(change: import('ably').ConnectionStateChange) => void} */ resolve) =>
  of.connection.once(event, resolve));

/**
 * A client is told that its token was revoked, or, if it was away just then, fails with it.
 * @param {import('ably').Realtime} of
 */
const sentAway = (of) => new Promise((resolve) => of.connection.on(({ reason }) => {
  if (reason?.code === 40141 || reason?.code === 40171) resolve(reason);
}));

/** Fails a client that is told to fail, and gives its reason. @param {import('ably').Realtime} of */
async function failure(of) {
  await assert.rejects(inState(of.connection, 'connected'));
  return /** @type {import('ably').ErrorInfo} */ (of.connection.errorReason);
}

/** @param {object} claims @param {object} [header] @param {string} [key] */
function jwt(claims, header = {}, key = secret) {
  const part = (/** @type {object} */ value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const signed = `${part({ alg: 'HS256', typ: 'JWT', kid: 'demo.key1', ...header })}.${part({ iat: now, exp: now + 60, ...claims })}`;
  return `${signed}.${crypto.createHmac('sha256', key).update(signed).digest('base64url')}`;
}

test('tokens of every kind connect: literal, authCallback, authUrl, JWT', async (t) => {
  /**
   * What an application's server may answer, by path and content type.
   * @type {Record<string, [string, () => Promise<string>]>}
   */
  const pages = {
    '/request': ['application/json', async () => JSON.stringify(await rest(runtime, full).auth.createTokenRequest({ clientId: 'url request' }))],
    '/details': ['application/json', async () => JSON.stringify(await rest(runtime, full).auth.requestToken({ clientId: 'url details' }))],
    '/literal': ['text/plain', async () => tokenOf(full, { clientId: 'url literal' })],
    '/jwt': ['application/jwt', async () => jwt({ 'x-ably-clientId': 'url jwt' })],
  };
  const server = http.createServer(async (request, response) => {
    const [type, page] = pages[new URL(request.url ?? '', 'http://any').pathname];
    response.setHeader('content-type', type).end(await page());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  /** @type {[import('ably').ClientOptions, string][]} */
  const cases = [
    [{ token: await tokenOf(full, { clientId: 'literal' }) }, 'literal'],
    [{ tokenDetails: await rest(runtime, full).auth.requestToken({ clientId: 'details' }) }, 'details'],
    [{ authCallback: (_, give) => void tokenOf(full, { clientId: 'callback' }).then((token) => give(null, token)) }, 'callback'],
    [{ authCallback: (_, give) => void rest(runtime, full).auth.createTokenRequest({ clientId: 'request' }).then((request) => give(null, request)) }, 'request'],
    ...Object.keys(pages).map((path) => /** @type {[import('ably').ClientOptions, string]} */ (
      [{ authUrl: `http://127.0.0.1:${port}${path}`, authMethod: path === '/jwt' ? 'POST' : 'GET' }, `url ${path.slice(1)}`])),
    [{ token: jwt({ 'x-ably-clientId': 'jwt' }) }, 'jwt'],
    [{ token: jwt({}, { 'x-ably-token': await tokenOf(full, { clientId: 'in the header' }) }, 'anybody') }, 'in the header'],
    [{ token: jwt({ 'x-ably-token': await tokenOf(full, { clientId: 'in a claim' }) }, {}, 'anybody') }, 'in a claim'],
  ];
  await Promise.all(cases.map(async ([options, name]) => {
    const one = client(t, options);
    await inState(one.connection, 'connected');
    assert.equal(one.auth.clientId, name);
    assert.deepEqual((await rest(runtime, { key: undefined, ...options }).channels.get('c').history()).items, []);
  }));
});

test('a signed request may also come as a query', async () => {
  const request = await rest(runtime, full).auth.createTokenRequest({ clientId: 'ann', capability: { c: ['history'] }, ttl: 60_000 });
  const query = new URLSearchParams(Object.entries(request).map(([name, value]) => [name, String(value)]));
  const answer = await fetch(`${runtime.url}/keys/demo.key1/requestToken?${query}`);
  const details = await answer.json();
  assert.deepEqual([answer.status, details.clientId, details.capability], [201, 'ann', '{"c":["history"]}']);
  assert.equal(details.expires - details.issued, 60_000);
  assert.equal((await fetch(`${runtime.url}/keys/demo.nobody/requestToken?${query}`)).status, 404);
});

test('a token that is over when its client connects is renewed', async (t) => {
  let tokens = 0;
  const fan = client(t, {
    authCallback: (_, give) => give(null, jwt(tokens++ ? {} : { iat: 1_000_000_000, exp: 1_000_000_060 })),
  });
  await inState(fan.connection, 'connected');
  assert.equal(tokens, 2);
});

test('what a JWT says of its client comes with all that it publishes', async (t) => {
  const reader = client(t, full);
  const inbox = await Inbox.of(reader.channels.get('claims:room'));
  const token = jwt({ 'x-ably-clientId': 'ann', 'ably.channel.claims:*': 'moderator', 'ably.channel.*': 'guest' });
  const channel = client(t, { token }).channels.get('claims:room');
  await channel.publish({ data: 'live', extras: { headers: { a: 1 } } });
  await rest(runtime, { key: undefined, token }).channels.get('claims:room').publish('n', 'rest');
  await channel.presence.enter('here');
  await rest(runtime, full).channels.get('claims:room').publish('n', 'end');
  await inbox.until('end');
  const claims = inbox.messages.map((message) => [message.data, message.extras?.userClaim]);
  assert.deepEqual(claims, [['live', 'moderator'], ['rest', 'moderator'], ['end', undefined]]);
  assert.deepEqual(inbox.messages[0].extras.headers, { a: 1 });
  const [member] = await reader.channels.get('claims:room').presence.get();
  assert.equal(member.extras.userClaim, 'moderator');
  const spoofed = { data: 'x', extras: { userClaim: 'owner' } };
  await assert.rejects(channel.publish(spoofed), { code: 40032 });
  await assert.rejects(rest(runtime, full).channels.get('claims:room').publish(spoofed), { code: 40032 });
});

test('each failure has its code, on a connection', async (t) => {
  const token = await tokenOf(full);
  /** @type {[import('ably').ClientOptions, number][]} */
  const cases = [
    [{ key: 'this.is:wrong' }, 40101],
    [{ key: 'demo.key1:wrong-secret' }, 40101],
    [{ key: `demo.nobody:${secret}` }, 40101],
    [{ token: 'invalid' }, 40101],
    [{ token: 'this.is.wrong' }, 40101],
    [{ token: token.replace('demo.', 'other.') }, 40101],
    [{ token: jwt({}, { kid: 'other.key1' }) }, 40101],
    [{ token: await tokenOf(full, { clientId: 'ann' }), clientId: 'bob' }, 40102],
    [{ token: await tokenOf(full), clientId: 'bob' }, 40102],
    [{ token: token.slice(0, -4) }, 40101],
    // What a renewal might mend ends a client that has nothing to renew with.
    [{ token: `${token.slice(0, -4)}AAAA` }, 40171],
    [{ token: jwt({}, {}, 'another-secret') }, 40171],
    [{ token: jwt({}, { alg: 'none' }) }, 40171],
    [{ token: jwt({}, { alg: 'RS256' }) }, 40171],
    [{ token: jwt({}, { kid: undefined }) }, 40171],
    [{ token: jwt({ exp: 1_000_000_000 }) }, 40171],
    [{ token: jwt({ iat: 4_000_000_000, exp: 4_000_000_060 }) }, 40104],
  ];
  await Promise.all(cases.map(async ([options, code]) => {
    const reason = await failure(client(t, options));
    assert.equal(reason.code, code, JSON.stringify(options));
    assert.ok(!reason.message.includes(secret));
  }));
  const refused = client(t, { authCallback: (_, give) => give('no token today', null) });
  assert.equal((await next(refused, 'disconnected')).reason?.code, 80019);
});

test('each failure has its code, over REST', async () => {
  /** @type {[import('ably').ClientOptions, number, number][]} */
  const cases = [
    [{ key: 'demo.key1:wrong-secret' }, 401, 40101],
    [{ key: `demo.nobody:${secret}` }, 401, 40400],
    [{ key: 'this.is:wrong' }, 401, 40101],
    [{ token: jwt({}, { kid: 'other.key1' }) }, 404, 40400],
    [{ token: jwt({}, {}, 'another-secret') }, 401, 40171],
  ];
  for (const [options, statusCode, code] of cases) {
    const history = rest(runtime, { key: undefined, ...options }).channels.get('c').history();
    await assert.rejects(history, (/** @type {any} */ error) => error.code === code && (code === 40171 || error.statusCode === statusCode), JSON.stringify(options));
  }
  await assert.rejects(rest(runtime, full).auth.requestToken({ capability: '{"c":["publish_"]}' }), { code: 40000, statusCode: 400 });
  await assert.rejects(rest(runtime, full).auth.requestToken({ ttl: -1 }), { statusCode: 400 });
});

test('a signed request is good for one, even from two places at once', async () => {
  const request = await rest(runtime, full).auth.createTokenRequest();
  const ask = () => fetch(`${runtime.url}/keys/demo.key1/requestToken`,
    { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(request) });
  const answers = await Promise.all(Array.from({ length: 8 }, ask));
  assert.deepEqual(answers.map((answer) => answer.status).sort(), [201, 401, 401, 401, 401, 401, 401, 401]);
  await runtime.evict('App');
  assert.equal((await (await ask()).json()).error.code, 40105, 'and is remembered');
});

const prompted = unlessKilled('who comes back with a token that ends soon is not asked for another before it ends');

test('a token of 35 seconds is renewed on the way, and nothing is interrupted', prompted, async (t) => {
  let tokens = 0;
  const fan = client(t, {
    authCallback: (_, give) => void tokenOf(full, { ttl: tokens++ ? 60_000 : 35_000 }).then((token) => give(null, token)),
  });
  await inState(fan.connection, 'connected');
  const { id } = fan.connection;
  const begun = Date.now();
  const inbox = await Inbox.of(fan.channels.get('renewal'));
  const interruptions = changesOf(fan, 'disconnected');
  await next(fan, 'update');
  assert.ok(Date.now() - begun > 3_000 && Date.now() - begun < 8_000, `after ${Date.now() - begun} ms`);
  assert.equal(fan.connection.id, id);
  await fan.channels.get('renewal').publish('n', 'still here');
  await inbox.until('still here');
  assert.equal(tokens, 2);
  assert.deepEqual(interruptions, []);
});

const first = unlessKilled('the connection goes with the process before its token does');

test('a token of 5 seconds is not asked for and ends with 40142; the client renews and resumes', first, async (t) => {
  let tokens = 0;
  const fan = client(t, {
    authCallback: (_, give) => void tokenOf(full, { ttl: tokens++ ? 60_000 : 5_000 }).then((token) => give(null, token)),
  });
  await inState(fan.connection, 'connected');
  const { id } = fan.connection;
  const inbox = await Inbox.of(fan.channels.get('expiry'));
  const updates = changesOf(fan, 'update');
  const { reason } = await next(fan, 'disconnected');
  assert.deepEqual([reason?.code, reason?.statusCode], [40142, 401]);
  assert.deepEqual(updates, [], 'it was not prompted');
  await rest(runtime, full).channels.get('expiry').publish('n', 'meanwhile');
  await inState(fan.connection, 'connected');
  await inbox.until('meanwhile');
  assert.equal(fan.connection.id, id, 'resumed');
});

test('a narrower token ends what it lost, and a wider one opens it again', async (t) => {
  const all = await tokenOf(full);
  const fan = client(t, { token: all });
  const [kept, lost] = ['kept', 'lost'].map((name) => fan.channels.get(name));
  await Promise.all([kept.attach(), lost.attach()]);
  const { id } = fan.connection;
  const denied = assert.rejects(inState(lost, 'detached'), { code: 40160 });
  await fan.auth.authorize(undefined, { token: await tokenOf(full, { capability: { kept: ['subscribe'] } }) });
  await denied;
  assert.equal(kept.state, 'attached');
  await assert.rejects(kept.publish('n', 'x'), { code: 40160 });
  await fan.auth.authorize(undefined, { token: await tokenOf(full) });
  await lost.attach();
  await lost.publish('n', 'x');
  assert.equal(fan.connection.id, id);
});

const told = unlessKilled('who comes back attaches anew, and that is no update');

test('a token that allows something else changes what a channel may do and knows, and it goes on', told, async (t) => {
  const bot = client(t, { token: await tokenOf(full, { clientId: 'bot' }) });
  await bot.channels.get('modes').presence.enter();
  const fan = client(t, { plugins: { LiveObjects }, token: await tokenOf(full, { capability: { modes: ['subscribe'] } }) });
  /** @type {any} */
  const options = { modes: ['subscribe', 'presence_subscribe', 'object_subscribe', 'object_publish'], updateOnAttached: true };
  const channel = fan.channels.get('modes', options);
  /** Goes on with a token of these operations, and gives how the channel says so. @param {string[]} operations */
  const authorize = async (...operations) => {
    const update = new Promise((resolve) => void channel.once('update', resolve));
    await fan.auth.authorize(undefined, { token: await tokenOf(full, { capability: JSON.stringify({ modes: operations }) }) });
    return [(await update).resumed, [...(channel.modes ?? [])].sort()];
  };
  const root = /** @type {any} */ (await channel.object.get());
  assert.deepEqual((await channel.presence.get()).map(({ clientId }) => clientId), ['bot']);
  await assert.rejects(async () => root.set('n', 1), { code: 40024 });
  const heard = ['object_subscribe', 'presence_subscribe', 'subscribe'];
  assert.deepEqual(await authorize('subscribe', 'object-publish'), [true, ['object_publish', ...heard]]);
  await root.set('n', 1);
  const left = new Promise((resolve) => void channel.presence.subscribe('leave', resolve));
  const objects = ['object_publish', 'object_subscribe'];
  assert.deepEqual(await authorize('object-subscribe', 'object-publish'), [true, objects]);
  assert.equal((await left).clientId, 'bot');
  assert.deepEqual(await channel.presence.get(), []);
  await root.set('n', 2);
  assert.deepEqual(root.compactJson(), { n: 2 });
  assert.deepEqual(await authorize('subscribe', 'object-publish'), [false, ['object_publish', ...heard]]);
  assert.deepEqual((await channel.presence.get()).map(({ clientId }) => clientId), ['bot']);
});

test('a client cannot become somebody else', async (t) => {
  const ann = client(t, { token: await tokenOf(full, { clientId: 'ann' }) });
  await inState(ann.connection, 'connected');
  const bob = await tokenOf(full, { clientId: 'bob' });
  await assert.rejects(ann.auth.authorize(undefined, { token: bob }), { code: 40102 });
});

const alone = unlessKilled('the process takes its connections along, and what it knows of guesses');

test('a revoked client is sent away, renews, and goes on; others are not touched', alone, async (t) => {
  const give = (/** @type {string} */ clientId) => client(t,
    { authCallback: (_, done) => void tokenOf(brief, { clientId }).then((token) => done(null, token)) });
  const [ann, bob] = [give('ann'), give('bob')];
  await Promise.all([ann, bob].map((one) => inState(one.connection, 'connected')));
  const stolen = await tokenOf(brief, { clientId: 'ann' });
  const interruptions = changesOf(bob, 'disconnected');
  const gone = next(ann, 'disconnected');
  await runtime.evict('Relay');
  const answer = await rest(runtime, brief).auth.revokeTokens([{ type: 'clientId', value: 'ann' }, { type: 'invalidType', value: 'abc' }]);
  assert.deepEqual([answer.successCount, answer.failureCount], [1, 1]);
  assert.equal((await gone).reason?.code, 40141);
  await inState(ann.connection, 'connected');
  await bob.channels.get('c').publish('n', 'x');
  assert.deepEqual(interruptions, [], 'bob was not revoked');
  assert.equal((await failure(client(t, { token: stolen }))).code, 40171);
  const read = await fetch(`${runtime.url}/channels/c/messages`, { headers: { authorization: `Bearer ${stolen}` } });
  assert.equal((await read.json()).error.code, 40141);
});

test('tokens end by their revocation key, and by a channel that they name', async (t) => {
  const give = (/** @type {object} */ claims) => client(t, { token: jwt(claims, { kid: 'demo.brief' }) });
  const [group, room, neither] = [
    { 'x-ably-revocation-key': 'group' }, { 'x-ably-capability': '{"room:*":["subscribe"]}' }, { 'x-ably-revocation-key': 'others' },
  ].map(give);
  await Promise.all([group, room, neither].map((one) => inState(one.connection, 'connected')));
  const ends = [group, room].map(sentAway);
  const answer = await rest(runtime, brief).auth.revokeTokens([{ type: 'revocationKey', value: 'group' }, { type: 'channel', value: 'room:*' }]);
  assert.equal(answer.successCount, 2);
  await Promise.all(ends);
  await neither.channels.get('elsewhere').publish('n', 'still here');
});

test('whatever goes on by a revoked token ends: a stream, a long poll, a request that waits', async (t) => {
  const token = await tokenOf(brief, { clientId: 'everywhere' });
  const stream = await EventReader.open(runtime, { access_token: token, v: '2', channels: 'everywhere' }, {});
  t.after(() => stream.leave());
  await stream.attached();
  const polling = client(t, { token, transports: ['comet'] });
  await inState(polling.connection, 'connected');
  const channel = rest(runtime, full).channels.get('everywhere');
  await channel.publish('n', 'before');
  const from = (await channel.history()).items[0].serial;
  const waiting = fetch(`${runtime.url}/channels/everywhere/messages?wait=20&from_serial=${from}&access_token=${token}`);
  // It waits, when another that came behind it does.
  const other = fetch(`${runtime.url}/channels/everywhere/messages?wait=1&from_serial=${from}&key=${full.key}`);
  assert.deepEqual(await (await other).json(), []);
  const ends = sentAway(polling);
  assert.equal((await rest(runtime, brief).auth.revokeTokens([{ type: 'clientId', value: 'everywhere' }])).successCount, 1);
  await ends;
  await channel.publish('n', 'after');
  const answer = await waiting;
  assert.deepEqual([answer.status, (await answer.json()).error.code], [401, 40141]);
  /** @type {any} */
  let event;
  do event = await stream.next(); while (event.event === 'message' && event.data.data === 'before');
  assert.deepEqual([event.event, event.data.code], ['error', 40141]);
});

test('a client that may not be present any more leaves', async (t) => {
  const ann = client(t, { token: await tokenOf(full, { clientId: 'present' }) });
  const watcher = client(t, { token: await tokenOf(full, { clientId: 'watcher' }) });
  await ann.channels.get('narrowed').presence.enter('here');
  const { presence } = watcher.channels.get('narrowed');
  await presence.subscribe('present', () => {});
  const left = new Promise((resolve) => void presence.subscribe('leave', resolve));
  await ann.auth.authorize(undefined, { token: await tokenOf(full, { clientId: 'present', capability: { narrowed: ['publish', 'subscribe'] } }) });
  assert.equal((await left).clientId, 'present');
  await ann.channels.get('narrowed').publish('n', 'still attached');
  assert.deepEqual(await rest(runtime, full).channels.get('narrowed').presence.get().then(({ items }) => items), []);
});

test('nobody publishes as the server', async (t) => {
  const fake = { name: '[meta]occupancy', data: { metrics: { connections: 1_000_000 } } };
  await assert.rejects(rest(runtime, full).channels.get('c').publish(fake), { code: 40030, statusCode: 400 });
  await assert.rejects(client(t, { token: await tokenOf(full) }).channels.get('c').publish(fake), { code: 40030 });
});

test('with a margin clients are asked for another token first', async (t) => {
  let tokens = 0;
  const renewed = Promise.withResolvers();
  const fan = client(t, {
    authCallback: (_, give) => void tokenOf(brief, { clientId: 'margin' }).then((token) => {
      if (++tokens === 2) renewed.resolve(undefined);
      give(null, token);
    }),
  });
  await inState(fan.connection, 'connected');
  /** @type {unknown[]} */
  const ends = [];
  fan.connection.on('disconnected', ({ reason }) => ends.push(reason?.code));
  const before = Date.now();
  const { results } = await rest(runtime, brief).auth.revokeTokens([{ type: 'clientId', value: 'margin' }], { allowReauthMargin: true });
  const [result] = /** @type {any[]} */ (results);
  assert.ok(result.appliesAt >= before + 30_000 - 1_000, `${result.appliesAt - before} ms`);
  // Whoever lost its connection meanwhile is asked again, or brings the token as it comes back.
  await renewed.promise;
  await fan.channels.get('c').publish('n', 'still here');
  assert.ok(!ends.includes(40141), 'there was time to renew');
});

test('revoking needs the key itself, and a key whose tokens can be', async () => {
  const specifier = { type: 'clientId', value: 'x' };
  await assert.rejects(rest(runtime, full).auth.revokeTokens([specifier]), { code: 40163 });
  const byToken = await fetch(`${runtime.url}/keys/demo.brief/revokeTokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await tokenOf(brief)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ targets: ['clientId:x'] }),
  });
  assert.deepEqual([byToken.status, (await byToken.json()).error.code], [401, 40162]);
});

test('an identified namespace wants a name', async (t) => {
  const channel = (/** @type {import('ably').ClientOptions} */ options) => client(t, options).channels.get('named:room');
  await assert.rejects(channel({ token: await tokenOf(full) }).attach(), { code: 40161 });
  await channel({ token: await tokenOf(full, { clientId: 'ann' }) }).attach();
});

test('who guesses a key is told to stop, and what is right passes, from the same address', alone, async (t) => {
  const guess = async (/** @type {number} */ number) => (await fetch(`${runtime.url}/channels/c/messages?key=demo.guessed:guess-${number}`)).status;
  const statuses = [];
  for (let number = 0; number < 100; number++) statuses.push(await guess(number));
  assert.equal(statuses[0], 401);
  assert.equal(statuses.at(-1), 429);
  const guessing = client(t, { key: 'demo.guessed:guess-again' });
  assert.equal((await next(guessing, 'disconnected')).reason?.code, 42910);
  const right = `demo.guessed:${secret}`;
  assert.equal((await fetch(`${runtime.url}/channels/c/messages?key=${right}`)).status, 200);
  await inState(client(t, { key: right }).connection, 'connected');
  assert.deepEqual((await rest(runtime, full).channels.get('guessed').history()).items, []);
  const token = await tokenOf(full);
  await inState(client(t, { token }).connection, 'connected');
});

test('a channel has a status', async () => {
  const { channelId, status } = await rest(runtime, full).channels.get('any/channel').status();
  assert.deepEqual([channelId, status.isActive, typeof status.occupancy.metrics.connections], ['any/channel', true, 'number']);
});

test('no secret and no token was printed', () => {
  assert.ok(!runtime.log.includes(secret));
});
