/** Push, by the published SDK and a push service on this machine. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected, demoKey, formats, rest } from './clients.mjs';
import { PushService } from './push_service.mjs';
import { startRuntime } from './runtime.mjs';

const apps = {
  apps: [{
    id: 'demo',
    keys: [
      { name: 'key1', secret: 'local-only', capability: { '*': ['*'] } },
      { name: 'visitor', secret: 'local-only', capability: { '*': ['push-subscribe', 'subscribe'] } },
    ],
    namespaces: [{ id: 'pushenabled', pushEnabled: true }],
  }],
};
const variables = { PUSH_PRIVATE_ADDRESSES: 'true', PUSH_CONTACT: 'mailto:ops@example.com' };
const runtime = await startRuntime(apps, { variables });
after(() => runtime.stop());

/** @param {string} id @param {object} [more] @returns {any} */
const device = (id, more) => ({
  id,
  deviceSecret: `secret-${id}`,
  platform: 'browser',
  formFactor: 'desktop',
  metadata: { seat: 4 },
  push: { recipient: { transportType: 'gcm', registrationToken: 'token' } },
  ...more,
});

/** @param {string} path */
const text = async (path) => {
  const response = await fetch(runtime.url + path, { headers: { authorization: `Basic ${btoa(demoKey)}` } });
  return { type: response.headers.get('content-type'), body: await response.text() };
};

/**
 * A device that the push service knows.
 * @param {{ push: import('ably').Push }} client
 * @param {PushService} service
 * @param {string} id
 * @param {object} [more]
 */
async function browser(client, service, id, more) {
  const subscription = service.subscribe(id);
  const key = (await text('/push/publicVapidKey')).body;
  await client.push.admin.deviceRegistrations.save(device(id, { push: { recipient: subscription.recipient(key) }, ...more }));
  return subscription;
}

for (const { format, useBinaryProtocol } of formats) {
  test(`the SDK administers devices and subscriptions (${format})`, async () => {
    const { push: { admin } } = rest(runtime, { useBinaryProtocol });
    const [first, second] = [`first-${format}`, `second-${format}`];
    const clientId = `client-${format}`;
    const saved = await admin.deviceRegistrations.save(device(first, { clientId }));
    assert.deepEqual([saved.id, saved.push?.state, saved.metadata], [first, 'ACTIVE', { seat: 4 }]);
    await admin.deviceRegistrations.save(device(second, { clientId, formFactor: 'tv' }));
    const got = await admin.deviceRegistrations.get(first);
    assert.deepEqual([got.deviceSecret, got.clientId], [`secret-${first}`, clientId]);
    await assert.rejects(admin.deviceRegistrations.get('nobody'), { statusCode: 404, code: 40400 });
    await assert.rejects(admin.deviceRegistrations.save(device(first, { platform: 'fridge' })), { code: 40000 });

    const page = await admin.deviceRegistrations.list({ clientId, limit: 1 });
    assert.deepEqual([page.items.map(({ id }) => id), page.hasNext()], [[first], true]);
    assert.deepEqual((await page.next())?.items.map(({ id }) => id), [second]);

    const subscription = { channel: `pushenabled:${format}`, deviceId: first };
    assert.deepEqual({ ...await admin.channelSubscriptions.save(subscription) }, subscription);
    await admin.channelSubscriptions.save({ channel: `pushenabled:${format}`, clientId });
    const unknown = { channel: `pushenabled:${format}`, deviceId: 'nobody' };
    await assert.rejects(admin.channelSubscriptions.save(unknown), { code: 40000 });
    await assert.rejects(admin.channelSubscriptions.save({ channel: 'quiet', clientId }), { code: 40160 });
    const subscriptions = await admin.channelSubscriptions.list({ channel: `pushenabled:${format}` });
    assert.equal(subscriptions.items.length, 2);
    assert.deepEqual((await admin.channelSubscriptions.listChannels({})).items, [`pushenabled:${format}`]);
    await admin.channelSubscriptions.removeWhere({ clientId });
    await admin.channelSubscriptions.remove(subscription);
    assert.deepEqual((await admin.channelSubscriptions.listChannels({})).items, []);

    await admin.deviceRegistrations.remove(first);
    await admin.deviceRegistrations.removeWhere({ clientId });
    assert.deepEqual((await admin.deviceRegistrations.list({ clientId })).items, []);
  });

  test(`a push to a channel arrives there (${format})`, async (t) => {
    const client = await connected(t, runtime, { useBinaryProtocol });
    const channel = client.channels.get(`told-${format}`);
    const inbox = await Inbox.of(channel);
    const recipient = { transportType: 'ablyChannel', channel: channel.name, ablyKey: demoKey, ablyUrl: runtime.url };
    const payload = { notification: { title: 'Goal', body: '1:0' }, data: { match: '7' } };
    await client.push.admin.publish(recipient, payload);
    await inbox.until(1);
    assert.equal(inbox.messages[0]?.name, '__ably_push__');
    assert.deepEqual(JSON.parse(String(inbox.data[0])), payload);
    await assert.rejects(client.push.admin.publish(recipient, { xxx: 5 }), { code: 40000 });
    await assert.rejects(client.push.admin.publish({}, payload), { code: 40000 });
  });
}

