/** Annotations of messages and what they come to, with the published SDK over realtime and REST, and without. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Heard, connected, demoKey, formats, rest, wholeHistory } from './clients.mjs';
import { isKilling } from './kills.mjs';
import { RawClient, action } from './raw_client.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

const keys = [
  { name: 'key1', secret: 'local-only', capability: { '*': ['*'] } },
  { name: 'reader', secret: 'local-only', capability: { '*': ['subscribe'] } },
  { name: 'raw', secret: 'local-only', capability: { '*': ['annotation-subscribe'] } },
];
const namespaces = [{ id: 'mutable', mutableMessages: true }, { id: 'paced', mutableMessages: true, batchingEnabled: true, batchingInterval: 200 }];
const apps = { apps: [{ ...demoApps.apps[0], keys, namespaces }] };
const runtime = await startRuntime(apps);
after(() => runtime.stop());

/** @typedef {import('ably').RealtimeChannel} Channel */
/** @type {import('ably').ChannelMode[]} */
const everyMode = ['publish', 'subscribe', 'annotation_publish', 'annotation_subscribe'];

/** All that comes to a channel, messages and annotations, in one order. @param {Channel} channel */
async function heardBy(channel) {
  const heard = new Heard();
  await channel.subscribe(heard.hear);
  if (channel.modes?.includes('annotation_subscribe')) await channel.annotations.subscribe(heard.hear);
  return heard;
}

/** @param {any} item */
const isSummary = (item) => item.action === 'message.summary';

/** @param {Channel} channel @param {string} [data] */
async function published(channel, data = '15–0') {
  const { serials } = await channel.publish('score', data);
  return /** @type {string} */ (serials[0]);
}

/** All annotations of a message, page by page. @param {any} channel @param {string} serial @param {number} limit */
async function allOf(channel, serial, limit) {
  const pages = [];
  let page = await channel.annotations.get(serial, { limit });
  while (page) {
    pages.push(page.items);
    page = page.hasNext() ? await page.next() : null;
  }
  return pages;
}

