/** FCM and APNs on a server of one's own, whose runtime does not speak HTTP/2 itself. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { Http2, http2In, isPublic } from '../../bin/http2.mjs';
import { secretsOf } from '../../bin/log.mjs';
import { rest } from '../worker/clients.mjs';
import { PushProviders } from '../worker/push_providers.mjs';
import { Served } from './served.mjs';

const token = 'ab'.repeat(32);

/** @param {{ after: (end: () => unknown) => void }} scope @param {object} push @returns {string} a file of apps */
function appsFile(scope, push) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-apps-'));
  scope.after(() => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'apps.json');
  const keys = [{ name: 'key1', secret: 'local-only-secret' }];
  fs.writeFileSync(file, JSON.stringify({ apps: [{ id: 'demo', keys, push }] }));
  return file;
}

const options = /** @type {any} */ ({ key: 'demo.key1:local-only-secret', pushFullWait: true });

test('APNs is spoken to over HTTP/2', async (t) => {
  const providers = await PushProviders.start(t, { speaksHttp2: true });
  const apps = appsFile(t, { apns: providers.apns });
  const served = await Served.start(t, { args: ['--apps', apps], environment: { PUSH_PRIVATE_ADDRESSES: 'true' } });
  const { admin } = rest(served, options).push;
  const recipient = { transportType: 'apns', deviceToken: token };
  providers.answers.set(token, [{ status: 410, body: { reason: 'Unregistered' } }]);
  const device = /** @type {any} */ ({ id: 'd1', platform: 'ios', formFactor: 'phone', push: { recipient } });
  await admin.deviceRegistrations.save(device);
  await admin.publish({ deviceId: 'd1' }, { notification: { title: 'Goal' } });
  assert.equal((await admin.deviceRegistrations.get('d1')).push.state, 'FAILED');
  await Promise.all([1, 2, 3].map((match) => admin.publish(recipient, { data: { match } })));
  const received = await providers.until(token, 4);
  assert.deepEqual(received[0]?.message, { aps: { alert: { title: 'Goal' } } });
  assert.equal(received[0]?.headers['apns-topic'], 'com.example.match');
  assert.deepEqual(providers.faults, []);
});

test('a connection over HTTP/2 that answers no more is replaced', async (t) => {
  let sessions = 0;
  const peer = http2.createServer().listen(0, '127.0.0.1');
  t.after(() => peer.close());
  peer.on('session', (session) => {
    const isFirst = ++sessions === 1;
    let requests = 0;
    t.after(() => session.destroy());
    session.on('stream', (stream) => {
      // Who asked has given it up.
      stream.on('error', () => {});
      if (!isFirst || ++requests === 1) stream.respond({ ':status': 200 }, { endStream: true });
    });
  });
  await once(peer, 'listening');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-http2-'));
  const through = new Http2(true, 200);
  await through.listen(folder);
  t.after(() => {
    through.stop();
    fs.rmSync(folder, { recursive: true });
  });
  const { port } = /** @type {import('node:net').AddressInfo} */ (peer.address());
  const status = async () => {
    const request = http.request({ socketPath: http2In(folder), method: 'POST', path: `http://127.0.0.1:${port}/` });
    const [answer] = await once(request.end('a push'), 'response');
    answer.resume();
    return answer.statusCode;
  };
  assert.deepEqual([await status(), await status(), await status()], [200, 502, 200]);
  assert.equal(sessions, 2);
});

test('a push service of this network is named by no app, unless the operator says so', async (t) => {
  const providers = await PushProviders.start(t);
  for (const push of [{ apns: providers.apns }, { fcm: providers.fcm }]) {
    await assert.rejects(Served.start(t, { args: ['--apps', appsFile(t, push)] }), /PUSH_PRIVATE_ADDRESSES/);
  }
});

test('private keys are kept out of the log, also by a line', async (t) => {
  const { fcm, apns } = await PushProviders.start(t);
  const asText = { ...fcm, serviceAccount: JSON.stringify(fcm.serviceAccount) };
  for (const push of [{ fcm, apns }, { fcm: asText, apns }]) {
    const secrets = secretsOf(JSON.stringify({ apps: [{ id: 'demo', push }] }));
    for (const key of [fcm.serviceAccount.private_key, apns.key]) {
      assert.ok(secrets.includes(String(key)) && secrets.includes(String(String(key).split('\n')[1])));
    }
  }
  assert.deepEqual(secretsOf(JSON.stringify({ apps: [{ push: { fcm: { serviceAccount: 'no JSON' }, apns: 5 } }] })), []);
});

test('addresses of the public net are known from others', () => {
  for (const address of ['17.188.143.98', '2620:149:208::1', '8.8.8.8']) assert.ok(isPublic(address), address);
  for (const address of [
    '127.0.0.1', '10.1.2.3', '172.31.0.1', '192.168.1.1', '169.254.169.254', '100.64.1.1', '0.0.0.0', '224.0.0.1',
    '255.255.255.255',
    '::1', '::', 'fe80::1', 'fd00::1', '::ffff:10.0.0.1', '64:ff9b::a00:1', '2002:a00:1::', 'localhost',
  ]) assert.ok(!isPublic(address), address);
});
