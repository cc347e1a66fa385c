/**
 * The world around the built worker fails: its disk is full or slow, calls between objects are lost, the clock steps.
 * What is refused has a code, what is acknowledged is told once and in order, and all goes on when it is over.
 */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected, inState, realtime, rest, wholeHistory } from './clients.mjs';
import { demoApps, startRuntime } from './runtime.mjs';
import { certainly } from './trials.mjs';

const runtime = await startRuntime(demoApps, {
  inFront: [new URL('entries/boundary-entry.mjs', import.meta.url).pathname],
});
after(() => runtime.stop());

/**
 * What of the world is not whole from now on; gives how much of it has failed.
 * @param {Record<string, string>} [faults]
 */
async function boundary(faults = {}) {
  const answer = await fetch(`${runtime.url}/boundary?${new URLSearchParams(faults)}`);
  return /** @type {{ failed: number }} */ (await answer.json()).failed;
}

/** @param {import('node:test').TestContext} t @param {string} name */
async function crowd(t, name) {
  const direct = { transportParams: { channel: name } };
  const clients = await Promise.all([{}, { useBinaryProtocol: false }, direct].map((options) => connected(t, runtime, options)));
  return { clients, inboxes: await Promise.all(clients.map((client) => Inbox.of(client.channels.get(name)))) };
}

const PUBLISHES = 12;

/**
 * Publishes by relays, by the channel's own object and by REST while faults last, and sees that everybody gets all.
 * @param {import('node:test').TestContext} t
 * @param {string} name
 * @param {Record<string, string>[]} weather
 */
async function endures(t, name, weather) {
  const { clients, inboxes } = await crowd(t, name);
  const publishers = [...clients, rest(runtime)].map((client) => client.channels.get(name));
  const before = await boundary();
  for (const [round, faults] of weather.entries()) {
    await boundary(faults);
    const publishing = publishers.map(async (channel, by) => {
      for (let index = 0; index < PUBLISHES; index++) {
        const message = { id: `${round}-${by}-${index}:0`, name: 'a', data: `${round} by ${by}: ${index}` };
        // An id makes a repeat harmless.
        const { serials } = await certainly(() => {}, () => /** @type {any} */ (channel).publish(message));
        assert.ok(serials[0], 'what is acknowledged has a serial');
      }
    });
    await Promise.all(publishing);
  }
  const failed = await boundary() - before;
  await rest(runtime).channels.get(name).publish('end', 'end');
  const history = await wholeHistory(rest(runtime).channels.get(name));
  assert.equal(history.length, weather.length * publishers.length * PUBLISHES + 1, 'each is there once');
  const inOrder = history.map(({ serial }) => String(serial));
  assert.deepEqual(inOrder.toSorted(), inOrder);
  for (const inbox of inboxes) {
    await inbox.until('end');
    assert.deepEqual(inbox.data, history.map(({ data }) => data), 'everybody got all, once and in order');
  }
  return failed;
}

test('a full disk refuses what is new with a code, and what is there can be read', async (t) => {
  const { clients: [client], inboxes: [inbox] } = await crowd(t, 'full');
  await client.channels.get('full').publish('a', 'before');
  await boundary({ disk: 'full' });
  await assert.rejects(rest(runtime).channels.get('full').publish('a', 'refused'), { code: 50001 });
  const read = (await rest(runtime).channels.get('full').history()).items;
  assert.deepEqual(read.map(({ data }) => data), ['before']);
  assert.ok(await boundary() > 0);
  await client.channels.get('full').publish('a', 'after');
  await inbox.until('after');
  assert.deepEqual(inbox.data, ['before', 'after']);
});

test('a slow disk delays acknowledgements, and nothing else comes of it', async (t) => {
  assert.ok(await endures(t, 'slow', [{ disk: 'slow' }]) > 0);
});

test('calls that do not arrive are made again', async (t) => {
  assert.ok(await endures(t, 'lost', [{ calls: 'lost', of: 'Channel', each: '3' }, { calls: 'lost', of: 'Relay', each: '3' }]) > 0);
});

test('calls whose answers are lost are not done twice', async (t) => {
  const weather = ['Channel', 'Relay', 'App'].map((of) => ({ calls: 'unanswered', of, each: '3' }));
  assert.ok(await endures(t, 'unanswered', weather) > 0);
});

test('a request whose object never answers is told so', async () => {
  const channel = rest(runtime).channels.get('silent');
  await channel.publish('a', 'before');
  await boundary({ calls: 'silent', of: 'Channel' });
  const waits = async () => {
    const answer = await fetch(`${runtime.url}/channels/silent/messages?wait=1&limit=1&key=demo.key1:local-only`);
    return (await answer.json()).error?.code;
  };
  assert.deepEqual(await Promise.all([waits(), waits()]), [50003, 50003]);
  await boundary();
  await channel.publish('a', 'after');
  assert.deepEqual((await channel.history()).items.map(({ data }) => data), ['after', 'before']);
});

test('a clock that steps forth and back keeps the order, and loses nobody', async (t) => {
  const member = await connected(t, runtime, { clientId: 'ann' });
  await member.channels.get('clock').presence.enter();
  await endures(t, 'clock', [0, 20_000, -20_000, 5_000].map((ahead) => ({ ahead: String(ahead) })));
  const { items } = await rest(runtime).channels.get('clock').presence.get();
  assert.deepEqual(items.map(({ clientId }) => clientId), ['ann']);
});

test('an app that cannot be reached keeps nobody out, and whom it bans leaves as soon as it can be', async (t) => {
  const ask = async (/** @type {string} */ method, /** @type {object} */ body) => {
    const answer = await fetch(`${runtime.url}/apps/demo/bans?key=demo.key1:local-only`,
      { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    return answer.status;
  };
  assert.equal(await ask('POST', { clientId: 'mallory' }), 201);
  await boundary({ calls: 'lost', of: 'App' });
  // Objects that no client has come to yet.
  const options = (/** @type {string} */ clientId) => ({ clientId, transportParams: { channel: 'unreached' } });
  const mallory = await connected(t, runtime, options('mallory'));
  const bob = await connected(t, runtime, options('bob'));
  await bob.channels.get('unreached').attach();
  const left = assert.rejects(inState(mallory.connection, 'closed'), { code: 40300 });
  await boundary();
  await left;
  assert.equal(bob.connection.state, 'connected');
  const again = realtime(t, runtime, options('mallory'));
  await assert.rejects(inState(again.connection, 'connected'), { code: 40300 });
});
