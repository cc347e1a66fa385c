/**
 * Bad input to objects, in both formats: each is refused with its code, changes nothing, and the connection goes on.
 * What takes days, or a hundred thousand keys, stands in tests/objects/refusals.rs.
 */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import test, { after } from 'node:test';
import { demoKey, formats } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime({ apps: [{ id: 'demo', keys: [
  { name: 'key1', secret: 'local-only' },
  { name: 'reader', secret: 'local-only', capability: { '*': ['object-subscribe'] } },
  { name: 'nobody', secret: 'local-only', capability: { '*': ['history'] } },
] }] }, { variables: { CONNECTION_MESSAGES_PER_SECOND: '100000' } });
after(() => runtime.stop());

const [OBJECT, OBJECT_SYNC] = [19, 20];
const [OBJECT_SUBSCRIBE, OBJECT_PUBLISH] = [1 << 24, 1 << 25];

/** @param {string} kind @param {string} initialValue @param {string} nonce @param {number} [at] */
const idOf = (kind, initialValue, nonce, at = Date.now()) =>
  `${kind}:${createHash('sha256').update(`${initialValue}:${nonce}`).digest('base64url')}@${at}`;

/** @param {unknown} by @param {string} objectId */
const increment = (by, objectId) => ({ action: 4, objectId, counterInc: { number: by } });
/** @param {string} key @param {object} value @param {string} [objectId] */
const set = (key, value, objectId = 'root') => ({ action: 1, objectId, mapSet: { key, value } });

