/** REST, through the published SDK and as curl would ask. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, appsWithFewRights, connected, demoKey, formats, rest, wholeHistory } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(appsWithFewRights);
after(() => runtime.stop());

const authorization = `Basic ${Buffer.from(demoKey).toString('base64')}`;

for (const { format, useBinaryProtocol } of formats) {
  test(`what was published is in history at once (${format})`, async () => {
    const client = rest(runtime, { useBinaryProtocol });
    const channel = client.channels.get(`written-${format}`);
    const kinds = ['text', { points: [15, 30] }, Buffer.from([0, 255, 1]), undefined];
    for (const [index, data] of kinds.entries()) {
      const { serials } = await channel.publish(`kind ${index}`, data);
      const { items: [newest] } = await channel.history({ limit: 1 });
      assert.equal(newest.serial, serials[0]);
      assert.equal(newest.name, `kind ${index}`);
      if (Buffer.isBuffer(data)) assert.deepEqual(Buffer.from(newest.data), data);
      else assert.deepEqual(newest.data, data);
      assert.match(String(newest.id), /^[\w+/=-]+:0$/);
    }
  });

  test(`history is read page by page in both directions (${format})`, async () => {
    const channel = rest(runtime, { useBinaryProtocol }).channels.get(`pages-${format}`);
    await channel.publish([{ data: 'm0' }, { data: 'm1' }, { data: 'm2' }]);
    for (let index = 3; index < 8; index++) await channel.publish('a', `m${index}`);
    const expected = Array.from({ length: 8 }, (_, index) => `m${index}`);

    for (const direction of /** @type {const} */ (['forwards', 'backwards'])) {
      const wanted = direction === 'forwards' ? expected : expected.toReversed();
      let page = await channel.history({ direction, limit: 3 });
      const pages = [];
      for (;;) {
        pages.push(page.items.map((message) => message.data));
        assert.equal(page.isLast(), !page.hasNext());
        const next = await page.next();
        if (!next) break;
        page = next;
      }
      assert.deepEqual(pages.flat(), wanted, direction);
      assert.deepEqual(pages.map((items) => items.length), [3, 3, 2]);
      const first = await page.first();
      assert.deepEqual(first.items.map((message) => message.data), wanted.slice(0, 3));
      assert.deepEqual((await page.current()).items.map((message) => message.data), wanted.slice(6));
    }
  });
}

test('a webhook\'s body is the data, and headers say the rest', async (t) => {
  const client = await connected(t, runtime, { clientId: 'reader' });
  const inbox = await Inbox.of(client.channels.get('hook'));
  /** @param {BodyInit} body @param {Record<string, string>} headers */
  const post = async (body, headers) => {
    const url = `${runtime.url}/channels/hook/messages?enveloped=false`;
    const response = await fetch(url, { method: 'POST', body, headers: { authorization, ...headers } });
    assert.equal(response.status, 201);
  };
  await post('{"some":"json"}', { 'content-type': 'application/json', 'x-ably-name': 'issue' });
  await post('some text', { 'x-ably-clientid': Buffer.from('hook').toString('base64') });
  await post(Uint8Array.of(0, 255), { 'content-type': 'application/octet-stream' });
  await inbox.until(3);
  assert.deepEqual(inbox.messages.map(({ name, clientId }) => [name, clientId]), [['issue', undefined], [undefined, 'hook'], [undefined, undefined]]);
  assert.deepEqual(inbox.data.slice(0, 2), [{ some: 'json' }, 'some text']);
  assert.deepEqual(Buffer.from(/** @type {any} */ (inbox.data[2])), Buffer.from([0, 255]));
});

test('a compressed body is refused as one', async () => {
  const headers = { authorization, 'content-type': 'application/json', 'content-encoding': 'gzip' };
  for (const path of ['/channels/zip/messages', '/messages', `/comet/none/send?key=${demoKey}`]) {
    const response = await fetch(runtime.url + path, { method: 'POST', headers, body: Uint8Array.of(31, 139, 8) });
    assert.deepEqual([response.status, response.headers.get('x-ably-errorcode')], [415, '40001'], path);
    assert.match(String(response.headers.get('x-ably-errormessage')), /Content-Encoding/);
  }
});

test('history until the attach is read backwards, or refused', async (t) => {
  const client = await connected(t, runtime);
  const channel = client.channels.get('until');
  await rest(runtime).channels.get('until').publish('a', 'before');
  await channel.attach();
  await channel.publish('a', 'after');
  const { items } = await channel.history({ untilAttach: true });
  assert.deepEqual(items.map(({ data }) => data), ['before']);
  await assert.rejects(channel.history({ untilAttach: true, direction: 'forwards' }), { code: 40003, statusCode: 400 });
});