for (const { format, useBinaryProtocol } of formats) {
  test(`an annotation is told, then what it comes to (${format})`, async (t) => {
    const client = await connected(t, runtime, { useBinaryProtocol, clientId: 'ann' });
    const channel = client.channels.get(`mutable:told-${format}`, { modes: everyMode });
    const heard = await heardBy(channel);
    const plain = client.channels.get(`[?plain=1]mutable:told-${format}`);
    const others = await heardBy(plain);
    assert.ok(!plain.modes?.includes('annotation_subscribe') && plain.modes?.includes('annotation_publish'));
    const serial = await published(channel);
    await channel.annotations.publish(serial, { type: 'reaction:distinct.v1', name: '👍', data: { why: 'ace' } });
    const summary = await heard.until(isSummary);
    const [message, annotation] = heard.all;
    assert.deepEqual([message.serial, annotation.action, annotation.messageSerial], [serial, 'annotation.create', serial]);
    assert.deepEqual([annotation.type, annotation.name, annotation.clientId], ['reaction:distinct.v1', '👍', 'ann']);
    assert.deepEqual([annotation.data, annotation.connectionId], [{ why: 'ace' }, client.connection.id]);
    assert.ok(annotation.serial > serial && annotation.timestamp > 0 && annotation.id);
    assert.deepEqual([summary.serial, summary.name, heard.all.length], [serial, 'score', 3]);
    const expected = { 'reaction:distinct.v1': { '👍': { total: 1, clientIds: ['ann'], clipped: false } } };
    assert.deepEqual(summary.annotations.summary, expected);
    await others.until(isSummary);
    assert.deepEqual(others.all.map((item) => item.action), ['message.create', 'message.summary']);

    const [stored] = await wholeHistory(rest(runtime).channels.get(channel.name.replace(/^\[.*\]/, '')));
    assert.deepEqual([stored.serial, stored.action, stored.annotations?.summary], [serial, 'message.create', expected]);
    const rewound = (await connected(t, runtime, { useBinaryProtocol })).channels.get(plain.name.replace('plain=1', 'rewind=1'));
    const again = await heardBy(rewound);
    // Whose connection goes at once gets the rest of it as one that resumes: the message, then its summary.
    const first = await again.until(({ annotations }) => !isKilling || Object.keys(annotations.summary).length > 0);
    assert.deepEqual([first.serial, first.annotations.summary], [serial, expected]);

    await channel.annotations.delete(serial, { type: 'reaction:distinct.v1', name: '👍' });
    await heard.until((item) => isSummary(item) && Object.keys(item.annotations.summary).length === 0);
    assert.deepEqual(heard.all.map((item) => item.action).slice(3), ['annotation.delete', 'message.summary']);
  });

  test(`what is done to a message comes with what was said of it (${format})`, async (t) => {
    const client = await connected(t, runtime, { useBinaryProtocol, clientId: 'ann' });
    const channel = client.channels.get(`mutable:changed-${format}`);
    const heard = await heardBy(channel);
    const serial = await published(channel);
    await channel.annotations.publish(serial, { type: 'r:flag.v1' });
    await channel.updateMessage({ serial, data: '30–0' });
    await channel.appendMessage({ serial, data: ', and game' });
    await channel.deleteMessage({ serial, data: '' });
    const deleted = await heard.until((item) => item.action === 'message.delete');
    const summary = { 'r:flag.v1': { total: 1, clientIds: ['ann'], clipped: false } };
    const [updated] = heard.all.filter((item) => item.action === 'message.update');
    assert.deepEqual([updated.annotations.summary, deleted.annotations.summary], [summary, summary]);
    const [appended] = heard.all.filter((item) => item.action === 'message.append');
    assert.equal(appended.data, ', and game', 'a part says nothing of the whole');
  });

  test(`annotations are published, read and taken back over REST (${format})`, async () => {
    const api = rest(runtime, { useBinaryProtocol, clientId: 'bob' });
    const channel = api.channels.get(`mutable:rest-${format}`);
    const serial = /** @type {string} */ ((await channel.publish('score', '30–0')).serials[0]);
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of names) await channel.annotations.publish(serial, { type: 'r:unique.v1', name });
    await channel.annotations.delete(serial, { type: 'r:unique.v1' });
    const pages = await allOf(channel, serial, 2);
    const all = pages.flat();
    assert.deepEqual(pages.map((page) => page.length), [2, 2, 2]);
    assert.deepEqual(all.map((item) => item.name), [...names, undefined]);
    assert.deepEqual(all.map((item) => item.action), [...names.map(() => 'annotation.create'), 'annotation.delete']);
    const serials = all.map((item) => item.serial);
    assert.deepEqual(serials.toSorted(), serials);
    assert.ok(all.every((item) => item.messageSerial === serial && item.clientId === 'bob'));

    await channel.annotations.publish(serial, { type: 'r:multiple.v1', name: 'clap', count: 3 });
    await rest(runtime, { useBinaryProtocol }).channels.get(channel.name).annotations.publish(serial, { type: 'r:multiple.v1', name: 'clap' });
    const path = `/channels/${encodeURIComponent(channel.name)}/messages/${encodeURIComponent(serial)}/client-summary`;
    const { items } = await api.request('GET', path, 6, { forClientId: 'bob' }, null, {});
    const clap = { total: 4, clientIds: { bob: 3 }, totalUnidentified: 1, totalClientIds: 1, clipped: true };
    assert.deepEqual(items, [{ 'r:multiple.v1': { clap } }]);
    const [stored] = await wholeHistory(channel);
    assert.deepEqual(stored.annotations?.summary, { 'r:multiple.v1': { clap: { ...clap, clipped: false } } });
  });

  test(`what is wrong is refused with its code, and the connection goes on (${format})`, async (t) => {
    const client = await connected(t, runtime, { useBinaryProtocol });
    const channel = client.channels.get(`mutable:wrong-${format}`);
    await channel.attach();
    const serial = await published(channel);
    const other = await published(client.channels.get(`mutable:other-${format}`));
    const flag = { type: 'r:flag.v1', clientId: 'ann' };
    const cases = /** @type {[string, any, number][]} */ ([
      [serial.replace(/:\d+$/, ':007'), flag, 40400], [other, flag, 40400], ['nonsense', flag, 40003],
      [serial, { ...flag, type: 'x'.repeat(10_000) }, 40009], [serial, { ...flag, name: 'x'.repeat(10_000) }, 40009],
      [serial, { type: 'r:flag.v1' }, 40161], [serial, { ...flag, type: 'r:distinct.v1' }, 40000],
      ...[0, -1, 1.5, 1e300].map((count) => [serial, { type: 'r:multiple.v1', name: 'n', count }, 40003]),
      [serial, { type: 'r:novel.v9' }, 0], [serial, { type: 'com.example.anything' }, 0],
    ]);
    const api = rest(runtime, { useBinaryProtocol }).channels.get(channel.name);
    for (const [target, annotation, code] of cases) {
      // The SDK itself cannot write such a number in msgpack.
      if (useBinaryProtocol && annotation.count === 1e300) continue;
      for (const by of [channel, api]) {
        const answer = await by.annotations.publish(target, annotation).then(() => 0, (error) => error.code);
        assert.equal(answer, code, `${target} ${JSON.stringify(annotation).slice(0, 60)}`);
      }
    }
    const plain = client.channels.get(`plain-${format}`);
    await plain.attach();
    await assert.rejects(plain.annotations.publish(await published(plain), flag), { code: 93002, statusCode: 400 });
    await assert.rejects(rest(runtime).channels.get(plain.name).annotations.get(serial, null), { code: 93002 });
    await assert.rejects(client.channels.get(`sub-${format}`, { modes: ['annotation_subscribe'] }).attach(), { code: 93002 });
    await assert.rejects(channel.annotations.subscribe(() => {}), { code: 93001 });
    const unable = client.channels.get(`mutable:unable-${format}`, { modes: ['publish', 'subscribe'] });
    await assert.rejects(heardBy(unable).then(async () => unable.annotations.publish(await published(unable), flag)), { code: 40165 });
    assert.equal(client.connection.state, 'connected');
  });
}

