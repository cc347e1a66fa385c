/**
 * Statistics by the published SDK: counts agree to the message with what was done, through hibernation, and a
 * deployment's metrics with those.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';
import { Inbox, realtime, rest } from './clients.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

const ADMIN_TOKEN = 'admin-token-of-this-test';
const runtime = await startRuntime(demoApps, { variables: { ADMIN_TOKEN }, tellsCounts: true });
test.after(() => runtime.stop());

/**
 * Asks until it is so: who is busy reports once a minute, and so does the router, which is asked all the time.
 * @param {() => Promise<any>} ask @param {(got: any) => boolean} isSo
 */
async function eventually(ask, isSo) {
  for (const until = Date.now() + 90_000; ;) {
    const got = await ask();
    if (isSo(got)) return got;
    assert.ok(Date.now() < until, `still ${JSON.stringify(got)}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** The sum of all months, so that the end of an hour is no matter. @param {{ stats: Function }} client */
async function entries(client) {
  const { items } = await client.stats({ unit: 'month' });
  /** @type {Record<string, number>} */
  const sum = {};
  for (const { entries } of items) for (const [name, count] of Object.entries(entries)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

/** @param {Record<string, number>} counts @param {Record<string, number>} expected */
const holds = (counts, expected) => Object.entries(expected).every(([name, count]) => (counts[name] ?? 0) === count);

test('a load of known size is counted to the message, also after the memory of all objects is gone', async (t) => {
  const client = rest(runtime);
  assert.deepEqual((await client.stats()).items, [], 'an app with none');
  const [publisher, ...fans] = [0, 1, 2].map(() => realtime(t, runtime));
  const inboxes = await Promise.all(fans.map((fan) => Inbox.of(fan.channels.get('load'))));
  const silent = publisher.channels.get('load', { modes: ['PUBLISH', 'PRESENCE'] });
  const load = async (/** @type {string} */ last) => {
    for (let batch = 0; batch < 5; batch++) {
      await silent.publish(Array.from({ length: 20 }, (_, index) => ({ name: 'n', data: `${index}`.padStart(9, '0') })));
    }
    await client.channels.get('load').publish('n', last);
    await Promise.all(inboxes.map((inbox) => inbox.until(last)));
  };
  const after = (/** @type {number} */ times) => ({
    'messages.inbound.realtime.messages.count': 100 * times,
    'messages.inbound.realtime.messages.data': 1_000 * times,
    'messages.inbound.rest.messages.count': times,
    'messages.inbound.all.messages.count': 101 * times,
    'messages.outbound.realtime.messages.count': 202 * times,
    'messages.all.messages.count': 303 * times,
    'connections.all.opened': 3,
  });
  await load('end 1');
  await eventually(() => entries(client), (counts) => holds(counts, after(1)));
  for (const name of /** @type {const} */ (['Channel', 'Relay', 'App'])) await runtime.evict(name);
  assert.ok(holds(await entries(client), after(1)), 'what was reported is stored');
  await load('end 2');
  await eventually(() => entries(client), (counts) => holds(counts, after(2)));

  const { items: [hour] } = await publisher.stats({ unit: 'hour' });
  assert.match(String(hour.intervalId), /^\d{4}-\d\d-\d\d:\d\d$/);
  assert.match(hour.schema, /^https:/);
  const item = /** @type {any} */ (hour);
  assert.deepEqual([item.unit, item.appId, typeof item.inProgress], ['hour', 'demo', 'string']);
  const json = await rest(runtime, { useBinaryProtocol: false }).stats({ unit: 'hour' });
  const packed = await rest(runtime, { useBinaryProtocol: true }).stats({ unit: 'hour' });
  const inbound = 'messages.inbound.all.messages.count';
  assert.equal(json.items[0].entries[inbound], packed.items[0].entries[inbound]);
  await assert.rejects(client.stats({ start: 2_000, end: 1_000_000, limit: 5_000 }), { code: 40003 });
});

test('what is said again counts once, and what is refused is counted by its code', async (t) => {
  const client = rest(runtime);
  const before = await entries(client);
  const channel = client.channels.get('again');
  for (let time = 0; time < 3; time++) await channel.publish({ id: 'same-id', name: 'n', data: 'x' });
  const reader = rest(runtime, { key: 'demo.key1:wrong' });
  await assert.rejects(reader.channels.get('again').publish('n', 'x'), { code: 40101 });
  await channel.history();
  const inbound = 'messages.inbound.rest.messages.count';
  await eventually(() => entries(client), (counts) => counts[inbound] === (before[inbound] ?? 0) + 1
    && counts['messages.outbound.rest.messages.count'] === 1 && counts['apiRequests.other.refused'] >= 1);
  const connection = realtime(t, runtime, { key: 'demo.key1:wrong' });
  await new Promise((resolve) => connection.connection.once('failed', resolve));
  const metrics = await eventually(scrape, (text) => sample(text, 'courtside_connections_refused_total') >= 1);
  assert.ok(sample(metrics, 'courtside_refusals_total{code="40101"}') >= 2);
});

const scrape = async () => {
  const response = await fetch(`${runtime.url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  return response.text();
};

/** @param {string} text @param {string} name */
const sample = (text, name) => Number(text.split('\n').find((line) => line.startsWith(`${name} `))?.split(' ')[1]);

test('metrics agree with the statistics, hold no name, and are of all apps for the operator', async () => {
  const counts = await entries(rest(runtime));
  const text = await scrape();
  const inbound = sample(text, 'courtside_messages_total{direction="in",transport="realtime",kind="messages"}');
  assert.equal(inbound, counts['messages.inbound.realtime.messages.count']);
  const outbound = sample(text, 'courtside_messages_total{direction="out",transport="realtime",kind="messages"}');
  assert.equal(outbound, counts['messages.outbound.realtime.messages.count']);
  assert.ok(sample(text, 'courtside_commits_total') >= 10);
  assert.ok(sample(text, 'courtside_delivery_lag_seconds_count') >= 2);
  for (const name of ['load', 'again', 'demo']) assert.ok(!text.includes(`"${name}`), name);
  const key = `Basic ${btoa('demo.key1:local-only')}`;
  const own = await (await fetch(`${runtime.url}/metrics`, { headers: { authorization: key } })).text();
  assert.deepEqual([sample(own, 'courtside_apps'), sample(own, 'courtside_commits_total')], [1, sample(text, 'courtside_commits_total')]);
  const months = await fetch(`${runtime.url}/stats?unit=month`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  const name = 'messages.inbound.realtime.messages.count';
  const all = (await months.json()).map((/** @type {any} */ item) => [item.appId, item.entries[name] ?? 0]);
  assert.deepEqual([...new Set(all.map((/** @type {[string, number]} */ [app]) => app))], ['*']);
  assert.equal(all.reduce((/** @type {number} */ sum, /** @type {[string, number]} */ [, count]) => sum + count, 0), counts[name]);
  for (const authorization of ['', 'Bearer wrong', `Basic ${btoa('demo.key1:wrong')}`]) {
    const response = await fetch(`${runtime.url}/metrics`, { headers: authorization ? { authorization } : {} });
    assert.equal(response.status, 401);
  }
});

test('promtool takes the metrics', async (t) => {
  const text = await scrape();
  try {
    execFileSync('promtool', ['check', 'metrics'], { input: text, stdio: 'pipe' });
  } catch (error) {
    const failure = /** @type {NodeJS.ErrnoException & { stderr?: Buffer, stdout?: Buffer }} */ (error);
    if (failure.code === 'ENOENT') return t.skip('there is no promtool: install Debian\'s prometheus');
    throw new Error(`${failure.stdout}${failure.stderr}`);
  }
});