test('history takes start, end and limit, both ends included', async () => {
  const channel = rest(runtime).channels.get('bounds');
  for (const data of ['one', 'two', 'three']) {
    await channel.publish('a', data);
    await laterThan((await channel.history({ limit: 1 })).items[0].timestamp ?? 0);
  }
  const [one, two, three] = await wholeHistory(channel);
  const read = async (/** @type {object} */ params) =>
    (await channel.history({ direction: 'forwards', ...params })).items.map((message) => message.data);
  assert.deepEqual(await read({ start: two.timestamp }), ['two', 'three']);
  assert.deepEqual(await read({ end: two.timestamp }), ['one', 'two']);
  assert.deepEqual(await read({ start: two.timestamp, end: two.timestamp }), ['two']);
  assert.deepEqual(await read({ start: three.timestamp + 1 }), []);
  assert.deepEqual(await read({ end: one.timestamp - 1 }), []);
  assert.deepEqual(await read({ limit: 1 }), ['one']);
});

test('a history query that makes no sense is refused with a code', async () => {
  const channel = rest(runtime).channels.get('senseless');
  const bad = [{ limit: 0 }, { limit: 1001 }, { limit: -1 }, { limit: 'x' }, { start: 2, end: 1 }, { start: 'now' },
    { direction: 'sideways' }, { cursor: 'nonsense' }];
  for (const params of bad) {
    const refused = (/** @type {any} */ error) => error.code === 40003 && error.statusCode === 400;
    await assert.rejects(channel.history(/** @type {any} */ (params)), refused, JSON.stringify(params));
  }
});

test('the time needs no credentials', async () => {
  const before = Date.now();
  const time = await rest(runtime).time();
  assert.ok(time >= before - 1_000 && time <= Date.now() + 1_000);
  const response = await fetch(`${runtime.url}/time`);
  assert.equal(response.headers.get('content-type'), 'application/json');
  assert.equal((await response.json()).length, 1);
});

test('a REST publish reaches subscribers, and theirs shows in history', async (t) => {
  const client = await connected(t, runtime);
  const inbox = await Inbox.of(client.channels.get('both'));
  const { serials } = await rest(runtime).channels.get('both').publish('a', 'from rest');
  const [message] = await inbox.until(1);
  assert.deepEqual([message.data, message.serial, message.connectionId], ['from rest', serials[0], undefined]);
  await client.channels.get('both').publish('a', 'from realtime');
  const [newest] = (await rest(runtime).channels.get('both').history({ limit: 1 })).items;
  assert.deepEqual([newest.data, newest.connectionId], ['from realtime', client.connection.id]);
  const live = await inbox.until('from realtime');
  const stored = await wholeHistory(rest(runtime).channels.get('both'));
  const parts = (/** @type {any} */ { id, name, data, serial, timestamp, version }) =>
    ({ id, name, data, serial, timestamp, version: { ...version } });
  assert.deepEqual(stored.map(parts), live.map(parts), 'the same, live and stored');
});

test('a REST publish on behalf of a connection is that connection\'s own', async (t) => {
  for (const transportParams of [undefined, { channel: 'behalf' }]) {
    const options = transportParams ? { transportParams } : {};
    const client = await connected(t, runtime, { clientId: 'ann', echoMessages: false, ...options });
    const other = await connected(t, runtime);
    const [own, theirs] = await Promise.all([client, other].map((one) => Inbox.of(one.channels.get('behalf'))));
    const connectionKey = /** @type {string} */ (client.connection.key);
    const publish = (/** @type {object} */ message) => rest(runtime).channels.get('behalf').publish(/** @type {any} */ (message));
    await publish({ data: 'as her', connectionKey });
    await publish({ data: 'end' });
    await Promise.all([own, theirs].map((inbox) => inbox.until('end')));
    assert.deepEqual(own.data, ['end'], 'she hears nothing of her own');
    const [message] = theirs.messages;
    assert.deepEqual([message.data, message.connectionId, message.clientId], ['as her', client.connection.id, 'ann']);
    assert.ok(!('connectionKey' in message));
    await assert.rejects(publish({ data: 'x', connectionKey: connectionKey.replace('-0-', '-1-') }), { code: 40006 });
    await assert.rejects(publish({ data: 'x', connectionKey, clientId: 'bob' }), { code: 40012 });
  }
});

