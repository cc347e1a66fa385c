/** Push on a server of one's own: whom it calls, and that what was accepted is delivered after a kill. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { rest } from '../worker/clients.mjs';
import { PushService } from '../worker/push_service.mjs';
import { Served } from './served.mjs';

/** @param {Served} served @param {PushService} service @returns {Promise<any>} a device that the service knows */
async function device(served, service) {
  const response = await fetch(`http://127.0.0.1:${served.port}/push/publicVapidKey?key=demo.key1:local-only`);
  const recipient = service.subscribe('d1').recipient(await response.text());
  return { id: 'd1', platform: 'browser', formFactor: 'desktop', push: { recipient } };
}

test('a push service of this network is called only where the operator says so', async (t) => {
  const [served, service] = [await Served.start(t), await PushService.start(t)];
  const { deviceRegistrations } = rest(served).push.admin;
  await assert.rejects(deviceRegistrations.save(await device(served, service)), { code: 40000, message: /public name/ });
});

test('what was accepted is delivered though the power fails', async (t) => {
  const environment = { PUSH_PRIVATE_ADDRESSES: 'true', PUSH_CONTACT: 'mailto:ops@example.com' };
  const [served, service] = [await Served.start(t, { environment }), await PushService.start(t)];
  const { admin } = rest(served).push;
  await admin.deviceRegistrations.save(await device(served, service));
  await admin.publish({ deviceId: 'd1' }, { data: { a: 'b' } });
  await served.kill();
  await served.start();
  const [first] = await service.until(1);
  assert.deepEqual(first?.message.data, { a: 'b' });
  assert.deepEqual(service.faults, []);
});
