/** How many are on a channel, with the published SDK against the built worker: by REST, in the list, and in band. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connected, demoKey, formats, rest } from './clients.mjs';
import { unlessKilled } from './kills.mjs';
import { startRuntime } from './runtime.mjs';

/** @typedef {Record<string, number>} Metrics */

/** @type {import('./runtime.mjs').Runtime} */
let runtime;
before(async () => { runtime = await startRuntime(); });
after(() => runtime.stop());

/** Between two looks: what is waited for comes at the server's pace. */
const moment = () => new Promise((resolve) => setTimeout(resolve, 50));

/** @param {() => boolean | Promise<boolean>} condition */
async function until(condition) {
  while (!await condition()) await moment();
}

/** @param {string} path */
async function ask(path) {
  const response = await fetch(`${runtime.url}${path}${path.includes('?') ? '&' : '?'}key=${demoKey}`);
  assert.equal(response.status, 200);
  return { body: await response.json(), link: response.headers.get('link') ?? '' };
}

/** @param {string} channel @returns {Promise<Metrics>} */
async function metrics(channel) {
  const { body } = await ask(`/channels/${channel}`);
  assert.equal(body.status.isActive, true);
  return body.status.occupancy.metrics;
}

const there = unlessKilled('who comes back is counted when it is there');

for (const { format, useBinaryProtocol } of formats) {
  test(`a channel knows how many are on it, on whatever object holds them (${format})`, there, async (t) => {
    const name = `status-${format}`;
    const fan = await connected(t, runtime, { clientId: 'fan', useBinaryProtocol });
    const reader = await connected(t, runtime, { useBinaryProtocol });
    const near = await connected(t, runtime, { useBinaryProtocol, transportParams: { channel: name } });
    await fan.channels.get(name).presence.enter();
    await reader.channels.get(name, { modes: ['SUBSCRIBE'] }).attach();
    await near.channels.get(name).attach();
    assert.deepEqual(await metrics(name), {
      connections: 3, publishers: 2, subscribers: 3, presenceConnections: 2, presenceMembers: 1, presenceSubscribers: 2,
      objectPublishers: 0, objectSubscribers: 0,
    });
    const { status } = await rest(runtime, { useBinaryProtocol }).channels.get(name).status();
    assert.equal(status.occupancy.metrics.connections, 3);
    await fan.channels.get(name).detach();
    assert.deepEqual(await metrics(name).then(({ connections, presenceMembers }) => [connections, presenceMembers]), [2, 0]);
  });

  test(`who listens to a channel's occupancy is told of it (${format})`, async (t) => {
    const name = `listened-${format}`;
    const listener = await connected(t, runtime, { useBinaryProtocol });
    const channel = listener.channels.get(name, { params: { occupancy: 'metrics' } });
    /** @type {Metrics[]} */
    const told = [];
    await channel.subscribe('[meta]occupancy', ({ data }) => void told.push(data.metrics));
    await until(() => told.at(-1)?.connections === 1);
    const ann = await connected(t, runtime, { clientId: 'ann', useBinaryProtocol });
    await ann.channels.get(name).presence.enter();
    await until(() => told.at(-1)?.connections === 2 && told.at(-1)?.presenceMembers === 1);
    ann.close();
    await until(() => told.at(-1)?.connections === 1 && told.at(-1)?.presenceMembers === 0);
    assert.deepEqual((await channel.history()).items, []);
    assert.equal(channel.params.occupancy, 'metrics');
  });
}

test('channels in use are listed, those of others and those that nobody uses are not', async (t) => {
  const client = await connected(t, runtime);
  const names = ['list:a', 'list:b', 'list:c'];
  for (const name of names) await client.channels.get(name).attach();
  await rest(runtime).channels.get('list:published').publish('n', 'x');
  const listed = async () => (await ask('/channels?by=id&prefix=list:')).body;
  await until(async () => (await listed()).length === 4);
  assert.deepEqual(await listed(), [...names, 'list:published']);
  const { body: [first], link } = await ask('/channels?prefix=list:&limit=1');
  assert.deepEqual([first.channelId, first.status.occupancy.metrics.connections], ['list:a', 1]);
  const next = /<\.\/channels\?([^>]*)>; rel="next"/.exec(link)?.[1];
  assert.equal((await ask(`/channels?${next}`)).body[0].channelId, 'list:b');
  const pages = await rest(runtime).request('GET', '/channels', 4, { by: 'id', prefix: 'list:', limit: '3' });
  assert.deepEqual(pages.items, names);
  assert.deepEqual((await /** @type {any} */ (await pages.next()).items), ['list:published']);
});

test('objects that lose their memory count as before', there, async (t) => {
  const client = await connected(t, runtime);
  const listener = await connected(t, runtime, { transportParams: { channel: 'evicted' } });
  /** @type {Metrics[]} */
  const told = [];
  const channel = listener.channels.get('evicted', { params: { occupancy: 'metrics.subscribers' } });
  await channel.subscribe('[meta]occupancy', ({ data }) => void told.push(data.metrics));
  await client.channels.get('evicted').attach();
  await until(() => told.at(-1)?.subscribers === 2);
  await runtime.evict('Relay');
  await runtime.evict('Channel');
  assert.equal((await metrics('evicted')).subscribers, 2);
  await client.channels.get('evicted').detach();
  await until(() => told.at(-1)?.subscribers === 1);
});