for (const { format: named, useBinaryProtocol } of formats) {
  const format = useBinaryProtocol ? 'msgpack' : 'json';
  /**
   * A client that operates on a channel of its own, and is told by what code that was refused, or 0.
   * @param {import('node:test').TestContext} t
   * @param {{ key?: string, flags?: number, name?: string }} [options]
   */
  const writer = async (t, { key = demoKey, flags = OBJECT_PUBLISH, name = `${t.name}` } = {}) => {
    const client = new RawClient(runtime, { key, format });
    t.after(() => client.close());
    await client.expect(action.CONNECTED);
    client.send({ action: action.ATTACH, channel: name, flags });
    const attached = await client.expect(action.ATTACHED);
    let msgSerial = 0;
    const outcome = async () => {
      let answer;
      do answer = await client.next(); while (answer.action !== action.ACK && answer.action !== action.NACK);
      return answer.error?.code ?? 0;
    };
    const operate = (/** @type {object[]} */ ...operations) => {
      client.send({ action: OBJECT, channel: name, msgSerial: msgSerial++, state: operations.map((operation) => ({ operation })) });
      return outcome();
    };
    const operateRaw = (/** @type {string} */ operation) => {
      client.sendRaw(`{"action":19,"channel":${JSON.stringify(name)},"msgSerial":${msgSerial++},"state":[{"operation":${operation}}]}`);
      return outcome();
    };
    const tree = async () => (await (await fetch(`${runtime.url}/channels/${encodeURIComponent(name)}/object?key=${demoKey}`)).json());
    return { client, attached, operate, operateRaw, tree };
  };

  /** @param {string} what @param {(t: import('node:test').TestContext) => Promise<void>} run */
  const each = (what, run) => test(`${what} (${named})`, run);

  each('ids that do not match', async (t) => {
    const { operate, tree } = await writer(t);
    const [initialValue, nonce] = ['{"count":1}', '0123456789abcdef'];
    const create = (/** @type {string} */ objectId, more = {}) =>
      ({ action: 3, objectId, counterCreateWithObjectId: { initialValue, nonce, ...more } });
    const id = idOf('counter', initialValue, nonce);
    const wrong = [
      create(idOf('counter', '{"count":2}', nonce)), create(idOf('map', initialValue, nonce)), create(id, { nonce: 'fedcba9876543210' }),
      create(idOf('counter', initialValue, 'short'), { nonce: 'short' }), create('counter:'), create('root'), create(`${id}0`.replace('@', '@0')),
      create(idOf('counter', initialValue, nonce, Date.now() - 3_600_000)), create(idOf('counter', '{"count":', nonce), { initialValue: '{"count":' }),
      { action: 3, objectId: id, counterCreate: { count: 1 } },
    ];
    for (const one of wrong) assert.equal(await operate(one), 92000, JSON.stringify(one));
    assert.equal(await operate(create(id), set('n', { objectId: id })), 0);
    assert.deepEqual(await tree(), { n: 1 });
  });

  each('wrong kinds', async (t) => {
    const { operate, tree } = await writer(t);
    const wrong = [
      increment(1, 'root'), increment(1, 'map:x@1'), set('k', { number: 1 }, 'counter:x@1'),
      { action: 2, objectId: 'counter:x@1', mapRemove: { key: 'k' } }, { action: 6, objectId: 'counter:x@1', mapClear: {} },
      { action: 6, objectId: 'map:x@1', mapClear: {} },
    ];
    for (const one of wrong) assert.equal(await operate(set('before', { number: 1 }), one), 92000, JSON.stringify(one));
    assert.deepEqual(await tree(), {}, 'nor is what came with it done');
  });

  each('NaN and infinities', async (t) => {
    const { operate, operateRaw, tree } = await writer(t);
    const numbers = [NaN, Infinity, -Infinity];
    for (const number of numbers) {
      const text = (/** @type {object} */ operation) => JSON.stringify(operation).replace('null', String(number).replace('Infinity', '1e999'));
      for (const operation of [increment(number, 'counter:x@1'), set('k', { number })]) {
        if (format === 'msgpack') assert.equal(await operate(operation), 92000, `${number}`);
        // JSON has no NaN: it is no frame at all.
        else if (!Number.isNaN(number)) assert.equal(await operateRaw(text(operation)), 40001, text(operation));
        else assert.equal(await operate(operation), 92000, 'null');
      }
    }
    assert.equal(await operate(increment(Number.MAX_VALUE, 'counter:x@1'), set('n', { objectId: 'counter:x@1' })), 0);
    assert.equal(await operate(increment(Number.MAX_VALUE, 'counter:x@1')), 92000, 'the sum would be infinite');
    assert.deepEqual(await tree(), { n: Number.MAX_VALUE });
  });

  each('long keys', async (t) => {
    const { operate, tree } = await writer(t);
    const key = 'k'.repeat(10 * 1024);
    assert.equal(await operate(set(key, { number: 1 })), 0, '10 KB are no more than a publish may have');
    assert.equal(await operate(set('k'.repeat(65_536 - 7), { number: 1 })), 40009);
    assert.equal(await operate({ action: 2, objectId: 'root', mapRemove: { key: 'k'.repeat(65_537) } }), 40009);
    assert.deepEqual(await tree(), { [key]: 1 });
  });

  each('depth', async (t) => {
    const { operate, tree } = await writer(t);
    const deep = `${'['.repeat(100_000 / 4)}${']'.repeat(100_000 / 4)}`;
    assert.equal(await operate(set('k', { json: deep })), 92000);
    const path = Array.from({ length: 65 }, () => 'm').join('.');
    const answer = await fetch(`${runtime.url}/channels/${encodeURIComponent(t.name)}/object?key=${demoKey}`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ path, counterInc: { number: 1 } }),
    });
    assert.equal((await answer.json()).error.code, 92007, 'a path has 64 keys');
    assert.deepEqual(await tree(), {});
  });

  each('more than a publish may have', async (t) => {
    const { operate, tree } = await writer(t);
    assert.equal(await operate(set('a', { string: 'x'.repeat(40_000) }), set('b', { string: 'x'.repeat(40_000) })), 40009);
    assert.equal(await operate(...Array.from({ length: 1_001 }, (_, index) => set(`k${index}`, { number: index }))), 40034);
    assert.deepEqual(await tree(), {});
  });

  each('more than a channel may have', async (t) => {
    const { operate, tree } = await writer(t);
    const value = 'x'.repeat(65_000);
    for (let index = 100; index < 199; index++) assert.equal(await operate(set(`k${index}`, { string: value })), 0);
    assert.equal(await operate(set('one', { string: value }), set('more', { number: 1 })), 92001);
    assert.equal(await operate(set('k100', { string: 'small' })), 0, 'less is possible');
    assert.equal(await operate(set('one', { string: value.slice(100) })), 0, 'and then more');
    const keys = Object.keys(await tree());
    assert.deepEqual([keys.length, keys.includes('more')], [100, false]);
  });

  each('unknown actions and no payload', async (t) => {
    const { operate, tree } = await writer(t);
    const wrong = [
      { action: 99, objectId: 'root' }, { action: 5, objectId: 'counter:x@1', objectDelete: {} }, { objectId: 'root', mapSet: { key: 'k', value: { number: 1 } } },
      { action: 1, objectId: 'root' }, { action: 1, mapSet: { key: 'k', value: { number: 1 } } }, { action: '1', objectId: 'root', mapSet: { key: 'k', value: { number: 1 } } },
      { action: 2, objectId: 'root', mapSet: { key: 'k', value: { number: 1 } } },
    ];
    for (const one of wrong) assert.equal(await operate(one), 92000, JSON.stringify(one));
    assert.deepEqual(await tree(), {});
  });

  each('objects of another channel', async (t) => {
    const [one, other] = [await writer(t, { name: `${t.name} one` }), await writer(t, { name: `${t.name} other` })];
    const [initialValue, nonce] = ['{"count":10}', randomUUID()];
    const id = idOf('counter', initialValue, nonce);
    assert.equal(await one.operate({ action: 3, objectId: id, counterCreateWithObjectId: { initialValue, nonce } }, set('n', { objectId: id })), 0);
    const missing = await fetch(`${runtime.url}/channels/${encodeURIComponent(`${t.name} other`)}/object/${encodeURIComponent(id)}?key=${demoKey}`);
    assert.equal((await missing.json()).error.code, 92004, 'it is not there');
    assert.equal(await other.operate(increment(1, id), set('n', { objectId: id })), 0, 'an id that is not known yet begins here');
    assert.deepEqual([await one.tree(), await other.tree()], [{ n: 10 }, { n: 1 }], 'and is another object');
  });

  each('modes that the capability or the attachment lacks', async (t) => {
    const both = OBJECT_PUBLISH | OBJECT_SUBSCRIBE;
    const nobody = await writer(t, { key: 'demo.nobody:local-only', flags: both });
    assert.equal(nobody.attached.flags ?? 0, 0);
    assert.equal(await nobody.operate(set('k', { number: 1 })), 40160);
    const reader = await writer(t, { key: 'demo.reader:local-only', flags: both });
    assert.equal(reader.attached.flags & both, OBJECT_SUBSCRIBE);
    assert.equal(await reader.operate(set('k', { number: 1 })), 40160);
    const listener = await writer(t, { flags: OBJECT_SUBSCRIBE });
    assert.equal(await listener.operate(set('k', { number: 1 })), 40165);
    assert.deepEqual(await listener.tree(), {});
    assert.ok(!nobody.client.heard.some((frame) => frame.action === OBJECT_SYNC), 'nor is it told what is there');
  });
}
