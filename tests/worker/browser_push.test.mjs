/**
 * The SDK's push plugin in a real browser. Where there is no net a browser has no push service, so its `PushManager`
 * subscribes with one on this machine, and what that reads is handed to the service worker as the browser would hand
 * it over.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test, { after } from 'node:test';
import { launch, skip } from './browser.mjs';
import { rest } from './clients.mjs';
import { PushService } from './push_service.mjs';
import { startRuntime } from './runtime.mjs';

const apps = {
  apps: [{
    id: 'demo',
    keys: [
      { name: 'key1', secret: 'local-only', capability: { '*': ['*'] } },
      { name: 'visitor', secret: 'local-only', capability: { 'pushenabled:*': ['push-subscribe', 'subscribe'] } },
    ],
    namespaces: [{ id: 'pushenabled', pushEnabled: true }],
  }],
};
const runtime = await startRuntime(apps, { variables: { PUSH_PRIVATE_ADDRESSES: 'true', PUSH_CONTACT: 'mailto:ops@example.com' } });
after(() => runtime.stop());

const bundle = (/** @type {string} */ name) =>
  fs.readFileSync(path.resolve(import.meta.dirname, '../../node_modules/ably/build', name));

/** As in the getting-started guide. */
const serviceWorker = `
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('push', (event) => {
  const { notification, data } = event.data.json();
  event.waitUntil(self.registration.showNotification(notification.title, { body: notification.body, data }));
});`;

/** A site of its own, with a page and a service worker. @param {import('node:test').TestContext} t */
async function site(t) {
  /** @type {Record<string, [string, string | Buffer]>} */
  const files = {
    '/': ['text/html', '<!doctype html><title>a site</title><script src="ably.js"></script><script src="push.js"></script>'],
    '/ably.js': ['text/javascript', bundle('ably.js')],
    '/push.js': ['text/javascript', bundle('push.umd.js')],
    '/worker.js': ['text/javascript', serviceWorker],
  };
  const server = http.createServer((request, response) => {
    const [type, body] = files[request.url ?? ''] ?? ['text/plain', ''];
    response.writeHead(body ? 200 : 404, { 'content-type': type }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`;
}

test('a page activates push, subscribes, is notified, and ends it', { skip }, async (t) => {
  const [service, origin, browser] = [await PushService.start(t), await site(t), await launch()];
  t.after(() => browser.close());
  const context = await browser.newContext({ permissions: ['notifications'] });
  const page = await context.newPage();
  const debug = await context.newCDPSession(page);
  /** @type {Promise<string>} */
  const registered = new Promise((resolve) => {
    debug.on('ServiceWorker.workerRegistrationUpdated', ({ registrations: [first] }) => first && resolve(first.registrationId));
  });
  await debug.send('ServiceWorker.enable');
  await page.goto(`${origin}/`);
  const { endpoint, keys } = service.subscribe('page');
  const options = { key: 'demo.visitor:local-only', clientId: 'ann', pushServiceWorkerUrl: '/worker.js', ...runtime.clientOptions };

  const activated = await page.evaluate(async ({ options, endpoint, keys }) => {
    const decoded = (/** @type {string} */ text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    PushManager.prototype.subscribe = async function subscribe(how) {
      const applicationServerKey = new Uint8Array(/** @type {ArrayBuffer} */ (how?.applicationServerKey));
      const getKey = (/** @type {'p256dh' | 'auth'} */ name) => decoded(keys[name]).buffer;
      Object.assign(window, { senderKey: [...applicationServerKey] });
      return /** @type {any} */ ({ endpoint, getKey, unsubscribe: async () => true });
    };
    const { Ably, AblyPushPlugin } = /** @type {any} */ (window);
    const client = new Ably.Realtime({ ...options, plugins: { Push: AblyPushPlugin } });
    await client.push.activate();
    const channel = client.channels.get('pushenabled:match');
    await channel.push.subscribeDevice();
    await channel.push.subscribeClient();
    Object.assign(window, { client, channel });
    const device = await client.getDevice();
    const { items } = await device.listSubscriptions();
    return { id: device.id, token: device.deviceIdentityToken, items, senderKey: /** @type {any} */ (window).senderKey };
  }, { options, endpoint, keys });
  const { admin } = rest(runtime).push;
  const device = await admin.deviceRegistrations.get(activated.id);
  assert.deepEqual([device.platform, device.clientId, device.push.state], ['browser', 'ann', 'ACTIVE']);
  assert.equal(Buffer.from(activated.senderKey).toString('base64url'), /** @type {any} */ (device.push.recipient).publicVapidKey);
  assert.deepEqual(activated.items.map((/** @type {any} */ { channel, deviceId }) => [channel, deviceId]), [['pushenabled:match', activated.id]]);

  const push = { notification: { title: 'Goal', body: '1:0' }, data: { match: '7' } };
  await rest(runtime).channels.get('pushenabled:match').publish({ name: 'goal', extras: { push } });
  const [{ message }] = /** @type {[import('./push_service.mjs').Received]} */ (await service.until(1));
  const registrationId = await registered;
  await debug.send('ServiceWorker.deliverPushMessage', { origin, registrationId, data: JSON.stringify(message) });
  const shown = await page.waitForFunction(async () => {
    const [first] = await (await navigator.serviceWorker.ready).getNotifications();
    return first && { title: first.title, body: first.body, data: first.data };
  });
  assert.deepEqual(await shown.jsonValue(), { title: 'Goal', body: '1:0', data: { match: '7' } });

  await page.evaluate(async () => {
    const { client, channel } = /** @type {any} */ (window);
    await channel.push.unsubscribeDevice();
    await channel.push.unsubscribeClient();
    await client.push.deactivate();
    client.close();
  });
  await assert.rejects(admin.deviceRegistrations.get(activated.id), { code: 40400 });
  assert.deepEqual((await admin.channelSubscriptions.listChannels({})).items, []);
  assert.deepEqual([service.received.length, service.faults], [1, []], 'one device, once');
});
