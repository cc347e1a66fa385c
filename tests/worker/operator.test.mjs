/** What an operator does while an event goes on: a mistake in `APPS`, a secret that is rotated, rules that change. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Inbox, closed, connected, demoKey, inState, rest } from './clients.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

/**
 * A deployment: every object begins anew, on the storage that there is.
 * @param {import('./runtime.mjs').Runtime} runtime
 * @param {object} apps
 */
async function deploy(runtime, apps) {
  await runtime.kill();
  runtime.apps = apps;
  await runtime.start();
}

/** The demo app with another secret. @param {string} secret */
const withSecret = (secret) => ({ apps: [{ ...demoApps.apps[0], keys: [{ name: 'key1', secret }] }] });

test('a mistake in APPS ends no client, which comes back when it is mended', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const client = await connected(t, runtime);
  const inbox = await Inbox.of(client.channels.get('mended'));
  await rest(runtime).channels.get('mended').publish('a', 'before');
  await inbox.until('before');

  const refused = new Promise((resolve) => client.connection.on('disconnected', ({ reason }) => {
    if (reason?.code === 50320) resolve(reason);
  }));
  await deploy(runtime, { apps: [{ ...demoApps.apps[0], keys: [{ name: 'key1', secret: 'short!!', capability: {} }] }] });
  const { message } = /** @type {any} */ (await refused);
  assert.match(message, /APPS can't be read: apps: apps\[0\]\.keys\[0\]\.secret/);
  assert.doesNotMatch(message + runtime.log, /short!!/);

  await deploy(runtime, demoApps);
  await inState(client.connection, 'connected');
  await rest(runtime).channels.get('mended').publish('a', 'after');
  await inbox.until('after');
  assert.deepEqual(inbox.data, ['before', 'after']);
});

test('a deployment whose secrets can be guessed refuses everyone, and says what they must be', async (t) => {
  const runtime = await startRuntime(demoApps, { variables: { SHORT_SECRETS: '' } });
  t.after(() => runtime.stop());
  const { message, code } = await rest(runtime).channels.get('c').history().then(() => assert.fail(), (error) => error);
  assert.equal(code, 50320);
  assert.match(message, /apps\[0\]\.keys\[0\]\.secret is wrong: it has 10 bytes, and must have 16 at least/);
  const admin = await startRuntime(null, { variables: { SHORT_SECRETS: '', ADMIN_TOKEN: 'admin' } });
  t.after(() => admin.stop());
  const made = await fetch(`${admin.url}/apps`, { method: 'POST', headers: { authorization: 'Bearer admin' } });
  assert.equal(made.status, 503);
  assert.match((await made.json()).error.message, /ADMIN_TOKEN can be guessed/);
});

test('a variable that cannot be so is told to everyone, and not passed over', async (t) => {
  const runtime = await startRuntime(demoApps, { variables: { RESUME_SECONDS: '60s' } });
  t.after(() => runtime.stop());
  const { message, code } = await rest(runtime).channels.get('c').history().then(() => assert.fail(), (error) => error);
  assert.equal(code, 50320);
  assert.match(message, /this deployment's RESUME_SECONDS can't be 60s: it must be a whole number from 10 to 120/);
});

test('when a secret is rotated, who has a token gets another and goes on', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  let key = demoKey;
  const client = await connected(t, runtime, {
    key: undefined,
    authCallback: (_, done) => {
      rest(runtime, { key }).auth.requestToken().then((token) => done(null, token), (error) => done(error, null));
    },
  });
  const inbox = await Inbox.of(client.channels.get('rotated'));
  const byKey = await connected({ after() {} }, runtime);
  const { id } = client.connection;
  key = 'demo.key1:another-secret';
  const failed = byKey.connection.once('failed');
  await deploy(runtime, withSecret('another-secret'));
  assert.equal((await failed).reason?.code, 40101);
  await closed(byKey);
  await rest(runtime, { key }).channels.get('rotated').publish('a', 'on');
  await inbox.until('on');
  assert.equal(client.connection.id, id, 'resumed');
});

test('rules that change are in force with the next message, and nothing is lost by it', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const client = await connected(t, runtime);
  const channel = client.channels.get('room:1');
  const inbox = await Inbox.of(channel);
  await channel.publish('a', 'plain');
  const ruled = (/** @type {object} */ rules) => ({ apps: [{ ...demoApps.apps[0], namespaces: [{ id: 'room', ...rules }] }] });
  const changes = [
    { batchingEnabled: true, batchingInterval: 1_000 },
    { conflationEnabled: true, conflationInterval: 1_000, conflationKey: '#{message.name}' },
    { persisted: true },
  ];
  for (const [index, rules] of changes.entries()) {
    await deploy(runtime, ruled(rules));
    await channel.publish('a', `${index}`);
    await inbox.until(`${index}`);
  }
  assert.deepEqual(inbox.data, ['plain', '0', '1', '2']);
});
