/** Webhooks on a server of one's own: what was acknowledged comes to the receiver, though the process is killed. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { secretsOf } from '../../bin/log.mjs';
import { connected, rest } from '../worker/clients.mjs';
import { isSigned, Receiver } from '../worker/receiver.mjs';
import { certify, folder, run, Served } from './served.mjs';

const secret = 'a-secret-of-the-receiver';

/** @param {import('node:test').TestContext} t @param {object[]} webhooks */
function appsFile(t, webhooks) {
  const file = path.join(folder(t), 'apps.json');
  const keys = [{ name: 'key1', secret: 'local-only-but-long', capability: { '*': ['*'] } }];
  fs.writeFileSync(file, JSON.stringify({ apps: [{ id: 'demo', keys, webhooks }] }));
  return file;
}

const key = 'demo.key1:local-only-but-long';
const environment = { WEBHOOK_PRIVATE_ADDRESSES: 'true' };

test('whatever was acknowledged comes to the receiver, however often the power fails', async (t) => {
  const receiver = await Receiver.start(t);
  const file = appsFile(t, [{ id: 'log', url: receiver.url('/log'), secret }]);
  const served = await Served.start(t, { args: ['--apps', file], environment });
  const channels = ['a', 'b', 'c'].map((name) => rest(served, { key }).channels.get(name));
  /** @type {Set<string>} */
  const acknowledged = new Set();
  let number = 0;
  for (let kills = 0; kills < 4; kills++) {
    let isUp = true;
    const target = acknowledged.size + 60;
    const load = channels.map(async (channel) => {
      while (isUp) {
        const data = `${number++}`;
        // What was not acknowledged may be there or not.
        await channel.publish('x', data).then(() => acknowledged.add(data), () => {});
      }
    });
    while (acknowledged.size < target) await new Promise(setImmediate);
    // While requests are under way, and some are refused.
    receiver.answers.set('/log', [{ status: 500 }, { status: 503 }]);
    await served.kill();
    isUp = false;
    await Promise.all(load);
    await served.start();
  }
  const missing = () => [...acknowledged].filter((data) => !new Set(receiver.data('/log')).has(data));
  await receiver.until(() => missing().length === 0);
  assert.ok(acknowledged.size >= 240);
  assert.ok(receiver.received.every((request) => isSigned(request, secret)));
  const byId = new Map();
  for (const { id, data } of receiver.items('/log')) {
    const known = `${data.channelId} ${id}`;
    assert.deepEqual(byId.get(known) ?? data, data, 'one id, one event');
    byId.set(known, data);
  }
  t.diagnostic(`${acknowledged.size} acknowledged, ${receiver.items('/log').length} items, ${byId.size} events`);
});

test('a receiver hears that everybody has left, though the power failed while they were there', async (t) => {
  const receiver = await Receiver.start(t);
  const events = ['channel.presence', 'channel.occupancy', 'channel.lifecycle'];
  const file = appsFile(t, [{ id: 'life', url: receiver.url('/life'), secret, events }]);
  const served = await Served.start(t, { args: ['--apps', file], environment });
  const transportParams = { remainPresentFor: '1000' };
  const client = await connected({ after() {} }, served, { key, clientId: 'ann', transportParams });
  await client.channels.get('room').presence.enter('here');
  const names = () => receiver.items('/life').map(({ name }) => name);
  await receiver.until(() => ['channel.opened', 'channel.occupied', 'presence.message'].every((name) => names().includes(name)));
  await served.kill();
  client.close();
  await served.start();
  // A minute after the last of it, `channel.closed` comes too: tests/hooks waits for that in no time.
  const did = () => receiver.items('/life').filter(({ name }) => name === 'presence.message').map(({ data }) => data.presence[0].action);
  // What was told before the kill may be told again.
  await receiver.until(() => names().includes('channel.vacated') && did().includes(3));
  assert.deepEqual([...new Set(did())], [2, 3]);
});

test('a receiver hears who came and who has gone, though the power failed while they were there', async (t) => {
  const receiver = await Receiver.start(t);
  const events = ['connection.opened', 'connection.closed'];
  const file = appsFile(t, [{ id: 'doors', url: receiver.url('/doors'), secret, events }]);
  const served = await Served.start(t, { args: ['--apps', file], environment: { ...environment, RESUME_SECONDS: '10' } });
  const stays = await connected({ after() {} }, served, { key, clientId: 'ann' });
  const gone = stays.connection.id;
  const said = (/** @type {string} */ name) =>
    receiver.items('/doors').filter((item) => item.name === name).map(({ data }) => data.connection.connectionId);
  // Right after it was told that it is connected, before anybody knows whether the receiver is.
  await served.kill();
  stays.close();
  await served.start();
  await receiver.until(() => said('connection.opened').includes(gone));
  await receiver.until(() => said('connection.closed').includes(gone));
  const [closed] = receiver.items('/doors').filter((item) => item.name === 'connection.closed');
  assert.deepEqual([closed.data.connection.clientId, closed.data.connection.reason], ['ann', 'lost']);
  assert.equal(new Set(receiver.items('/doors').map(({ id }) => id)).size, 2, 'one id, one event');
});

test('a receiver of this network is called only where the operator says so', async (t) => {
  const receiver = await Receiver.start(t);
  const file = appsFile(t, [{ id: 'log', url: receiver.url('/log'), secret }]);
  const { code, output } = await run(['serve', '--apps', file, '--data', path.join(folder(t), 'data'), '--port', '0']);
  assert.notEqual(code, 0);
  assert.match(output, /the webhook log must be at a public name, over https, unless WEBHOOK_PRIVATE_ADDRESSES is true/);
});

test('a receiver is trusted by the authorities that the environment names', async (t) => {
  const { cert, key: tlsKey } = certify(folder(t));
  const receiver = await Receiver.start(t, { cert: fs.readFileSync(cert), key: fs.readFileSync(tlsKey) });
  const file = appsFile(t, [{ id: 'log', url: receiver.url('/log'), secret }]);
  const served = await Served.start(t, { args: ['--apps', file], environment: { ...environment, SSL_CERT_FILE: cert } });
  await rest(served, { key }).channels.get('a').publish('x', 'over TLS');
  await receiver.until(() => receiver.data('/log').includes('over TLS'));
});

test('secrets of webhooks are among those that no log shows', () => {
  const webhooks = [{ secret: 'of the app' }, { key: 'key1' }];
  const apps = [{ keys: [{ secret: 'of a key' }], webhooks, namespaces: [{ webhooks: [{ secret: 'of a namespace' }] }, {}] }, null, { keys: 5 }];
  assert.deepEqual(secretsOf(JSON.stringify({ apps })), ['of a key', 'of the app', 'of a namespace']);
});
