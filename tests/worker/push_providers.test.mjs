/** Push by FCM and APNs, by the published SDK and services on this machine. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import test, { after } from 'node:test';
import { rest } from './clients.mjs';
import { PushProviders, apnsError, fcmError } from './push_providers.mjs';
import { startRuntime } from './runtime.mjs';

const providers = await PushProviders.start({ after });
const strangers = await PushProviders.start({ after });

/** @param {string} id @param {object} [more] */
const app = (id, more) => ({
  id, keys: [{ name: 'key1', secret: 'local-only' }], namespaces: [{ id: 'match', pushEnabled: true }], ...more,
});
// Signed by a key that is not the sender's.
const strange = { ...strangers.fcm.serviceAccount, token_uri: `${strangers.origin}/token` };
const apps = {
  apps: [
    app('demo', { push: { fcm: providers.fcm, apns: providers.apns } }),
    app('none'),
    app('wrong', { push: { fcm: { ...providers.fcm, serviceAccount: strange } } }),
  ],
};
const variables = { PUSH_PRIVATE_ADDRESSES: 'true', ADMIN_TOKEN: 'local-admin' };
const runtime = await startRuntime(apps, { variables });
after(() => runtime.stop());

const client = rest(runtime, /** @type {any} */ ({ pushFullWait: true }));
const { admin } = client.push;

/** @param {string} name */
const appleToken = (name) => crypto.createHash('sha256').update(name).digest('hex');
const kinds = {
  fcm: (/** @type {string} */ name) => ({ transportType: 'fcm', registrationToken: name }),
  apns: (/** @type {string} */ name) => ({ transportType: 'apns', deviceToken: appleToken(name) }),
};
/** @typedef {keyof typeof kinds} Kind */

/** The recipient as the service knows it. @param {Kind} kind @param {string} name */
const address = (kind, name) => (kind === 'fcm' ? name : appleToken(name));

/** @param {Kind} kind @param {string} id @param {object} [more] @returns {any} */
const device = (kind, id, more) => ({
  id, platform: kind === 'fcm' ? 'android' : 'ios', formFactor: 'phone', push: { recipient: kinds[kind](id) }, ...more,
});

/** @param {string} id @param {import('ably').Rest} [by] @returns {Promise<[string, number | undefined]>} */
const state = async (id, by = client) => {
  const { push } = /** @type {any} */ (await by.push.admin.deviceRegistrations.get(id));
  assert.deepEqual(push.errorReason, push.error);
  return [push.state, push.error?.code];
};

const payload = {
  notification: { title: 'Goal', body: '1:0', sound: 'bang', collapseKey: 'match-7' },
  data: { match: '7' },
};

for (const kind of /** @type {Kind[]} */ (['fcm', 'apns'])) {
  test(`a device of ${kind} is told by its id, its client, its channel, and without registration`, async () => {
    const name = `${kind}-all`;
    await admin.deviceRegistrations.save(device(kind, name, { clientId: `${kind}-ann` }));
    await admin.channelSubscriptions.save({ channel: `match:${kind}`, deviceId: name });
    await admin.publish({ deviceId: name }, payload);
    await admin.publish({ clientId: `${kind}-ann` }, payload);
    await admin.publish(kinds[kind](name), payload);
    await client.channels.get(`match:${kind}`).publish({ name: 'goal', extras: { push: payload } });
    const received = await providers.until(address(kind, name), 4);
    assert.equal(new Set(received.map(({ message }) => JSON.stringify(message))).size, 1, 'the same in all ways');
    assert.deepEqual(await state(name), ['ACTIVE', undefined]);
    assert.deepEqual(providers.faults, []);
  });

  test(`${kind} is asked again when it is busy`, async () => {
    const name = `${kind}-busy`;
    providers.answers.set(address(kind, name), [{ status: 503, headers: { 'retry-after': '1' } }]);
    await admin.deviceRegistrations.save(device(kind, name));
    await admin.publish({ deviceId: name }, payload);
    const [first, second] = await providers.until(address(kind, name), 2);
    assert.deepEqual(first?.message, second?.message);
    assert.equal(first?.headers['apns-id'], second?.headers['apns-id'], 'one notification');
    assert.deepEqual(await state(name), ['ACTIVE', undefined]);
  });

  test(`a device that ${kind} no longer knows gets nothing more, until it is registered anew`, async () => {
    const name = `${kind}-gone`;
    const answer = kind === 'fcm' ? fcmError(404, 'UNREGISTERED') : apnsError(410, 'Unregistered');
    providers.answers.set(address(kind, name), [answer]);
    await admin.deviceRegistrations.save(device(kind, name));
    await admin.publish({ deviceId: name }, payload);
    assert.deepEqual(await state(name), ['FAILED', 103005]);
    await admin.publish({ deviceId: name }, payload);
    assert.equal(providers.to(address(kind, name)).length, 1);
    await admin.deviceRegistrations.save(device(kind, name));
    await admin.publish({ deviceId: name }, payload);
    assert.equal(providers.to(address(kind, name)).length, 2);
  });

  test(`what ${kind} refuses is not sent again`, async () => {
    const name = `${kind}-bad`;
    const answer = kind === 'fcm' ? fcmError(400, 'INVALID_ARGUMENT') : apnsError(400, 'BadExpirationDate');
    providers.answers.set(address(kind, name), [answer]);
    await admin.deviceRegistrations.save(device(kind, name));
    await admin.publish({ deviceId: name }, payload);
    assert.deepEqual(await state(name), ['FAILING', 103004]);
    assert.equal(providers.to(address(kind, name)).length, 1);
  });

  test(`an app without credentials for ${kind} says so`, async () => {
    const none = rest(runtime, /** @type {any} */ ({ key: 'none.key1:local-only', pushFullWait: true }));
    await assert.rejects(none.push.admin.publish(kinds[kind]('x'), payload), { code: 103006 });
    await none.push.admin.deviceRegistrations.save(device(kind, 'x'));
    await none.push.admin.publish({ deviceId: 'x' }, payload);
    assert.deepEqual(await state('x', none), ['FAILING', 103006]);
  });
}

