/**
 * What an operator does while the server runs: sees who is connected and ends it, keeps clients out, purges channels,
 * changes apps, and finds all of it in the audit. Two apps, of which nothing that is done to one reaches the other.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Inbox, closed, connected, inState, realtime, rest } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const token = 'an-admin-token-of-this-test';
const secret = 'a-secret-of-this-test';
const namespaces = [{ id: 'kept', persisted: true }, { id: 'edited', mutableMessages: true }, { id: 'last', persistLast: true }];
const apps = {
  apps: ['one', 'two'].map((id) => ({
    id,
    namespaces,
    keys: [
      { name: 'all', secret },
      { name: 'fan', secret, capability: { '*': ['subscribe', 'publish', 'presence', 'history'] } },
      { name: 'talker', secret, capability: { 'edited:*': ['subscribe', 'publish', 'history', 'message-update-own', 'annotation-publish'] } },
      { name: 'slow', secret, capability: { 'edited:slow': ['admin'] } },
      { name: 'room', secret, capability: { 'kept:room': ['admin', 'history', 'publish'] } },
    ],
  })),
};
const runtime = await startRuntime(apps, { variables: { ADMIN_TOKEN: token } });
test.after(() => runtime.stop());

/** @param {string} app @param {string} [name] */
const key = (app, name = 'all') => `${app}.${name}:${secret}`;

const operator = `Bearer ${token}`;

/**
 * @param {string} method @param {string} at @param {object} [body] @param {string} [authorization]
 * @returns {Promise<{ status: number, body: any, code: number, headers: Headers }>}
 */
