/**
 * What a name leads to is known only when it is called: the runtime itself calls nothing of this network. Here the
 * worker is told that it may, as it would be by a public name that leads inside, and the runtime is not.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { openData } from '../../bin/data.mjs';
import { http2In } from '../../bin/http2.mjs';
import { Log } from '../../bin/log.mjs';
import { Runtime, controlIn } from '../../bin/runtime.mjs';
import { runtimeConfig } from '../../bin/runtime_config.mjs';
import { rest } from '../worker/clients.mjs';
import { PushService } from '../worker/push_service.mjs';
import { Receiver } from '../worker/receiver.mjs';
import { folder } from './served.mjs';

const secret = 'local-only-but-long';
const ADMIN_TOKEN = 'an-admin-token-of-this-test';

/**
 * @param {import('node:test').TestContext} t @param {Receiver} receiver
 * @param {{ privatePush: boolean, privateReceivers: boolean }} allowed
 */
async function started(t, receiver, allowed) {
  const data = folder(t);
  const webhooks = [{ id: 'inside', url: receiver.url('/inside'), secret }];
  const APPS = JSON.stringify({ apps: [{ id: 'demo', keys: [{ name: 'key1', secret }], webhooks }] });
  const variables = { APPS, ADMIN_TOKEN, WEBHOOK_PRIVATE_ADDRESSES: 'true', PUSH_PRIVATE_ADDRESSES: 'true' };
  const lock = await openData(data);
  t.after(() => fs.closeSync(lock));
  const config = runtimeConfig({
    host: '127.0.0.1', port: 0, sockets: 1, data, control: controlIn(data), http2: http2In(data), trustProxy: false, ...allowed,
    variables: Object.keys(variables), assets: {}, compressed: data,
  });
  fs.writeFileSync(path.join(data, 'courtside.capnp'), config);
  const runtime = new Runtime(data, lock, [], variables, new Log('error', () => {}));
  t.after(() => (runtime.kill(), runtime.ended));
  await runtime.ready();
  return `http://127.0.0.1:${runtime.port}`;
}

/** @param {string} url */
async function publish(url) {
  const headers = { authorization: `Basic ${btoa(`demo.key1:${secret}`)}`, 'content-type': 'application/json' };
  const response = await fetch(`${url}/channels/c/messages`, { method: 'POST', headers, body: '{"data":"x"}' });
  assert.equal(response.status, 201);
}

/** How the webhook fares, once that is known. @param {string} url @returns {Promise<any>} */
async function troubled(url) {
  for (;;) {
    const response = await fetch(`${url}/apps/demo/webhooks`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    const [found] = (await response.json()).troubled;
    if (found) return found;
  }
}

/** What became of the pushes to a device, once that is known. @param {string} url @param {PushService} service */
async function pushed(url, service) {
  const clientOptions = { endpoint: '127.0.0.1', port: Number(new URL(url).port), tls: false };
  const { admin } = rest({ clientOptions }, { key: `demo.key1:${secret}` }).push;
  const response = await fetch(`${url}/push/publicVapidKey?key=demo.key1:${secret}`);
  const recipient = service.subscribe('d1').recipient(await response.text());
  await admin.deviceRegistrations.save(
    /** @type {any} */ ({ id: 'd1', platform: 'browser', formFactor: 'desktop', push: { recipient } }),
  );
  await admin.publish({ deviceId: 'd1' }, { data: { a: 'b' } });
  for (;;) {
    const { push } = /** @type {any} */ (await admin.deviceRegistrations.get('d1'));
    if (service.received.length > 0 || push.state !== 'ACTIVE') return push;
  }
}

test('nothing of this network is called, though its address got past the rules', async (t) => {
  const receiver = await Receiver.start(t);
  const url = await started(t, receiver, { privatePush: true, privateReceivers: false });
  await publish(url);
  const { state, error } = await troubled(url);
  assert.deepEqual([state, error.code], ['failing', 70001]);
  assert.deepEqual(receiver.received, []);
});

test('where the operator allows it, it is, and what is allowed for webhooks is not for push', async (t) => {
  const [receiver, service] = [await Receiver.start(t), await PushService.start(t)];
  const url = await started(t, receiver, { privatePush: false, privateReceivers: true });
  await publish(url);
  await receiver.until(() => receiver.data('/inside').length);
  const { state, error } = await pushed(url, service);
  assert.deepEqual([state, error?.code, service.received], ['FAILING', 103007, []]);
});
