/**
 * Namespaces that batch or conflate, as their users see them: with the SDK, with an event stream, and frame by frame.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { connected, demoKey, Inbox, rest, wholeHistory } from './clients.mjs';
import { EventReader } from './event_reader.mjs';
import { unlessKilled } from './kills.mjs';
import { action, RawClient } from './raw_client.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

/** Long, so that what a test publishes in one go falls into one interval. */
const interval = 1_000;
const batched = { id: 'batched', batchingEnabled: true, batchingInterval: interval };
const odds = { id: 'odds', conflationEnabled: true, conflationInterval: interval, conflationKey: "#{message.extras.headers['market']}" };

const runtime = await startRuntime({ apps: [{ ...demoApps.apps[0], namespaces: [batched, odds] }] }, { variables: { SANDBOX: 'true' } });
test.after(() => runtime.stop());

/**
 * Readers whose sockets a relay holds, and the channel itself.
 * @param {import('node:test').TestContext} t
 * @param {string} channel
 */
const inboxes = (t, channel, options = {}) => Promise.all([{}, { transportParams: { channel } }].map(async (how) =>
  Inbox.of((await connected(t, runtime, { ...options, ...how })).channels.get(channel))));

for (const held of ['relay', 'channel']) {
  test(`what follows within an interval comes as one frame, acknowledged before (by the ${held})`, async (t) => {
    const channel = `batched:${held}`;
    const readers = await inboxes(t, channel);
    const stream = await (await EventReader.open(runtime, { key: demoKey, v: '2', channels: channel })).attached();
    t.after(() => stream.leave());
    const client = new RawClient(runtime, { key: demoKey, ...held === 'channel' ? { channel } : {} });
    t.after(() => client.close());
    await client.expect(action.CONNECTED);
    client.send({ action: action.ATTACH, channel });
    await client.expect(action.ATTACHED);
    const publish = (/** @type {number} */ number) => client.send({ action: action.MESSAGE, channel, msgSerial: number, messages: [{ data: `${number}` }] });
    publish(0);
    const first = [await client.next(), await client.next()];
    assert.deepEqual(first.map((frame) => frame.action).sort(), [action.ACK, action.MESSAGE]);
    const sent = Array.from({ length: 21 }, (_, number) => `${number}`);
    sent.slice(1).forEach((data) => publish(Number(data)));
    let acknowledged = 1;
    while (acknowledged < sent.length) acknowledged += (await client.expect(action.ACK)).count;
    const { messages, channelSerial } = await client.expect(action.MESSAGE);
    assert.deepEqual(messages.map((/** @type {any} */ message) => message.data), sent.slice(1));
    assert.ok(messages.at(-1).serial.startsWith(channelSerial));
    for (const inbox of readers) {
      await inbox.until(sent.length);
      assert.deepEqual(inbox.data, sent);
    }
    const streamed = [];
    while (streamed.length < sent.length) streamed.push((await stream.next()).data.data);
    assert.deepEqual(streamed, sent);
  });
}

const resumed = unlessKilled('who resumes gets all that the log has');

for (const useBinaryProtocol of [false, true]) {
  test(`of each market the latest comes, and the log has all (${useBinaryProtocol ? 'msgpack' : 'JSON'})`, resumed, async (t) => {
    const name = `odds:match-${useBinaryProtocol}`;
    const readers = await inboxes(t, name, { useBinaryProtocol });
    const channel = (await connected(t, runtime, { useBinaryProtocol })).channels.get(name);
    await channel.publish('begins', 'begins');
    await Promise.all(readers.map((inbox) => inbox.until('begins')));
    const updates = [1, 2, 3, 4, 5].flatMap((round) => ['A', 'B', 'C', 'D'].map((market) =>
      ({ name: 'odds', data: `${market}${round}`, extras: { headers: { market } } })));
    const results = await Promise.all([
      ...updates.slice(0, 12).map((update) => channel.publish(update)),
      channel.publish(updates.slice(12)),
      channel.publish('ends', 'ends'),
    ]);
    const serials = results.flatMap((result) => result.serials);
    assert.equal(new Set(serials.filter((serial) => serial !== null)).size, updates.length + 1, 'each is acknowledged');
    for (const inbox of readers) {
      await inbox.until('ends');
      assert.deepEqual(inbox.data, ['begins', 'A5', 'B5', 'C5', 'D5', 'ends']);
    }
    const history = await wholeHistory(channel);
    assert.deepEqual(history.map(({ data }) => data), ['begins', ...updates.map(({ data }) => data), 'ends']);
    const stored = new Map(history.map(({ id, serial }) => [id, serial]));
    for (const { id, serial } of readers[0].messages) assert.equal(serial, stored.get(id), 'the id and serial that history has');
    const late = await Inbox.of((await connected(t, runtime)).channels.get(name, { params: { rewind: '9' } }));
    await late.until('ends');
    assert.deepEqual(late.data, [...updates.slice(12).map(({ data }) => data), 'ends'], 'also what the others were spared');
  });
}

test('an app that is made by a request has such rules, or is told what is wrong with them', async () => {
  const post = async (/** @type {object} */ namespace) => {
    const response = await fetch(`${runtime.url}/apps`, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ namespaces: [namespace] }) });
    return { status: response.status, body: await response.json() };
  };
  const made = await post(odds);
  assert.equal(made.status, 201);
  assert.equal(made.body.namespaces[0].notEffective, undefined);
  assert.equal(made.body.namespaces[0].conflationKey, odds.conflationKey);
  const refused = await post({ ...odds, conflationKey: '#{message.data}' });
  assert.deepEqual([refused.status, refused.body.error.code], [400, 40000]);
  assert.match(refused.body.error.message, /conflationKey is wrong/);
  await rest(runtime, { key: made.body.keys[0].keyStr }).channels.get('odds:x').publish('odds', 'x');
});
