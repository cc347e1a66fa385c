/** Rates of namespaces: what exceeds one is refused, says when to try again, and takes nothing from anybody else. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { connected, demoKey, rest } from './clients.mjs';
import { unlessEvicted } from './evictions.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime({
  apps: [{
    id: 'demo',
    keys: [{ name: 'key1', secret: 'local-only' }, { name: 'key2', secret: 'local-only' }],
    namespaces: [
      { id: 'slow', messagesPerSecond: 1 },
      { id: 'post', restMessagesPerSecond: 1 },
      { id: 'door', clientAttachesPerSecond: 1, clientPresencePerSecond: 1 },
      { id: 'both', messagesPerSecond: 1, clientMessagesPerSecond: 2 },
    ],
  }],
});
after(() => runtime.stop());

/** @param {string} clientId */
const tokenOf = async (clientId) => (await rest(runtime).auth.requestToken({ clientId })).token;

/** How many of them were done, and the errors of the others. @param {Promise<unknown>[]} promises */
async function settled(promises) {
  const all = await Promise.allSettled(promises);
  const errors = all.flatMap((one) => one.status === 'rejected' ? [one.reason] : []);
  return { done: all.length - errors.length, errors };
}

test('a channel takes so many messages a second, from whomever, and another is as fast as ever', async (t) => {
  const client = await connected(t, runtime);
  const publish = (/** @type {string} */ name) => Array.from({ length: 20 }, () => client.channels.get(name).publish('a', 'b'));
  const { done, errors } = await settled(publish('slow:a'));
  assert.ok(done >= 1 && errors.length >= 1, `${done} were done`);
  for (const error of errors) {
    assert.deepEqual([error.code, error.statusCode], [42911, 429]);
    assert.match(error.message, /this channel takes at most 1 messages a second; try again in \d+ ms/);
  }
  assert.equal((await settled(publish('fast'))).done, 20);
  assert.equal(client.connection.state, 'connected');
});

test('each key has a share of its own over REST', async () => {
  const by = (/** @type {string} */ key) => settled(Array.from({ length: 10 }, () => rest(runtime, { key }).channels.get('post:a').publish('a', 'b')));
  const { done, errors } = await by(demoKey);
  assert.ok(done >= 1 && errors.length >= 1, `${done} were done`);
  assert.ok(errors.every((error) => error.code === 42911 && /over REST at most 1 messages a second/.test(error.message)));
  assert.ok((await by('demo.key2:local-only')).done >= 1);
});

test('a client attaches and enters so often, and its connection goes on', async (t) => {
  const client = await connected(t, runtime, { token: await tokenOf('ann'), key: undefined });
  const attached = await settled(['a', 'b', 'c', 'd'].map((name) => client.channels.get(`door:${name}`).attach()));
  assert.ok(attached.done >= 1 && attached.errors.length >= 1);
  assert.ok(attached.errors.every((error) => error.code === 42910 && /try again in \d+ ms/.test(error.message)));
  const [channel] = ['a', 'b', 'c', 'd'].map((name) => client.channels.get(`door:${name}`)).filter(({ state }) => state === 'attached');
  const entered = await settled(Array.from({ length: 10 }, (_, index) => channel.presence.enter(`${index}`)));
  assert.ok(entered.done >= 1 && entered.errors.length >= 1);
  assert.ok(entered.errors.every((error) => error.code === 42911), 'presence');
  await channel.presence.leave();
  assert.equal(client.connection.state, 'connected');
});

const keptOut = unlessEvicted('who is kept out is known to the memory of the relay alone');

test('who goes on far above the rate is ended, and kept out for a while; others are not', keptOut, async (t) => {
  const flooder = new RawClient(runtime, { access_token: await tokenOf('mallory') });
  t.after(() => flooder.close());
  await flooder.expect(action.CONNECTED);
  for (let msgSerial = 0; msgSerial < 14_000; msgSerial++) {
    flooder.send({ action: action.MESSAGE, channel: 'flood', msgSerial, messages: [{ data: 'x' }] });
  }
  let frame = await flooder.next();
  while (frame.action !== action.ERROR) frame = await flooder.next();
  assert.equal(frame.error.code, 42921);
  const again = new RawClient(runtime, { access_token: await tokenOf('mallory') });
  t.after(() => again.close());
  const { error } = await again.next();
  assert.equal(error.code, 42910);
  assert.match(error.message, /sent away for being too fast; try again in \d+ s/);
  await connected(t, runtime, { token: await tokenOf('ben'), key: undefined });
});