test('each right allows what it says', async (t) => {
  const channel = (await connected(t, runtime, { clientId: 'ann' })).channels.get('mutable:rights');
  const serial = await published(channel);
  await channel.annotations.publish(serial, { type: 'r:flag.v1' });
  const reader = rest(runtime, { key: 'demo.reader:local-only', clientId: 'ann' });
  const raw = rest(runtime, { key: 'demo.raw:local-only' });
  const of = (/** @type {any} */ api) => api.channels.get(channel.name).annotations;
  await assert.rejects(of(reader).publish(serial, { type: 'r:flag.v1' }), { code: 40160 });
  await assert.rejects(of(reader).get(serial, null), { code: 40160 });
  assert.equal((await of(raw).get(serial, null)).items.length, 1);
  const path = `/channels/${encodeURIComponent(channel.name)}/messages/${encodeURIComponent(serial)}/client-summary`;
  const own = await reader.request('GET', path, 6, {}, null, {});
  assert.deepEqual(own.items, [{ 'r:flag.v1': { total: 1, clientIds: ['ann'], clipped: true } }]);
  assert.equal((await raw.request('GET', path, 6, { forClientId: 'ann' }, null, {})).errorCode, 40160);
  assert.equal((await rest(runtime).request('GET', path, 6, { forClientId: '*' }, null, {})).errorCode, 40012);
  const granted = (await connected(t, runtime, { key: 'demo.reader:local-only' })).channels.get(channel.name, { modes: everyMode });
  await granted.attach();
  assert.deepEqual(granted.modes, ['subscribe'], 'modes without a right are left out');
});

test('a body that is no list, or names several messages, is refused', async () => {
  const channel = rest(runtime).channels.get('mutable:bodies');
  const [one, two] = (await channel.publish([{ data: 'one' }, { data: 'two' }])).serials.map(String);
  const post = async (/** @type {unknown} */ body) => {
    const url = `${runtime.url}/channels/mutable:bodies/messages/${encodeURIComponent(one)}/annotations?key=${demoKey}`;
    const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    const { error, serials } = /** @type {any} */ (await answer.json());
    return [answer.status, error?.code ?? serials.length];
  };
  const total = { type: 'r:total.v1' };
  assert.deepEqual(await post(total), [400, 40000]);
  assert.deepEqual(await post([]), [400, 40000]);
  assert.deepEqual(await post([total, { ...total, messageSerial: two }]), [400, 40000]);
  assert.deepEqual(await post([{ ...total, messageSerial: two }]), [400, 40000]);
  assert.deepEqual(await post([total, total, { ...total, messageSerial: one }]), [201, 3]);
});

test('who was away is told the latest summary when it resumes', async (t) => {
  const client = await connected(t, runtime, { clientId: 'ann' });
  const channel = client.channels.get('mutable:resumed');
  const serial = await published(channel);
  const listener = new RawClient(runtime, { key: demoKey });
  t.after(() => listener.close());
  await listener.expect(action.CONNECTED);
  listener.send({ action: action.ATTACH, channel: channel.name });
  const { channelSerial } = await listener.expect(action.ATTACHED);
  listener.close();
  await channel.annotations.publish(serial, { type: 'r:flag.v1' });
  await rest(runtime, { clientId: 'bob' }).channels.get(channel.name).annotations.publish(serial, { type: 'r:flag.v1' });
  assert.ok(await runtime.evict('Channel', `demo/${channel.name}`) > 0, 'it reads what is stored');
  const again = new RawClient(runtime, { key: demoKey });
  t.after(() => again.close());
  await again.expect(action.CONNECTED);
  again.send({ action: action.ATTACH, channel: channel.name, channelSerial });
  await again.expect(action.ATTACHED);
  const { messages } = await again.expect(action.MESSAGE);
  const summary = { 'r:flag.v1': { total: 2, clientIds: ['ann', 'bob'], clipped: false } };
  assert.deepEqual(messages.map((/** @type {any} */ message) => [message.action, message.serial, message.annotations?.summary]), [[4, serial, summary]]);
});