test('a browser is told in words that it alone can read', async (t) => {
  const [client, service] = [rest(runtime), await PushService.start(t)];
  await browser(client, service, 'reader', { clientId: 'ann' });
  const payload = { notification: { title: 'Goal', body: '1:0', collapseKey: 'match 7' }, data: { match: '7' } };
  await client.push.admin.publish({ deviceId: 'reader' }, payload);
  await client.push.admin.publish({ clientId: 'ann' }, { data: { only: 'data' }, web: { notification: { title: 'Web' } } });
  const received = await service.until(2);
  const [goal, data] = received.toSorted((a, b) => Number(b.message.data.match ?? 0) - Number(a.message.data.match ?? 0));
  assert.deepEqual(goal?.message, {
    data: { match: '7' },
    notification: { title: 'Goal', body: '1:0', data: { match: '7' } },
  });
  assert.deepEqual(data?.message, { data: { only: 'data' }, notification: { data: { only: 'data' }, title: 'Web' } });
  assert.match(String(goal?.headers.topic), /^[\w-]{32}$/);
  assert.equal(data?.headers.topic, undefined);
  assert.deepEqual(service.faults, []);
});

test('an endpoint that is gone gets nothing more, until its device is registered anew', async (t) => {
  const [client, service] = [rest(runtime), await PushService.start(t)];
  await browser(client, service, 'moved');
  service.answers.set('/moved', [{ status: 410 }]);
  const payload = { data: { a: 'b' } };
  const { admin } = client.push;
  const waits = rest(runtime, /** @type {any} */ ({ pushFullWait: true })).push.admin;
  await waits.publish({ deviceId: 'moved' }, payload);
  const { push } = await admin.deviceRegistrations.get('moved');
  assert.equal(push.state, 'FAILED');
  assert.equal(/** @type {any} */ (push).error.code, 103005);
  await waits.publish({ deviceId: 'moved' }, payload);
  assert.equal(service.received.length, 1);
  await browser(client, service, 'moved');
  await waits.publish({ deviceId: 'moved' }, payload);
  assert.equal(service.received.length, 2);
  assert.equal((await admin.deviceRegistrations.get('moved')).push.state, 'ACTIVE');
});

test('a push service that is busy is asked again', async (t) => {
  const [client, service] = [rest(runtime), await PushService.start(t)];
  await browser(client, service, 'busy');
  service.answers.set('/busy', [{ status: 503 }]);
  await client.push.admin.publish({ deviceId: 'busy' }, { data: { a: 'b' } });
  await service.until(1);
  await service.until(2);
  assert.deepEqual(service.received[0]?.message, service.received[1]?.message);
});

/** A message that has something to push. @param {string} title */
const goal = (title) => ({ name: 'goal', data: title, extras: { push: { notification: { title } }, headers: { a: 1 } } });

test('a message that has a push goes to subscribers as it is, and to each device once', async (t) => {
  const [service, client] = [await PushService.start(t), await connected(t, runtime)];
  const { admin } = client.push;
  const channel = client.channels.get('pushenabled:match');
  const inbox = await Inbox.of(channel);
  for (const id of ['m1', 'm2', 'm3']) await browser(client, service, id, { clientId: id === 'm1' ? 'mia' : 'max' });
  await admin.channelSubscriptions.save({ channel: channel.name, clientId: 'max' });
  await admin.channelSubscriptions.save({ channel: channel.name, deviceId: 'm2' });
  await channel.publish(goal('1:0'));
  await rest(runtime).channels.get(channel.name).publish(goal('2:0'));
  await channel.publish('aside', 'no push');
  const received = await service.until(4);
  assert.deepEqual(received.map(({ path, message }) => `${path} ${message.notification.title}`).toSorted(), ['/m2 1:0', '/m2 2:0', '/m3 1:0', '/m3 2:0']);
  await inbox.until(3);
  assert.deepEqual(inbox.messages.map(({ extras }) => extras?.push?.notification.title), ['1:0', '2:0', undefined]);
  await client.channels.get('quiet').publish(goal('nobody'));
  await assert.rejects(channel.publish({ name: 'bad', extras: { push: { xxx: 5 } } }), { code: 40032 });
  await admin.deviceRegistrations.removeWhere({ clientId: 'max' });
  await admin.channelSubscriptions.removeWhere({ channel: channel.name });
  assert.deepEqual(service.faults, []);
});

test('what was acknowledged is delivered though the server is killed', async (t) => {
  const [service, client] = [await PushService.start(t), rest(runtime)];
  await browser(client, service, 'k1');
  const channel = 'pushenabled:killed';
  await client.push.admin.channelSubscriptions.save({ channel, deviceId: 'k1' });
  await client.channels.get(channel).publish(goal('before'));
  await client.push.admin.publish({ deviceId: 'k1' }, { notification: { title: 'direct' } });
  await runtime.kill();
  await runtime.start();
  const titles = async () => new Set((await service.received).map(({ message }) => message.notification.title));
  for (let count = 2; (await titles()).size < 2; count++) await service.until(count);
  assert.deepEqual([...await titles()].toSorted(), ['before', 'direct']);
  await client.push.admin.deviceRegistrations.remove('k1');
});
