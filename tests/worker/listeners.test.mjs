/** One table of behaviour, over every way to listen without an SDK. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { appsWithFewRights, rest, wholeHistory } from './clients.mjs';
import { listeners } from './listeners.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(appsWithFewRights);
after(() => runtime.stop());

/** @param {string} channel @param {string} data */
const publish = (channel, data) => rest(runtime).channels.get(channel).publish('score', data);

/** @param {string} by @param {number} count */
const numbered = (by, count) => Array.from({ length: count }, (_, index) => `${by} ${index}`);

/** The next so many messages. @param {import('./listeners.mjs').Listener} listener @param {number} count */
async function take(listener, count) {
  const messages = [];
  while (messages.length < count) messages.push(await listener.next());
  return messages;
}

/** @param {{ data: string }[]} messages */
const data = (messages) => messages.map((message) => message.data);

for (const { kind, rewinds, listen } of listeners) {
  test(`${kind}: what is published comes once and in order, and is what history has`, async (t) => {
    const name = `order: ${kind}`;
    const listener = await listen(runtime, name);
    t.after(() => listener.leave());
    const channel = rest(runtime).channels.get(name);
    await Promise.all(numbered('', 20).map((by) => channel.publish([{ name: 'a', data: `${by} 1` }, { name: 'b', data: `${by} 2` }])));
    await channel.publish('binary', Buffer.from([0, 255]));
    await channel.publish('object', { points: [15, 30] });
    const heard = await take(listener, 42);
    const parts = (/** @type {any} */ { id, name, data, encoding, serial }) => ({ id, name, data, encoding, serial });
    assert.deepEqual(heard.slice(0, 40).map(parts), (await wholeHistory(channel)).slice(0, 40).map((message) => parts({ encoding: undefined, ...message })));
    assert.deepEqual(heard.slice(40).map((message) => [message.data, message.encoding]), [['AP8=', 'base64'], ['{"points":[15,30]}', 'json']]);
  });

  for (const to of listeners) {
    test(`from ${kind} to ${to.kind}: nothing is lost and nothing comes twice`, async (t) => {
      const name = `from ${kind} to ${to.kind}`;
      const first = await listen(runtime, name);
      t.after(() => first.leave());
      await publish(name, 'one');
      await publish(name, 'two');
      const { serial } = (await take(first, 2))[1];
      first.leave();
      for (const data of numbered('missed', 3)) await publish(name, data);
      const second = await to.listen(runtime, name, { from: serial.split(':')[0] });
      t.after(() => second.leave());
      await publish(name, 'live');
      assert.deepEqual(data(await take(second, 4)), [...numbered('missed', 3), 'live']);
    });
  }

  test(`${kind}: a server that dies and is back has lost nothing`, async (t) => {
    const name = `persisted:${kind}`;
    const first = await listen(runtime, name);
    t.after(() => first.leave());
    await publish(name, 'before');
    const [{ serial }] = await take(first, 1);
    await runtime.kill();
    await runtime.start();
    await publish(name, 'after');
    const second = await listen(runtime, name, { from: serial.split(':')[0] });
    t.after(() => second.leave());
    assert.deepEqual(data(await take(second, 1)), ['after']);
  });

  test(`${kind}: a place that cannot be gone on from is a gap, and is told`, async (t) => {
    await publish(`gap: ${kind}`, 'before');
    const gap = async () => {
      const listener = await listen(runtime, `gap: ${kind}`, { from: '00000000000001-000@another' });
      t.after(() => listener.leave());
      await listener.next();
    };
    await assert.rejects(gap(), { code: 90003 });
  });

  test(`${kind}: who may not listen is told so`, async (t) => {
    const key = 'demo.reader:local-only';
    const listener = await listen(runtime, `open:${kind}`, { key });
    t.after(() => listener.leave());
    await publish(`open:${kind}`, 'news');
    assert.deepEqual(data(await take(listener, 1)), ['news']);
    await assert.rejects(listen(runtime, `shut:${kind}`, { key }), { code: 40160 });
    await assert.rejects(listen(runtime, `open:${kind}`, { key: 'demo.key1:wrong-one' }), { code: 40101 });
    await assert.rejects(listen(runtime, ':', { key }), { code: 40010 });
  });

  test(`${kind}: it ends with its token`, async (t) => {
    const { token } = await rest(runtime).auth.requestToken({ ttl: 2_000 });
    const listener = await listen(runtime, `expiry: ${kind}`, { accessToken: token });
    t.after(() => listener.leave());
    await publish(`expiry: ${kind}`, 'in time');
    assert.deepEqual(data(await take(listener, 1)), ['in time']);
    await assert.rejects(listener.next(), { code: 40142 });
  });

  if (rewinds) {
    test(`${kind}: it begins in the past, if it likes`, async (t) => {
      for (const data of numbered('old', 5)) await publish(`rewind: ${kind}`, data);
      const listener = await listen(runtime, `rewind: ${kind}`, { rewind: '2' });
      t.after(() => listener.leave());
      await publish(`rewind: ${kind}`, 'new');
      assert.deepEqual(data(await take(listener, 3)), ['old 3', 'old 4', 'new']);
    });
  }
}