async function ask(method, at, body, authorization = operator) {
  const headers = { authorization, ...(body && { 'content-type': 'application/json' }) };
  const response = await fetch(runtime.url + at, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  const code = Number(response.headers.get('x-ably-errorcode') ?? 0);
  return { status: response.status, body: text ? JSON.parse(text) : undefined, code, headers: response.headers };
}

/** @param {string} text */
const basic = (text) => `Basic ${btoa(text)}`;

/**
 * A client of one channel alone, whom the channel's own object holds.
 * @param {import('./clients.mjs').Scope} scope @param {string} clientId @param {string} channel
 */
async function held(scope, clientId, channel) {
  const client = new RawClient(runtime, { key: key('one', 'fan'), clientId, channel });
  scope.after(() => client.close());
  await client.expect(action.CONNECTED);
  client.send({ action: action.ATTACH, channel });
  await client.expect(action.ATTACHED);
  return client;
}

/** Until a check no longer fails. @param {() => Promise<boolean>} check */
async function until(check) {
  while (!await check()) await new Promise((resolve) => setTimeout(resolve, 20));
}

test('an operator sees who is connected, by client and channel, page after page', async (t) => {
  const ann = await connected(t, runtime, { key: key('one', 'fan'), clientId: 'ann' });
  const ben = await connected(t, runtime, { key: key('one', 'fan'), clientId: 'ben' });
  const other = await connected(t, runtime, { key: key('two'), clientId: 'ann' });
  await ann.channels.get('kept:listed').attach();
  // A client of one channel alone is held by the channel's own object.
  await held(t, 'cid', 'kept:listed');

  const all = (await ask('GET', '/apps/one/connections')).body;
  const shown = (/** @type {string} */ name) => all.find((/** @type {any} */ one) => one.clientId === name);
  assert.deepEqual(all.map((/** @type {any} */ one) => one.clientId).sort(), ['ann', 'ben', 'cid']);
  assert.equal(shown('ann').connectionId, ann.connection.id);
  assert.deepEqual([shown('ann').channels, shown('ann').transport, shown('ann').keyName], [['kept:listed'], 'websocket', 'one.fan']);
  assert.ok(Math.abs(shown('ben').since - Date.now()) < 600_000, 'a time of now');
  assert.ok(await runtime.evict('Relay') > 0);
  const later = (await ask('GET', '/apps/one/connections')).body.find((/** @type {any} */ one) => one.clientId === 'ben');
  assert.equal(later.since, shown('ben').since, 'it is known though the object has slept');
  assert.equal((await ask('GET', '/apps/two/connections')).body[0].connectionId, other.connection.id);

  const by = async (/** @type {string} */ query) => (await ask('GET', `/apps/one/connections?${query}`)).body
    .map((/** @type {any} */ one) => one.clientId).sort();
  assert.deepEqual(await by('clientId=ben'), ['ben']);
  assert.deepEqual(await by('channel=kept%3Alisted'), ['ann', 'cid']);
  assert.deepEqual(await by('channel=nowhere'), []);

  const paged = [];
  for (let at = '/apps/one/connections?limit=1'; at;) {
    const page = await ask('GET', at);
    paged.push(...page.body);
    const next = /<\.\/([^>]*)>; rel="next"/.exec(page.headers.get('link') ?? '');
    at = next ? `/apps/one/${next[1]}` : '';
  }
  assert.deepEqual(paged.map((one) => one.clientId).sort(), ['ann', 'ben', 'cid']);
  assert.equal(ben.connection.state, 'connected');
});

test('an operator ends a connection for good, or has clients come back', async (t) => {
  const dan = await connected(t, runtime, { key: key('one', 'fan'), clientId: 'dan' });
  const eve = await connected(t, runtime, { key: key('one', 'fan'), clientId: 'eve' });
  const other = await connected(t, runtime, { key: key('two'), clientId: 'dan' });
  const failed = dan.connection.once('failed');
  const done = await ask('POST', `/apps/one/connections/${dan.connection.id}/disconnect`);
  assert.deepEqual([done.status, done.body], [200, { disconnected: 1, unreachable: 0 }]);
  assert.equal((await failed).reason?.code, 80017);
  assert.equal((await ask('POST', `/apps/one/connections/${dan.connection.id}/disconnect`)).status, 404);

  const { id } = eve.connection;
  const away = eve.connection.once('disconnected');
  const back = eve.connection.once('connected');
  assert.equal((await ask('POST', '/apps/one/disconnect', { clientId: 'eve', reconnect: true })).body.disconnected, 1);
  await away;
  await back;
  assert.equal(eve.connection.id, id, 'resumed');

  await eve.channels.get('ended').attach();
  const ended = eve.connection.once('failed');
  assert.equal((await ask('POST', '/apps/one/disconnect', { channel: 'ended' })).body.disconnected, 1);
  await ended;
  assert.equal((await ask('POST', '/apps/one/disconnect', {})).code, 40000);
  assert.equal(other.connection.state, 'connected');
});

test('a ban ends a client at once, keeps it out by key and token, and is lifted', async (t) => {
  const fan = await connected(t, runtime, { key: key('one', 'fan'), clientId: 'mallory' });
  const other = await connected(t, runtime, { key: key('two'), clientId: 'mallory' });
  const failed = fan.connection.once('failed');
  const ban = await ask('POST', '/apps/one/bans', { clientId: 'mallory', duration: 3_600_000, reason: 'spam' });
  assert.equal(ban.status, 201);
  const { reason } = await failed;
  assert.equal(reason?.code, 40300);
  assert.match(reason?.message ?? '', /banned from this app; try again in 3600 s \(spam\)/);

  const { token: made } = await rest(runtime, { key: key('one', 'fan') }).auth.requestToken({ clientId: 'mallory' });
  for (const options of [{ key: key('one', 'fan'), clientId: 'mallory' }, { token: made, key: undefined }]) {
    const late = realtime({ after() {} }, runtime, options);
    assert.equal((await late.connection.once('failed')).reason?.code, 40300);
    await closed(late);
    const refused = rest(runtime, options).channels.get('kept:x').publish('a', 'b');
    await assert.rejects(refused, { code: 40300 });
  }
  // Nor in its name: not by a server, and not over a connection that may take any name.
  const server = rest(runtime, { key: key('one') });
  await assert.rejects(server.channels.get('kept:x').publish({ name: 'a', clientId: 'mallory' }), { code: 40300 });
  const wild = await connected(t, runtime, { key: key('one') });
  await assert.rejects(wild.channels.get('kept:x').publish({ name: 'a', clientId: 'mallory' }), { code: 40300 });
  await wild.channels.get('kept:x').publish({ name: 'a', clientId: 'alice' });
  await rest(runtime, { key: key('two'), clientId: 'mallory' }).channels.get('kept:x').publish('a', 'of two');
  assert.equal(other.connection.state, 'connected');

  const listed = (await ask('GET', '/apps/one/bans')).body;
  assert.deepEqual(listed.map((/** @type {any} */ one) => [one.clientId, one.reason]), [['mallory', 'spam']]);
  assert.deepEqual((await ask('GET', '/apps/two/bans')).body, []);
  assert.equal((await ask('DELETE', '/apps/one/bans?clientId=mallory')).status, 204);
  assert.equal((await ask('DELETE', '/apps/one/bans?clientId=mallory')).status, 404);
  await rest(runtime, { key: key('one', 'fan'), clientId: 'mallory' }).channels.get('kept:x').publish('a', 'again');
  await until(async () => {
    const again = realtime({ after() {} }, runtime, { key: key('one', 'fan'), clientId: 'mallory' });
    const state = await new Promise((resolve) => /** @type {any} */ (again.connection).once(['connected', 'failed'], resolve));
    await closed(again);
    return state.current === 'connected';
  });
});

test('a ban of channels ends what is attached there, and nothing else', async (t) => {
  const fan = await connected(t, runtime, { key: key('one', 'fan'), clientId: 'noisy' });
  const [room, news] = [fan.channels.get('chat:room'), fan.channels.get('news')];
  await room.presence.enter('here');
  await news.attach();
  const failed = room.once('failed');
  await ask('POST', '/apps/one/bans', { clientId: 'noisy', channel: 'chat:*' });
  assert.equal((await failed).reason?.code, 40300);
  const watcher = await connected(t, runtime, { key: key('one') });
  assert.deepEqual(await watcher.channels.get('chat:room').presence.get(), [], 'it has left');
  await news.publish('a', 'b');
  await assert.rejects(fan.channels.get('chat:other').attach(), { code: 40300 });
  await assert.rejects(rest(runtime, { key: key('one', 'fan'), clientId: 'noisy' }).channels.get('chat:x').publish('a', 'b'),
    { code: 40300 });
  assert.equal((await ask('DELETE', '/apps/one/bans?clientId=noisy&channel=chat%3A*')).status, 204);
});

test('a silent client reads and says nothing, by any door, under any name of its mark', async (t) => {
  const channel = 'edited:talk';
  const tokenOf = async (/** @type {string} */ clientId) => (await rest(runtime, { key: key('one', 'talker') })
    .auth.requestToken({ clientId })).token;
  const [loud, again, calm] = await Promise.all(['loud~1', 'other~1', 'calm~2'].map(tokenOf));
  const fan = await connected(t, runtime, { key: undefined, token: loud });
  const said = await fan.channels.get(channel).publish('a', 'before');
  const inbox = await Inbox.of(fan.channels.get(channel));
  const silence = { clientId: '*~1', channel, publishInterval: 0, reason: 'spam' };
  assert.equal((await ask('POST', '/apps/one/bans', silence)).body.publishInterval, 0);
  await until(() => fan.channels.get(channel).publish('a', 'after').then(() => false, ({ code }) => code === 40300));
  const refused = { code: 40300, message: /muted on this channel \(spam\)/ };
  const serial = String(said.serials[0]);
  const attempts = (/** @type {any} */ on) => [() => on.publish('a', 'b'), () => on.updateMessage({ serial, data: 'c' }),
    () => on.annotations.publish(serial, { type: 'x:flag.v1' })];
  const renamed = await connected(t, runtime, { key: undefined, token: again });
  for (const client of [fan, renamed, rest(runtime, { key: undefined, token: loud }), rest(runtime, { key: undefined, token: again })]) {
    for (const attempt of attempts(client.channels.get(channel))) await assert.rejects(attempt, refused);
  }
  for (const client of [await connected(t, runtime, { key: key('one') }), rest(runtime, { key: key('one') })]) {
    await assert.rejects(client.channels.get(channel).publish({ name: 'a', clientId: 'loud~1' }), refused, 'nor in its name');
  }
  assert.ok((await rest(runtime, { key: undefined, token: loud }).channels.get(channel).history()).items.length > 0);
  await fan.channels.get('edited:elsewhere').publish('a', 'b');
  await rest(runtime, { key: undefined, token: calm }).channels.get(channel).publish('a', 'of another');
  await inbox.until('of another');
  assert.equal((await ask('DELETE', `/apps/one/bans?clientId=*~1&channel=${channel}`)).status, 204);
  await until(() => fan.channels.get(channel).publish('a', 'again').then(() => true, () => false));
});

test('in slow mode each client says one message at a time, and moderators as many as they like', async (t) => {
  const channel = 'edited:slow';
  const signed = rest(runtime, { key: key('one', 'talker') }).auth;
  const { token } = await signed.requestToken({ clientId: 'ann~1' });
  const [first, second] = [await connected(t, runtime, { key: undefined, token }),
    await connected(t, runtime, { key: undefined, token })];
  const slow = await ask('POST', '/apps/one/bans', { clientId: '*', channel, publishInterval: 3_600_000 }, basic(key('one', 'slow')));
  assert.equal(slow.status, 201, JSON.stringify(slow.body));
  const tooSoon = { code: 42911 };
  const both = [{ data: 'one' }, { data: 'two' }];
  await until(() => first.channels.get(channel).publish(both).then(() => false, ({ code }) => code === 42911));
  await first.channels.get(channel).publish('a', 'the first');
  for (const client of [first, second]) await assert.rejects(client.channels.get(channel).publish('a', 'b'), tooSoon);
  await assert.rejects(rest(runtime, { key: undefined, token }).channels.get(channel).publish('a', 'b'), tooSoon);
  const nobody = await rest(runtime, { key: key('one', 'talker') }).auth.requestToken({});
  await assert.rejects(rest(runtime, { key: undefined, token: nobody.token }).channels.get(channel).publish('a', 'b'), tooSoon);
  const host = await rest(runtime, { key: key('one') }).auth.requestToken({ clientId: 'host' });
  const moderator = await connected(t, runtime, { key: undefined, token: host.token });
  for (const said of ['one', 'two']) {
    await moderator.channels.get(channel).publish('a', said);
    await rest(runtime, { key: undefined, token: host.token }).channels.get(channel).publish('a', said);
    await rest(runtime, { key: key('one', 'fan') }).channels.get(channel).publish('a', said);
  }
  assert.equal((await ask('DELETE', `/apps/one/bans?clientId=*&channel=${channel}`, undefined, basic(key('one', 'slow')))).status, 204);
  await until(() => second.channels.get(channel).publish('a', 'c').then(() => true, () => false));
});

test('a key that administers some channels bans on these alone', async () => {
  const by = basic(key('one', 'slow'));
  const ban = (/** @type {object} */ body) => ask('POST', '/apps/one/bans', body, by);
  assert.equal((await ban({ clientId: 'zed', channel: 'edited:slow' })).status, 201);
  for (const body of [{ clientId: 'zed' }, { clientId: 'zed', channel: 'edited:*' }, { clientId: 'zed', channel: '*' }]) {
    assert.equal((await ban(body)).code, 40160);
  }
  assert.equal((await ban({ clientId: '*', channel: 'edited:slow' })).code, 40012, 'everyone may be slowed, not kept out');
  assert.equal((await ban({ clientId: '*', channel: 'edited:slow', publishInterval: 'x' })).code, 40000);
  assert.equal((await ask('GET', '/apps/one/bans', undefined, by)).code, 40160);
  assert.equal((await ask('DELETE', '/apps/one/bans?clientId=zed', undefined, by)).code, 40160);
  assert.equal((await ask('DELETE', '/apps/one/bans?clientId=zed&channel=edited%3Aslow', undefined, by)).status, 204);
});

test('a ban outlives the memory of all objects, and reaches clients that a channel holds', async (t) => {
  const alone = await held(t, 'ivan', 'kept:alone');
  const fan = await connected(t, runtime, { key: key('one', 'fan'), clientId: 'judy' });
  await runtime.evict('App');
  await runtime.evict('Channel');
  await ask('POST', '/apps/one/bans', { clientId: 'ivan' });
  const { error } = await alone.expect(action.ERROR);
  assert.equal(error.code, 40300);
  const failed = fan.connection.once('failed');
  await ask('POST', '/apps/one/bans', { clientId: 'judy' });
  assert.equal((await failed).reason?.code, 40300);
  for (const name of /** @type {const} */ (['App', 'Relay', 'Channel'])) await runtime.evict(name);
  const late = realtime({ after() {} }, runtime, { key: key('one', 'fan'), clientId: 'judy' });
  assert.equal((await late.connection.once('failed')).reason?.code, 40300);
  await closed(late);
});

/** Whether a file of the storage holds a text. @param {string} text */
function isStored(text) {
  const files = fs.readdirSync(runtime.storage, { recursive: true, withFileTypes: true });
  return files.filter((file) => file.isFile())
    .some((file) => fs.readFileSync(path.join(file.parentPath, file.name)).includes(text));
}

test('a purged channel has nothing left, tells those who listen, and goes on upward', async (t) => {
  const marker = 'what-must-be-gone-from-the-disk';
  const fan = await connected(t, runtime, { key: key('one', 'fan'), clientId: 'kim' });
  const publisher = rest(runtime, { key: key('one') });
  const rooms = await Promise.all(['kept:room', 'edited:room', 'last:room'].map(async (name) => {
    const channel = fan.channels.get(name);
    const inbox = await Inbox.of(channel);
    await channel.presence.enter();
    await publisher.channels.get(name).publish('a', marker);
    await inbox.until(marker);
    const before = inbox.messages.at(-1)?.serial ?? '';
    if (name === 'edited:room') {
      await publisher.channels.get(name).updateMessage({ serial: before, data: `${marker} again` });
    }
    return { name, channel, inbox, before };
  }));
  await runtime.evict('Channel');
  assert.ok(isStored(marker), 'the disk has it');
  for (const { name, channel, inbox, before } of rooms) {
    const gap = new Promise((resolve) => channel.once('update', resolve));
    assert.equal((await ask('DELETE', `/apps/one/channels/${encodeURIComponent(name)}/messages`)).status, 204);
    const { resumed, reason } = await gap;
    assert.deepEqual([resumed, reason?.code], [false, 90003], name);
    assert.deepEqual((await publisher.channels.get(name).history()).items, []);
    assert.equal((await ask('GET', `/channels/${encodeURIComponent(name)}/messages/${encodeURIComponent(before)}`,
      undefined, basic(key('one')))).status, 404);
    await publisher.channels.get(name).publish('a', 'after');
    await inbox.until('after');
    assert.ok((inbox.messages.at(-1)?.serial ?? '') > before, 'serials go on');
    assert.equal((await channel.presence.get()).length, 1, 'who is present stays');
  }
  await runtime.evict('Channel');
  assert.ok(!isStored(marker), 'and has it no more');
});

test('a key purges what it may, and nobody else does', async () => {
  const purge = (/** @type {string} */ channel, /** @type {string} */ by) => ask('DELETE', `/channels/${channel}/messages`, undefined, by);
  assert.equal((await purge('kept%3Aroom', basic(key('one', 'room')))).status, 204);
  assert.equal((await purge('kept%3Aother', basic(key('one', 'room')))).code, 40160);
  assert.equal((await purge('kept%3Aroom', basic(key('one', 'fan')))).code, 40160);
  const { token: made } = await rest(runtime, { key: key('one', 'room') }).auth.requestToken();
  assert.equal((await purge('kept%3Aroom', `Bearer ${btoa(made)}`)).code, 40162);
});

test('only the operator, or a key of the app that may, administers it', async () => {
  const paths = ['/apps/one/connections', '/apps/one/bans', '/apps/one/audit', '/apps/one/keys', '/apps/one'];
  for (const at of paths) {
    assert.equal((await ask('GET', at, undefined, basic(key('one')))).status, 200, at);
    assert.equal((await ask('GET', at, undefined, basic(key('one', 'fan')))).code, 40160, at);
    assert.equal((await ask('GET', at, undefined, basic(key('one', 'room')))).code, 40160, at);
    assert.equal((await ask('GET', at, undefined, basic(key('two')))).code, 40160, at);
    assert.equal((await ask('GET', at, undefined, 'Bearer wrong')).code, 40101, at);
  }
  assert.equal((await ask('GET', '/apps/none/bans')).status, 404);
  assert.equal((await ask('POST', '/apps/none/bans', { clientId: 'a' })).status, 404);
  assert.equal((await ask('PATCH', '/apps/one', { namespaces: [] })).code, 40300, 'it is configured elsewhere');
  assert.equal((await ask('POST', '/apps/one/keys', {})).code, 40300);
});

test('the keys of a run-time app are added, rotated with an overlap, and removed', async (t) => {
  const app = (await ask('POST', '/apps', { keys: [{}] })).body;
  const at = `/apps/${app.appId}`;
  const old = app.keys[0];
  const added = (await ask('POST', `${at}/keys`, { capability: { '*': ['subscribe'] } })).body;
  const fan = await connected(t, runtime, { key: added.keyStr });
  const host = await connected(t, runtime, { key: old.keyStr });
  const rotated = await ask('POST', `${at}/keys/${old.id}/rotate`, { overlap: 3_600_000 });
  assert.equal(rotated.status, 201);
  assert.equal(rotated.body.capability, old.capability);
  for (const keyStr of [old.keyStr, rotated.body.keyStr]) {
    await until(() => rest(runtime, { key: keyStr }).channels.get('c').history().then(() => true, () => false));
  }
  await inState(host.connection, 'connected');
  const ended = await ask('POST', `${at}/keys/${rotated.body.id}/rotate`, { overlap: 0 });
  assert.equal(ended.status, 201);
  await assert.rejects(rest(runtime, { key: rotated.body.keyStr }).channels.get('c').history(), { statusCode: 401 });

  const failed = fan.connection.once('failed');
  assert.equal((await ask('DELETE', `${at}/keys/${added.id}`)).status, 204);
  assert.equal((await failed).reason?.code, 40101);
  const keys = (await ask('GET', `${at}/keys`)).body;
  assert.equal(keys.length, 3);
  assert.ok(!JSON.stringify(keys).includes(old.keySecret), 'no secret is shown again');
  assert.equal((await ask('DELETE', `${at}/keys/${ended.body.id}`)).code, 40300, 'the last without an end');
  assert.equal((await ask('POST', `${at}/keys/none/rotate`)).status, 404);
  assert.equal((await ask('POST', `${at}/keys/${old.id}/rotate`, { overlap: -1 })).code, 40000);
});

test('a webhook of a run-time app comes to name another key, and the old one goes', async () => {
  const hook = { id: 'log', url: 'https://example.com/hook' };
  const own = { id: 'own', url: 'https://example.com/own', secret: 'a-secret-of-its-own-0' };
  const app = (await ask('POST', '/apps', { keys: [{}] })).body;
  const [at, old] = [`/apps/${app.appId}`, app.keys[0]];
  assert.equal((await ask('PATCH', at, { webhooks: [{ ...hook, key: old.id }, own] })).status, 200);
  const rotated = (await ask('POST', `${at}/keys/${old.id}/rotate`, {})).body;
  assert.equal((await ask('DELETE', `${at}/keys/${old.id}`)).code, 40000, 'the webhook names it');
  const shown = (await ask('GET', at)).body.webhooks;
  assert.ok(!JSON.stringify(shown).includes(own.secret));
  shown[0].key = rotated.id;
  const changed = (await ask('PATCH', at, { webhooks: shown })).body.webhooks;
  assert.ok(changed[0].changed > shown[0].changed, 'which the server says');
  assert.deepEqual(changed, [{ ...shown[0], changed: changed[0].changed }, shown[1]]);
  assert.equal((await ask('DELETE', `${at}/keys/${old.id}`)).status, 204);
  const bare = { ...hook, key: rotated.id, requestMode: 'single', enveloped: false };
  assert.equal((await ask('PATCH', at, { webhooks: [bare] })).code, 40000, 'a key signs nothing that clients say');
  assert.deepEqual((await ask('GET', at)).body.webhooks, changed);
});

test('the namespaces of a run-time app change for those who are connected', async (t) => {
  const app = (await ask('POST', '/apps', { keys: [{}], namespaces: [{ id: 'a', persisted: true }] })).body;
  const at = `/apps/${app.appId}`;
  const client = await connected(t, runtime, { key: app.keys[0].keyStr });
  const channel = client.channels.get('edited:c');
  const sent = await channel.publish('n', 'first');
  await assert.rejects(channel.updateMessage({ serial: sent.serials[0] ?? '', data: 'x' }), { code: 93002 });
  assert.equal((await ask('PUT', `${at}/namespaces/edited`, { mutableMessages: true })).status, 200);
  const changed = await channel.publish('n', 'second');
  await until(() => channel.updateMessage({ serial: changed.serials[0] ?? '', data: 'x' }).then(() => true, () => false));
  assert.equal(client.connection.state, 'connected', 'and stay so');
  assert.deepEqual((await ask('GET', `${at}/namespaces`)).body.map((/** @type {any} */ one) => one.id), ['a', 'edited']);
  assert.equal((await ask('DELETE', `${at}/namespaces/a`)).status, 204);
  assert.equal((await ask('DELETE', `${at}/namespaces/a`)).status, 404);
  const all = await ask('PATCH', at, { namespaces: [{ id: 'b', tlsOnly: true }] });
  assert.deepEqual(all.body.namespaces.map((/** @type {any} */ one) => one.id), ['b']);
  const wrong = await ask('PATCH', at, { keys: [] });
  assert.equal(wrong.code, 40000);
  assert.match(wrong.body.error.message, /namespaces, webhooks or push alone/);
  assert.equal((await ask('PUT', `${at}/namespaces/c`, { persited: true })).code, 40000);
});

test('all of it is in the audit and in the log, without a secret', async () => {
  const app = (await ask('POST', '/apps', { keys: [{}] })).body;
  const made = (await ask('POST', `/apps/${app.appId}/keys`, {})).body;
  await ask('POST', `/apps/${app.appId}/bans`, { clientId: 'zed' }, basic(app.keys[0].keyStr));
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const purged = await fetch(`${runtime.url}/apps/${app.appId}/channels/c/messages`, { method: 'DELETE', headers: { authorization: operator, traceparent } });
  assert.equal(purged.status, 204);
  await ask('DELETE', '/apps/one/channels/c/messages');
  const entries = (await ask('GET', `/apps/${app.appId}/audit`)).body;
  assert.deepEqual(entries.map((/** @type {any} */ one) => [one.action, one.target, one.by]), [
    ['purge', 'channel c', 'operator'],
    ['ban', 'clientId zed', `key ${app.keys[0].keyName}`],
    ['add key', made.id, 'operator'],
  ]);
  await ask('DELETE', `/apps/${app.appId}`);
  const all = (await ask('GET', '/audit?limit=100')).body.filter((/** @type {any} */ one) => one.appId === app.appId);
  assert.deepEqual(all.map((/** @type {any} */ one) => one.action), ['delete app', 'purge', 'ban', 'add key', 'create app']);
  const own = (await ask('GET', '/audit', undefined, basic(key('one')))).body;
  assert.ok(own.length > 0 && own.every((/** @type {any} */ one) => one.appId === 'one'));
  for (const text of [app.keys[0].keySecret, made.keySecret, token]) {
    assert.ok(!runtime.log.includes(text) && !JSON.stringify([entries, all, own]).includes(text));
  }
  // What it prints comes by a way of its own, perhaps after the answer.
  await until(async () => runtime.log.includes(`"action":"delete app","target":"${app.appId}"`));
  assert.ok(runtime.log.includes(`"appId":"${app.appId}","by":"key ${app.keys[0].keyName}","action":"ban"`), 'a line of JSON');
  const lines = runtime.log.split('\n').filter((line) => line.includes('"action":"purge"') && line.includes(app.appId));
  assert.deepEqual(lines.map((line) => JSON.parse(line).traceId), ['4bf92f3577b34da6a3ce929d0e0e4736'], 'which trace it was part of');
  const pages = await ask('GET', `/audit?limit=1`);
  assert.equal(pages.body.length, 1);
  assert.match(pages.headers.get('link') ?? '', /rel="next"/);
});
