/** A crowd that counts, the published SDK among it: what is told as a sum leaves every client with the same count. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { LiveCounter, LiveObjects } from 'ably/liveobjects';
import { connected, demoKey, formats } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';
import { shows } from './trials.mjs';

const runtime = await startRuntime(undefined, { variables: { CONNECTION_MESSAGES_PER_SECOND: '100000' } });
after(() => runtime.stop());

const [OBJECT, OBJECT_SYNC] = [19, 20];
const [OBJECT_SUBSCRIBE, OBJECT_PUBLISH] = [1 << 24, 1 << 25];
const [tapping, taps] = [5, 60];

for (const { format, useBinaryProtocol } of formats) {
  test(`a crowd counts, and SDKs that count too end with the same number (${format})`, async (t) => {
    const name = `taps-${format}`;
    const join = async () => {
      const client = await connected(t, runtime, { plugins: { LiveObjects }, useBinaryProtocol });
      return /** @type {any} */ (await client.channels.get(name, { modes: ['object_subscribe', 'object_publish'] }).object.get());
    };
    const ann = await join();
    await ann.set('taps', LiveCounter.create(5));
    const bob = await join();
    await shows(bob, (/** @type {any} */ { taps }) => taps === 5);
    const objectId = ann.get('taps').instance().id;

    const raw = async (/** @type {number} */ flags) => {
      const client = new RawClient(runtime, { key: demoKey, format: useBinaryProtocol ? 'msgpack' : 'json' });
      t.after(() => client.close());
      await client.expect(action.CONNECTED);
      client.send({ action: action.ATTACH, channel: name, flags });
      await client.expect(action.ATTACHED);
      return client;
    };
    const watcher = await raw(OBJECT_SUBSCRIBE);
    let page;
    do page = await watcher.expect(OBJECT_SYNC); while (!page.channelSerial.endsWith(':'));
    const crowd = await Promise.all(Array.from({ length: tapping }, () => raw(OBJECT_PUBLISH)));
    const writes = [];
    for (let tap = 0; tap < taps; tap++) {
      const state = [{ operation: { action: 4, objectId, counterInc: { number: 2 } } }];
      for (const client of crowd) client.send({ action: OBJECT, channel: name, msgSerial: tap, state });
      if (tap % 3 === 0) writes.push(ann.get('taps').increment(1), bob.get('taps').decrement(3));
    }
    // One who comes meanwhile is given the objects, and what happens to them.
    const [late] = await Promise.all([join(), ...writes]);
    const total = 5 + tapping * taps * 2 - (taps / 3) * 2;
    for (const root of [ann, bob, late, await join()]) await shows(root, (/** @type {any} */ shown) => shown.taps === total);

    let [count, told, sums] = [5, 0, 0];
    while (count !== total) {
      const { state } = await watcher.expect(OBJECT);
      for (const { operation, connectionId, clientId } of state) {
        [count, told] = [count + operation.counterInc.number, told + 1];
        if (connectionId === undefined) sums++;
        assert.ok(connectionId !== undefined || clientId === undefined, 'nobody did a sum');
      }
    }
    assert.ok(sums > 0 && told < tapping * taps, `${told} operations, ${sums} of them sums`);
  });
}