test('FCM gets a message of its own form, and what is for Android alone', async () => {
  const notification = { click_action: 'OPEN', title: 'GOAL' };
  const fcm = { priority: 'high', token: 'someone-else', topic: 'all', notification };
  await admin.publish(kinds.fcm('form'), { ...payload, fcm, apns: { aps: { badge: 3 } } });
  const [{ message } = { message: null }] = await providers.until('form', 1);
  assert.deepEqual(message, {
    token: 'form',
    notification: { title: 'GOAL', body: '1:0' },
    data: { match: '7' },
    android: { collapse_key: 'match-7', priority: 'HIGH', notification: { sound: 'bang', click_action: 'OPEN' } },
  });
});

test('APNs gets a notification of its own form, and headers that the payload says', async () => {
  await admin.publish(kinds.apns('form'), payload);
  const apns = { 'apns-headers': { 'apns-priority': 1 }, aps: { badge: 3 } };
  await admin.publish(kinds.apns('form'), { data: { quiet: 'yes' } });
  await admin.publish(kinds.apns('form'), { ...payload, apns });
  const [plain, quiet, own] = await providers.until(appleToken('form'), 3);
  const aps = { alert: { title: 'Goal', body: '1:0' }, sound: 'bang', 'thread-id': 'match-7' };
  assert.deepEqual(plain?.message, { match: '7', aps });
  const headers = (/** @type {any} */ received) =>
    ['topic', 'push-type', 'priority', 'collapse-id'].map((name) => received.headers[`apns-${name}`]);
  assert.deepEqual(headers(plain), ['com.example.match', 'alert', '10', 'match-7']);
  assert.match(String(plain?.headers['apns-id']), /^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-8[\da-f]{3}-[\da-f]{12}$/);
  assert.ok(Number(plain?.headers['apns-expiration']) > Date.now() / 1000);
  assert.deepEqual([quiet?.message, headers(quiet)], [
    { quiet: 'yes', aps: { 'content-available': 1 } }, ['com.example.match', 'background', '5', undefined],
  ]);
  assert.deepEqual([own?.message, headers(own)[2]], [{ match: '7', aps: { ...aps, badge: 3 } }, '1']);
  const alien = { ...payload, apns: { 'apns-headers': { 'apns-topic': 'com.example.matchless' } } };
  await admin.deviceRegistrations.save(device('apns', 'alien'));
  await admin.publish({ deviceId: 'alien' }, alien);
  assert.deepEqual(await state('alien'), ['FAILING', 103004]);
});

test('a token is got once for many, again when it is denied, and not for ever', async () => {
  await admin.publish(kinds.fcm('first'), payload);
  const before = providers.exchanges;
  await Promise.all(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => admin.publish(kinds.fcm(name), payload)));
  assert.equal(providers.exchanges, before, 'it is kept');
  providers.revoke();
  await admin.publish(kinds.fcm('second'), payload);
  assert.deepEqual([providers.exchanges, providers.to('second').length], [before + 1, 1]);
  const tokens = providers.apnsTokens.size;
  providers.answers.set(appleToken('expired'), [apnsError(403, 'ExpiredProviderToken')]);
  await admin.publish(kinds.apns('expired'), payload);
  assert.equal(providers.to(appleToken('expired')).length, 2);
  assert.equal(new Set(providers.apnsTokens).size, tokens + 1);
  await runtime.evict('App', 'demo');
  await admin.publish(kinds.apns('evicted'), payload);
  assert.equal(providers.apnsTokens.size, tokens + 1, 'also when the object was away');
});

