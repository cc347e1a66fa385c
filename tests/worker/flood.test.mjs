/**
 * What one connection says is taken in at the rate that it was told; the rest is refused, and the connection goes on.
 */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { connected, demoKey, formats, rest, wholeHistory } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

/** Taken in at once: what is allowed in four seconds. */
const BURST = 1_000;

const runtime = await startRuntime();
after(() => runtime.stop());

/** @type {Record<string, string>[]} */
const ways = [{}, { channel: 'flood-direct' }];
for (const query of ways) {
  test(`a flood is refused with its code, in turn, and what was accepted is kept in order (${query.channel ?? 'relay'})`, async (t) => {
    const channel = query.channel ?? 'flood';
    const client = new RawClient(runtime, { key: demoKey, ...query });
    t.after(() => client.close());
    assert.equal((await client.expect(action.CONNECTED)).connectionDetails.maxInboundRate, 250);
    const total = 5 * BURST;
    for (let msgSerial = 0; msgSerial < total; msgSerial++) {
      client.send({ action: action.MESSAGE, channel, msgSerial, messages: [{ data: `${msgSerial}` }] });
    }
    const accepted = [];
    for (let next = 0; next < total;) {
      const frame = await client.next();
      assert.equal(frame.msgSerial, next);
      if (frame.action === action.NACK) assert.deepEqual([frame.error.code, frame.error.statusCode], [42911, 429]);
      else accepted.push(...Array.from({ length: frame.count }, (_, index) => `${next + index}`));
      next += frame.count;
    }
    assert.ok(accepted.length >= BURST && accepted.length < total, `${accepted.length} were accepted`);
    const stored = (await wholeHistory(rest(runtime).channels.get(channel))).map((message) => message.data);
    assert.deepEqual(stored, accepted);
    client.send({ action: action.HEARTBEAT, id: 'there' });
    assert.equal((await client.expect(action.HEARTBEAT)).id, 'there');
  });
}

for (const format of formats) {
  test(`who publishes 100 at once, or the largest publish, has it all (${format.format})`, async (t) => {
    const channel = (await connected(t, runtime, format)).channels.get(`page-${format.format}`);
    const sent = Array.from({ length: 100 }, (_, index) => `${index}`);
    await Promise.all(sent.map((data) => channel.publish('a', data)));
    await channel.publish(Array.from({ length: BURST }, () => ({ data: 'together' })));
    const stored = (await wholeHistory(rest(runtime).channels.get(channel.name))).map((message) => message.data);
    assert.deepEqual([stored.slice(0, 100), stored.length], [sent, 100 + BURST]);
  });
}

test('a deployment says its own rate', async (t) => {
  const narrow = await startRuntime(undefined, { variables: { CONNECTION_MESSAGES_PER_SECOND: '10' } });
  t.after(() => narrow.stop());
  const client = await connected(t, narrow);
  const channel = client.channels.get('narrow');
  const settled = await Promise.allSettled(Array.from({ length: 400 }, (_, index) => channel.publish('a', `${index}`)));
  const refused = settled.filter((one) => one.status === 'rejected').map((one) => one.reason.code);
  assert.ok(refused.length > 0 && refused.length <= 360, `${refused.length} were refused`);
  assert.deepEqual([...new Set(refused)], [42911]);
  assert.equal(client.connection.state, 'connected');
  const raw = new RawClient(narrow, { key: demoKey });
  t.after(() => raw.close());
  assert.equal((await raw.expect(action.CONNECTED)).connectionDetails.maxInboundRate, 10);
});
