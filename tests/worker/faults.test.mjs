/**
 * The disk fails under the built worker, or an object is reset: what cannot be read is read later, sockets that nobody
 * would hear are closed, and nothing is lost or told twice.
 */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected, demoKey, inState, rest, wholeHistory } from './clients.mjs';
import { unlessEvicted } from './evictions.mjs';
import { RawClient, action } from './raw_client.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

const brief = 'demo.brief:local-only';
const runtime = await startRuntime({
  apps: [{ ...demoApps.apps[0], keys: [...demoApps.apps[0].keys, { name: 'brief', secret: 'local-only', revocableTokens: true }] }],
}, {
  inFront: [new URL('entries/faults-entry.mjs', import.meta.url).pathname],
  // One test publishes more than a connection may.
  variables: { CONNECTION_MESSAGES_PER_SECOND: '1000000' },
});
after(() => runtime.stop());

/** @typedef {{ alarms: string[], appAlarms: string[], resets: number }} Faults */
/** @param {string} [query] @returns {Promise<Faults>} */
const faults = async (query = '') => (await fetch(`${runtime.url}/faults${query}`)).json();

/** Asks until it is so. @param {(seen: Faults) => boolean} is */
async function until(is) {
  for (;;) {
    const seen = await faults();
    if (is(seen)) return seen;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test('an alarm that cannot read its channel is rung again', async (t) => {
  const client = await connected(t, runtime, { clientId: 'ann' });
  await client.channels.get('unread').presence.enter();
  // A channel with members looks after them, and nothing else wakes this one.
  const before = (await faults('?disk=broken')).alarms.length;
  assert.equal(await runtime.evict('Channel', 'demo/unread'), 1);
  assert.equal((await until(({ alarms }) => alarms.length > before)).alarms[before], 'failed');
  await faults('?disk=whole');
  await until(({ alarms }) => alarms.slice(before).includes('done'));
  assert.equal((await client.channels.get('unread').presence.get()).length, 1);
});

/** A client whose token can be revoked. @param {import('./clients.mjs').Scope} t @param {string} clientId */
async function revocable(t, clientId) {
  const { token } = await rest(runtime, { key: brief }).auth.requestToken({ clientId });
  const raw = new RawClient(runtime, { access_token: token });
  t.after(() => raw.close());
  await raw.expect(action.CONNECTED);
  return { raw, revoke: () => rest(runtime, { key: brief }).auth.revokeTokens([{ type: 'clientId', value: clientId }]) };
}

const kept = unlessEvicted('a relay that loses its memory while its disk is broken closes its sockets');

test('a revocation that no relay could take at first is told again, though the alarm rings too early', kept, async (t) => {
  const { raw, revoke } = await revocable(t, 'early');
  await faults('?disk=broken&of=Relay');
  const before = (await faults('?early=1')).appAlarms.length;
  assert.equal((await revoke()).successCount, 1);
  await until(({ appAlarms }) => appAlarms.length > before);
  await faults('?disk=whole');
  assert.equal((await raw.expect(action.DISCONNECTED)).error.code, 40141);
});

test('a revocation outlives a disk that fails when its app is awake to tell it', kept, async (t) => {
  const { raw, revoke } = await revocable(t, 'failing');
  await faults('?disk=broken&of=Relay');
  const before = (await faults()).appAlarms.length;
  assert.equal((await revoke()).successCount, 1);
  await faults('?disk=broken&of=App');
  await until(({ appAlarms }) => appAlarms.slice(before).includes('failed'));
  await faults('?disk=whole');
  assert.equal((await raw.expect(action.DISCONNECTED)).error.code, 40141);
});

test('sockets that cannot be restored are closed, and their clients come back and miss nothing', async (t) => {
  const client = await connected(t, runtime);
  const inbox = await Inbox.of(client.channels.get('unrestored'));
  const { id } = client.connection;
  const raw = new RawClient(runtime, { key: demoKey });
  t.after(() => raw.close());
  await raw.expect(action.CONNECTED);

  await faults('?disk=broken');
  assert.ok(await runtime.evict('Relay', 'demo/0') > 0);
  const gone = new Promise((resolve) => client.connection.once('disconnected', resolve));
  raw.send({ action: action.HEARTBEAT, id: 'anybody there' });
  await raw.closed();
  await gone;
  await faults('?disk=whole');
  await rest(runtime).channels.get('unrestored').publish('a', 'meanwhile');
  await inState(client.connection, 'connected');
  await inbox.until('meanwhile');
  assert.equal(client.connection.id, id, 'resumed');
  await client.channels.get('unrestored').publish('a', 'after');
  await inbox.until('after');
  assert.deepEqual(inbox.data, ['meanwhile', 'after']);
});

test('a channel that is reset right after a write loses nothing and tells nothing twice', async (t) => {
  const [publisher, subscriber] = await Promise.all([connected(t, runtime), connected(t, runtime)]);
  const direct = await connected(t, runtime, { transportParams: { channel: 'gate' } });
  const inboxes = await Promise.all([subscriber, direct].map((client) => Inbox.of(client.channels.get('gate'))));
  const sent = [];
  for (let round = 0; round < 5; round++) {
    const { resets } = await faults('?disk=reset');
    for (const by of ['relay', 'rest']) {
      const data = `${round} by ${by}`;
      sent.push(data);
      const channel = by === 'rest' ? rest(runtime).channels.get('gate') : publisher.channels.get('gate');
      await channel.publish('a', data);
    }
    assert.equal((await faults()).resets, resets + 1, 'it was reset');
  }
  await Promise.all(inboxes.map((inbox) => inbox.until(sent.length)));
  const history = (await wholeHistory(rest(runtime).channels.get('gate'))).map((message) => message.data);
  assert.deepEqual(history, sent);
  for (const inbox of inboxes) assert.deepEqual(inbox.data, sent);
});

test('a channel that much was published on knows a repeat after it lost its memory', async (t) => {
  const channel = rest(runtime).channels.get('crowded');
  const message = { id: 'mine', data: 'once' };
  const { serials } = await channel.publish(message);
  const client = new RawClient(runtime, { key: demoKey, channel: 'crowded' });
  t.after(() => client.close());
  await client.expect(action.CONNECTED);
  // What is known of so many publishes has more bytes than the platform gives at once.
  for (let [sent, acknowledged] = [0, 0]; acknowledged < 120_000;) {
    for (; sent < Math.min(acknowledged + 8_000, 120_000); sent++) {
      client.send({ action: action.MESSAGE, channel: 'crowded', msgSerial: sent, messages: [{ data: 'x' }] });
    }
    const { msgSerial, count } = await client.expect(action.ACK);
    acknowledged = msgSerial + count;
  }
  assert.equal(await runtime.evict('Channel', 'demo/crowded'), 1);
  assert.deepEqual((await channel.publish(message)).serials, serials);
});

test('a client learns that storage failed, and nothing of how', async () => {
  await faults('?disk=broken');
  await assert.rejects(rest(runtime).channels.get('told').publish('a', 'b'), (/** @type {any} */ error) => {
    assert.deepEqual([error.code, error.message], [50001, 'storage failed; try again']);
    return true;
  });
  await faults('?disk=whole');
  assert.match(runtime.log, /storage failed: .*disk I\/O error/);
});