test('credentials that are refused are seen, and not tried for each device', async () => {
  const wrong = rest(runtime, /** @type {any} */ ({ key: 'wrong.key1:local-only', pushFullWait: true }));
  const body = { error: 'invalid_grant', error_description: 'Not a valid email' };
  strangers.answers.set('token', [{ status: 400, body }]);
  for (const id of ['w1', 'w2', 'w3']) {
    await wrong.push.admin.deviceRegistrations.save(device('fcm', id, { clientId: 'wim' }));
  }
  await wrong.push.admin.publish({ clientId: 'wim' }, payload);
  for (const id of ['w1', 'w2', 'w3']) assert.deepEqual(await state(id, wrong), ['FAILING', 103008]);
  assert.equal(strangers.exchanges, 1);
  const { push } = /** @type {any} */ (await wrong.push.admin.deviceRegistrations.get('w1'));
  assert.match(push.error.message, /answered 400.*invalid_grant Not a valid email/);
});

/** @param {string} method @param {string} path @param {object} [body] */
const operate = async (method, path, body) => {
  const headers = { authorization: 'Bearer local-admin', 'content-type': 'application/json' };
  const response = await fetch(runtime.url + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.doesNotMatch(text, /PRIVATE KEY-----\\n\w|private_key":/, 'no key is shown');
  return { status: response.status, text, body: text.startsWith('{') ? JSON.parse(text) : undefined };
};

test('an app made at run time has credentials, and they are changed', async () => {
  const made = await operate('POST', '/apps', { keys: [{}], push: { fcm: providers.fcm } });
  assert.equal(made.status, 201, made.text);
  const { appId, keys: [{ keyStr }], push, notEffective } = made.body;
  assert.deepEqual([push.fcm.serviceAccount.project_id, notEffective], ['match-day', []]);
  const own = rest(runtime, /** @type {any} */ ({ key: keyStr, pushFullWait: true }));
  await own.push.admin.publish(kinds.fcm('made'), payload);
  await providers.until('made', 1);
  const spoilt = { fcm: { ...providers.fcm, serviceAccount: { ...providers.fcm.serviceAccount, private_key: 'x' } } };
  const refused = await operate('PATCH', `/apps/${appId}`, { push: spoilt });
  assert.deepEqual([refused.status, refused.body.error.code], [400, 40000]);
  assert.match(refused.text, /push\.fcm\.serviceAccount\.private_key/);
  const changed = await operate('PATCH', `/apps/${appId}`, { push: { apns: providers.apns } });
  assert.deepEqual([changed.status, Object.keys(changed.body.push)], [200, ['apns']]);
  assert.deepEqual((await operate('GET', `/apps/${appId}`)).body.push, changed.body.push);
  await assert.rejects(own.push.admin.publish(kinds.fcm('made'), payload), { code: 103006 });
  await own.push.admin.publish(kinds.apns('made'), payload);
  await providers.until(appleToken('made'), 1);
  assert.match((await operate('GET', '/audit')).text, /change push/);
});

test('metrics count attempts by transport and outcome', async () => {
  const { text } = await operate('GET', '/metrics');
  const count = (/** @type {string} */ labels) =>
    Number(text.match(new RegExp(`^courtside_push_attempts_total\\{${labels}\\} (\\d+)`, 'm'))?.[1]);
  assert.ok(count('transport="fcm",outcome="delivered"') >= 10, text);
  assert.ok(count('transport="apns",outcome="delivered"') >= 5, text);
  assert.ok(count('transport="fcm",outcome="unauthorised"') >= 3, text);
  assert.ok(count('transport="apns",outcome="gone"') >= 1, text);
});

test('what cannot be a recipient, or a header, is refused', async () => {
  await assert.rejects(admin.publish({ transportType: 'fcm' }, payload), { code: 40000 });
  await assert.rejects(admin.publish({ transportType: 'apns', deviceToken: '../../x' }, payload), { code: 40000 });
  const smuggled = { ...payload, apns: { 'apns-headers': { authorization: 'bearer x' } } };
  await assert.rejects(admin.publish(kinds.apns('x'), smuggled), { code: 40000, message: /apns-headers/ });
  const odd = { push: { recipient: { transportType: 'apns', deviceToken: 'x/y' } } };
  await admin.deviceRegistrations.save(device('apns', 'odd', odd));
  await admin.publish({ deviceId: 'odd' }, payload);
  assert.deepEqual(await state('odd'), ['FAILED', 103005]);
});

test('no key and no token is in a log', () => {
  const body = String(providers.apns.key).split('\n')[1];
  for (const secret of [body, ...providers.apnsTokens]) assert.ok(!runtime.log.includes(String(secret)));
  assert.deepEqual(providers.faults, []);
});