test('a reader of an event stream is told of summaries, and none of annotations', async (t) => {
  const channel = rest(runtime, { clientId: 'ann' }).channels.get('mutable:streamed');
  const serial = String((await channel.publish('score', 'x')).serials[0]);
  const abort = new AbortController();
  t.after(() => abort.abort());
  const stream = await fetch(`${runtime.url}/sse?channels=mutable:streamed&key=${demoKey}`, { signal: abort.signal });
  await channel.annotations.publish(serial, { type: 'r:flag.v1' });
  let text = '';
  for await (const chunk of /** @type {any} */ (stream.body).pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes('"action":4')) break;
  }
  const data = text.split('\n').filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6)));
  const summary = { 'r:flag.v1': { total: 1, clientIds: ['ann'], clipped: false } };
  assert.deepEqual(data.map((message) => [message.serial, message.annotations.summary]), [[serial, summary]]);
});

test('a channel that delivers at intervals tells one summary of a message in each', async (t) => {
  const client = await connected(t, runtime, { clientId: 'ann' });
  const channel = client.channels.get('paced:crowd');
  const heard = await heardBy(channel);
  const serial = await published(channel);
  for (let round = 0; round < 50; round++) await channel.annotations.publish(serial, { type: 'r:total.v1' });
  const last = await heard.until((item) => item.annotations?.summary?.['r:total.v1']?.total === 50);
  assert.equal(last.serial, serial);
  const summaries = heard.all.filter(isSummary);
  assert.equal(new Set(summaries.map((item) => item.annotations.summary['r:total.v1'].total)).size, summaries.length);
});

/**
 * A storm of reactions, of which each is sent until it is acknowledged; meanwhile something happens to the server.
 * @param {import('node:test').TestContext} t
 * @param {import('./runtime.mjs').Runtime} runtime
 * @param {string} name
 * @param {(round: number) => Promise<unknown>} disturb
 */
async function storm(t, runtime, name, disturb) {
  const names = ['ann', 'bob', 'cy', 'dan'];
  const clients = await Promise.all(names.map((clientId) => connected(t, runtime, { clientId })));
  const channels = clients.map((client) => client.channels.get(name));
  const listener = (await connected(t, runtime)).channels.get(name);
  const heard = await heardBy(listener);
  const serial = await published(channels[0]);
  for (let round = 0; round < 4; round++) {
    const said = channels.flatMap((channel) => Array.from({ length: 25 }, async () => {
      await channel.annotations.publish(serial, { type: 'r:total.v1' });
      await channel.annotations.publish(serial, { type: 'r:multiple.v1', name: 'clap', count: 2 });
      await channel.annotations.publish(serial, { type: 'r:flag.v1' });
    }));
    await Promise.all([...said, disturb(round)]);
  }
  const clap = { total: 800, clientIds: Object.fromEntries(names.map((each) => [each, 200])), totalUnidentified: 0, totalClientIds: 4, clipped: false };
  const [stored] = await wholeHistory(rest(runtime).channels.get(name));
  const summary = /** @type {any} */ (stored.annotations?.summary);
  assert.deepEqual([summary['r:total.v1'], summary['r:multiple.v1'].clap], [{ total: 400 }, clap]);
  assert.deepEqual(summary['r:flag.v1'].clientIds.toSorted(), names);
  const isLast = (/** @type {any} */ item) => item.annotations?.summary?.['r:total.v1']?.total === 400
    && item.annotations.summary['r:multiple.v1'].clap.total === 800;
  await heard.until(isLast);
  const raw = (await allOf(rest(runtime).channels.get(name), serial, 1_000)).flat();
  assert.deepEqual([raw.length, new Set(raw.map((item) => item.serial)).size], [1_200, 1_200]);
}

test('counts are exact when objects lose their memory in a storm of reactions', async (t) => {
  await storm(t, runtime, 'mutable:storm', async () => {
    await runtime.evict('Channel', 'demo/mutable:storm');
    await runtime.evict('Relay', 'demo/0');
  });
});

test('counts are exact when the server is killed in a storm of reactions', async (t) => {
  const mortal = await startRuntime(apps);
  t.after(() => mortal.stop());
  await storm(t, mortal, 'mutable:killed', async () => {
    await mortal.kill();
    await mortal.start();
  });
});