test('what is persisted outlives the runtime, and so does the order', async () => {
  const channel = rest(runtime).channels.get('persisted:scores');
  const before = await channel.publish('a', 'before');
  await runtime.kill();
  await runtime.start();
  const later = await channel.publish('a', 'after');
  assert.ok(/** @type {string} */ (before.serials[0]) < /** @type {string} */ (later.serials[0]));
  assert.deepEqual((await wholeHistory(channel)).map((message) => message.data), ['before', 'after']);
});

test('what a key does not allow is refused by both directions', async () => {
  const [reader, writer] = ['reader', 'writer'].map((name) => rest(runtime, { key: `demo.${name}:local-only` }));
  await writer.channels.get('open:a').publish('a', 'b');
  assert.equal((await reader.channels.get('open:a').history()).items.length, 1);
  const refused = (/** @type {any} */ error) => error.code === 40160 && error.statusCode === 401;
  await assert.rejects(reader.channels.get('open:a').publish('a', 'b'), refused);
  await assert.rejects(writer.channels.get('open:a').history(), refused);
  await assert.rejects(reader.channels.get('shut').history(), refused);
});

test('the SDK sees the code of every failure', async () => {
  const codes = async (/** @type {Promise<unknown>} */ promise) =>
    promise.then(() => assert.fail('it worked'), (error) => [error.statusCode, error.code]);
  const channel = rest(runtime).channels.get('failures');
  assert.deepEqual(await codes(rest(runtime, { key: 'demo.key1:wrong-one' }).channels.get('c').history()), [401, 40101]);
  assert.deepEqual(await codes(rest(runtime, { key: 'demo.nobody:x' }).channels.get('c').history()), [401, 40400]);
  assert.equal((await codes(rest(runtime, { key: 'other.key1:x' }).channels.get('c').history()))[0], 401);
  assert.deepEqual(await codes(rest(runtime).channels.get(':hell').publish('a', 'b')), [400, 40010]);
  assert.deepEqual(await codes(channel.publish([{ id: 'a:1' }, { id: 'a:0' }])), [400, 40031]);
  const large = rest(runtime, { maxMessageSize: 1 << 20 }).channels.get('failures');
  assert.deepEqual(await codes(large.publish('a', 'x'.repeat(64 * 1024))), [400, 40009]);
  const unknown = await rest(runtime).request('get', '/nowhere', 3, {}, null, {});
  assert.deepEqual([unknown.success, unknown.statusCode, unknown.errorCode], [false, 404, 40400]);
  assert.ok(unknown.errorMessage);
  assert.deepEqual((await channel.history()).items, [], 'nothing of it was published');
});

test('curl publishes and reads: key in the header or the query, JSON or a form', async () => {
  const url = `${runtime.url}/channels/curl/messages`;
  const json = { 'content-type': 'application/json' };
  const posts = [
    fetch(url, { method: 'POST', headers: { authorization, ...json }, body: '{"name":"a","data":"by header"}' }),
    fetch(`${url}?key=${demoKey}`, { method: 'POST', headers: json, body: '[{"data":"by query"}]' }),
    fetch(url, { method: 'POST', headers: { authorization }, body: new URLSearchParams({ name: 'a', data: 'by form' }) }),
    fetch(url, { method: 'POST', headers: { authorization, ...json }, body: '{"data":{"by":"object"}}' }),
  ];
  for (const post of posts) {
    const response = await post;
    const body = await response.json();
    assert.equal(response.status, 201, JSON.stringify(body));
    assert.equal(response.headers.get('content-type'), 'application/json');
    assert.equal(body.channel, 'curl');
    assert.equal(body.serials.length, 1);
  }
  const response = await fetch(`${url}?key=${demoKey}&limit=2`);
  assert.equal((await response.json()).length, 2);
  assert.match(response.headers.get('link') ?? '', /<\.\/messages\?[^>,]*>; rel="next"/);
  const data = (await wholeHistory(rest(runtime).channels.get('curl'))).map((message) => message.data);
  assert.equal(data.length, 4);
  for (const sent of ['by header', 'by query', 'by form', { by: 'object' }]) {
    assert.ok(data.some((found) => JSON.stringify(found) === JSON.stringify(sent)), `${JSON.stringify(sent)} in ${JSON.stringify(data)}`);
  }
});

test('answers come in the format that was asked for, with its exact name', async () => {
  const url = `${runtime.url}/channels/formats/messages?key=${demoKey}`;
  const type = async (/** @type {string} */ query, /** @type {Record<string, string>} */ headers) =>
    (await fetch(url + query, { headers })).headers.get('content-type');
  assert.equal(await type('', {}), 'application/json');
  assert.equal(await type('', { accept: 'application/x-msgpack' }), 'application/x-msgpack');
  assert.equal(await type('&format=msgpack', { accept: 'application/json' }), 'application/x-msgpack');
  assert.equal(await type('&limit=0', { accept: 'application/x-msgpack' }), 'application/x-msgpack');
});

