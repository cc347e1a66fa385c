/** What a server of one's own counts, to the message: by a load of known size, and on over a stop and a start. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Inbox, connected, rest } from '../worker/clients.mjs';
import { Served } from './served.mjs';

const ADMIN_TOKEN = 'an-admin-token-of-this-test';
const secret = 'local-only-but-long';
const options = { key: `demo.key1:${secret}` };
const apps = { apps: [{ id: 'demo', keys: [{ name: 'key1', secret }] }] };

test('metrics and statistics agree with a load of known size, also after stops', async (t) => {
  const served = await Served.start(t, { args: ['--apps', JSON.stringify(apps), '--admin-token', ADMIN_TOKEN] });
  const scrape = async () => {
    const response = await fetch(`${served.url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    assert.equal(response.status, 200);
    return response.text();
  };
  const counted = async () => {
    const text = await scrape();
    const of = (/** @type {string} */ labels) =>
      Number(text.match(new RegExp(`^courtside_messages_total\\{${labels},kind="messages"\\} (\\d+)$`, 'm'))?.[1]);
    return ['direction="in",transport="realtime"', 'direction="in",transport="rest"', 'direction="out",transport="realtime"'].map(of);
  };
  const until = async (/** @type {number[]} */ expected) => {
    let now = await counted();
    while (now.some((count, index) => count < (expected[index] ?? 0))) now = await counted();
    assert.deepEqual(now, expected);
  };
  const load = async (/** @type {string} */ last) => {
    const fans = await Promise.all(['a', 'b'].map((clientId) => connected(t, served, { ...options, clientId })));
    const inboxes = await Promise.all(fans.map((fan) => Inbox.of(fan.channels.get('load'))));
    const publisher = (await connected(t, served, options)).channels.get('load', { modes: ['PUBLISH'] });
    for (let batch = 0; batch < 5; batch++) await publisher.publish(Array.from({ length: 20 }, (_, index) => ({ data: `${index}` })));
    await rest(served, options).channels.get('load').publish('n', last);
    await Promise.all(inboxes.map((inbox) => inbox.until(last)));
    return inboxes;
  };
  await load('first');
  await until([100, 1, 202]);
  const { items } = await rest(served, options).stats({ unit: 'hour' });
  const total = (/** @type {string} */ name) => items.reduce((all, { entries }) => all + (/** @type {any} */ (entries)[name] ?? 0), 0);
  assert.deepEqual([total('messages.inbound.all.messages.count'), total('messages.outbound.realtime.messages.count')], [101, 202]);
  await served.stop();
  await served.start();
  await until([100, 1, 202]);
  // The first two listen on.
  const inboxes = await load('second');
  await until([200, 2, 606]);
  // What comes so soon after a report waits in memory for the end of its minute, or for a quiet time.
  await rest(served, options).channels.get('load').publish('n', 'third');
  await Promise.all(inboxes.map((inbox) => inbox.until('third')));
  await served.stop();
  await served.start();
  assert.deepEqual(await counted(), [200, 3, 610]);
});