test('an error says its code in body and headers, and any page may read it', async () => {
  const response = await fetch(`${runtime.url}/channels/c/messages`);
  assert.equal(response.status, 401);
  const { error } = await response.json();
  assert.deepEqual([error.code, error.statusCode], [40106, 401]);
  assert.ok(error.message && error.href);
  assert.equal(response.headers.get('x-ably-errorcode'), '40106');
  assert.ok(response.headers.get('x-ably-errormessage'));
  assert.equal(response.headers.get('access-control-allow-origin'), '*');
  assert.match(response.headers.get('access-control-expose-headers') ?? '', /X-Ably-ErrorCode/);
  assert.equal((await fetch(`${runtime.url}/time`, { method: 'DELETE' })).status, 405);
});

test('a browser\'s preflight is answered on every path', async () => {
  for (const path of ['/', '/time', '/channels/a%2Fb/messages', '/nowhere']) {
    const response = await fetch(runtime.url + path, {
      method: 'OPTIONS',
      headers: { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });
    assert.equal(response.status, 204, path);
    assert.match(response.headers.get('access-control-allow-headers') ?? '', /Authorization/i);
    assert.match(response.headers.get('access-control-allow-methods') ?? '', /POST/);
  }
});

test('HEAD says what GET would, but for the body', async () => {
  for (const path of ['/time', `/channels/head/messages?key=${demoKey}`, '/channels/head/messages', '/nowhere', '/']) {
    const [head, get] = await Promise.all(['HEAD', 'GET'].map((method) => fetch(runtime.url + path, { method })));
    assert.equal(head.status, get.status, path);
    for (const name of ['content-type', 'access-control-allow-origin', 'x-ably-errorcode', 'link']) {
      assert.equal(head.headers.get(name), get.headers.get(name), `${path}: ${name}`);
    }
    const body = await get.text();
    assert.ok(body.length > 0);
    assert.equal(await head.text(), '');
    if (path !== '/') assert.equal(head.headers.get('content-length'), String(body.length), path);
  }
});

test('bad bodies are refused with a code, and the channel goes on', async () => {
  const url = `${runtime.url}/channels/bodies/messages?key=${demoKey}`;
  const code = async (/** @type {string | Uint8Array<ArrayBuffer>} */ body, type = 'application/json') => {
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body });
    return (await response.json()).error?.code;
  };
  assert.equal(await code('{'), 40001);
  assert.equal(await code(''), 40001);
  assert.equal(await code('[1]'), 40001);
  assert.equal(await code('{"data":1}'), 40013);
  assert.equal(await code('{"data":"x"}', 'application/x-msgpack'), 40001);
  assert.equal(await code(new Uint8Array([0xc1, 0xff]), 'application/x-msgpack'), 40001);
  assert.equal(await code('x'.repeat(3 * 1024 * 1024)), 40009);
  assert.equal(await code('{"data":"fine"}'), undefined);
});

test('a batch publishes on many channels', async () => {
  const client = rest(runtime);
  const result = await client.batchPublish({ channels: ['batch-a', 'batch-b'], messages: [{ data: 'x' }, { data: 'y' }] });
  assert.deepEqual([result.successCount, result.failureCount], [2, 0]);
  for (const name of ['batch-a', 'batch-b']) {
    assert.deepEqual((await wholeHistory(client.channels.get(name))).map((message) => message.data), ['x', 'y']);
  }
});

test('an SDK of version 2 publishes in batches, and asks for the members of many channels', async () => {
  const { default: { Rest } } = await import('ably-1.2.50');
  const { port } = new URL(runtime.url);
  /** @type {any} its types say otherwise what it gives */
  const client = new Rest.Promise({ key: demoKey, restHost: '127.0.0.1', port: Number(port), tls: false });
  const [published] = await client.batchPublish([{ channels: ['old-a', 'old-b'], messages: [{ data: 'x' }] }]);
  assert.deepEqual([published.successCount, published.failureCount], [2, 0]);
  const members = await client.batchPresence(['old-a', 'old-b']);
  assert.deepEqual([members.successCount, members.results.length], [2, 2]);
});

/** Until the clock has passed a time, so that the next message has a later one. @param {number} time */
async function laterThan(time) {
  while (Date.now() <= time + 1) await new Promise((resolve) => setImmediate(resolve));
}
