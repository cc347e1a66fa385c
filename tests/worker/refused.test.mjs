/**
 * What this server does not do is refused with a code, so that nobody waits for it: with the published SDK, and
 * without.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import test, { after } from 'node:test';
import { connected, demoKey, formats, rest } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

/** A key that may do everything everywhere: no refusal here is for want of a right. */
const keys = [{ name: 'key1', secret: 'local-only', capability: { '[*]*': ['*'] } }];
const runtime = await startRuntime({ apps: [{ ...demoApps.apps[0], keys }] });
after(() => runtime.stop());

const metachannels = ['log:push', 'connection.lifecycle', 'stats:hour', 'clientEvents:x'];

for (const format of formats) {
  test(`a mode without effect fails its channel (${format.format})`, async (t) => {
    const client = await connected(t, runtime, format);
    const cases = /** @type {[import('ably').ChannelMode[], number][]} */ ([
      [['subscribe', 'annotation_subscribe'], 93002],
    ]);
    for (const [modes, code] of cases) {
      const channel = client.channels.get(modes.join(), { modes });
      await assert.rejects(channel.attach(), { code });
      assert.deepEqual([channel.state, channel.errorReason?.code], ['failed', code]);
    }
  });

  test(`annotations and updates are refused where no rule allows them (${format.format})`, async (t) => {
    const client = await connected(t, runtime, format);
    const channel = client.channels.get(`used-${format.format}`);
    await channel.attach();
    const { serials } = await channel.publish('score', '15–0');
    const serial = /** @type {string} */ (serials[0]);
    await assert.rejects(channel.annotations.publish(serial, { type: 'like:flag.v1' }), { code: 93002 });
    await assert.rejects(channel.annotations.subscribe(() => {}), { code: 93001 });
    await assert.rejects(channel.updateMessage({ serial, data: '30–0' }), { code: 93002 });
    await assert.rejects(channel.deleteMessage({ serial }), { code: 93002 });
  });
}

test('a plain attach and one for publishing annotations, which chat asks for, are as ever', async (t) => {
  const client = await connected(t, runtime);
  const modes = /** @type {import('ably').ChannelMode[]} */ (['presence', 'publish', 'subscribe', 'presence_subscribe', 'annotation_publish']);
  for (const channel of [client.channels.get('plain'), client.channels.get('chat', { modes })]) {
    await channel.attach();
    assert.deepEqual([...channel.modes ?? []].sort(), [...modes].sort());
  }
});

test('a mode that there is not is refused, and not the default instead', async (t) => {
  const client = new RawClient(runtime, { key: demoKey });
  t.after(() => client.close());
  await client.expect(action.CONNECTED);
  const attach = async (/** @type {object} */ fields) => {
    client.send({ action: action.ATTACH, channel: 'modes', ...fields });
    const answer = await client.next();
    if (answer.action !== action.ATTACHED) return answer.error.code;
    client.send({ action: action.DETACH, channel: 'modes' });
    await client.expect(action.DETACHED);
    return answer.flags;
  };
  for (const bit of [20, 23, 26, 27, 28, 29, 30]) assert.equal(await attach({ flags: 2 ** bit + 2 ** 18 }), 40003, `bit ${bit}`);
  for (const modes of ['fly', 'subscribe,fly', '']) assert.equal(await attach({ params: { modes } }), 40003, modes);
  assert.equal(await attach({ params: { modes: 'message_subscribe' } }), 2 ** 18);
  assert.equal(await attach({ flags: 2 ** 18 + 2 ** 5 }), 2 ** 18, 'other flags are no modes');
});

test('a path that there is not is 404, another method 405, and both have a code', async () => {
  const headers = { authorization: `Basic ${btoa(demoKey)}`, 'content-type': 'application/json' };
  const ask = async (/** @type {string} */ method, /** @type {string} */ path) => {
    const body = ['GET', 'DELETE'].includes(method) ? undefined : '{}';
    const answer = await fetch(runtime.url + path, { method, headers, body });
    return [answer.status, /** @type {any} */ (await answer.json()).error.code];
  };
  const nowhere = [
    '/channels/x/occupancy', '/channels/x/annotations', '/channels/x/object/root/compact', '/batch', '/keys', '/push', '/push/state',
    '/apps/demo/queues', '/apps/demo/rules', '/queues', '/me', '/accounts', '/rooms', '/chat/v3/rooms/x/messages', '/spaces/x',
  ];
  const serial = '00000000000001-000@life:000';
  const others = [
    ['POST', '/time'], ['DELETE', '/stats'], ['POST', '/channels'], ['PATCH', '/channels/x'], ['PUT', '/channels/x/messages'],
    ['POST', '/channels/x/presence'], ['DELETE', '/channels/x/presence'], ['POST', '/channels/x/presence/history'],
    ['DELETE', `/channels/x/messages/${serial}`], ['POST', `/channels/x/messages/${serial}/versions`],
    ['DELETE', `/channels/x/messages/${serial}/annotations`], ['GET', '/messages'], ['POST', '/presence'],
    ['GET', '/keys/demo.key1/revokeTokens'], ['GET', '/push/publish'], ['POST', '/chat/v4/rooms/x/occupancy'],
  ];
  for (const path of nowhere) {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) assert.deepEqual(await ask(method, path), [404, 40400], `${method} ${path}`);
  }
  for (const [method, path] of others) assert.deepEqual(await ask(method, path), [405, 40500], `${method} ${path}`);
});

test('an operation or a qualifier that there is not makes no token', async () => {
  const api = rest(runtime);
  for (const capability of [{ x: ['fly'] }, { x: ['subscribe', 'Publish'] }, { '[space]x': ['subscribe'] }, { '[meta]': ['*'] }]) {
    await assert.rejects(api.auth.requestToken({ capability: /** @type {any} */ (capability) }), { code: 40000 }, JSON.stringify(capability));
  }
});

test('a metachannel that there is not is refused at every door', async (t) => {
  const client = await connected(t, runtime);
  const api = rest(runtime);
  for (const name of metachannels.map((name) => `[meta]${name}`)) {
    await assert.rejects(client.channels.get(name).attach(), { code: 40010 }, name);
    const channel = api.channels.get(name);
    const asked = [channel.history(), channel.status(), channel.presence.get(), channel.publish('a', 'b')];
    await Promise.all(asked.map((answer) => assert.rejects(answer, { code: 40010, statusCode: 400 }, name)));
    const stream = await fetch(`${runtime.url}/sse?channels=${encodeURIComponent(name)}&key=${demoKey}`);
    assert.deepEqual([stream.status, /** @type {any} */ (await stream.json()).error.code], [400, 40010], name);
  }
  const plain = new RawClient(runtime, { key: demoKey, channel: '[meta]logs', attach: 'auto' });
  t.after(() => plain.close());
  assert.equal((await plain.expect(action.ERROR)).error.code, 40010);
});

test('a rule without effect stops a deployment, which says which rule', async (t) => {
  const namespaces = [{ id: 'chat', retentionHours: 5 }];
  const ruled = await startRuntime({ apps: [{ ...demoApps.apps[0], namespaces }] });
  t.after(() => ruled.stop());
  const answer = await fetch(`${ruled.url}/channels/chat:a/messages?key=${demoKey}`);
  const { error } = /** @type {any} */ (await answer.json());
  assert.deepEqual([answer.status, error.code], [503, 50320]);
  assert.match(error.message, /apps\[0\]\.namespaces\[0\].retentionHours has no effect/);
});

test('a body that is badly encoded, or not whole, is refused with a code', async () => {
  const { connectionKey } = await key();
  const paths = ['/channels/x/messages', '/keys/demo.key1/requestToken', `/comet/${connectionKey}/send`];
  for (const path of paths) {
    for (const [coding, body] of [['Transfer-Encoding: chunked', 'zz\r\n{}\r\n'], ['Content-Length: 20', '{}']]) {
      assert.deepEqual(await answered(path, String(coding), String(body)), [400, 40001], `${path} ${coding}`);
    }
  }
});

/** A connection over HTTP, by its key. */
async function key() {
  const response = await fetch(`${runtime.url}/comet/connect?key=${demoKey}&stream=false`);
  const [{ connectionDetails }] = await response.json();
  return connectionDetails;
}

/**
 * The status and code of the answer to a request that no client library would write.
 * @param {string} path @param {string} coding @param {string} body after which the client says no more
 */
async function answered(path, coding, body) {
  const socket = net.connect(runtime.port, '127.0.0.1');
  const headers = ['Host: x', `Authorization: Basic ${btoa(demoKey)}`, 'Content-Type: application/json', coding];
  socket.end(`POST ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n${body}`);
  let text = '';
  for await (const part of socket) text += part;
  return [/^HTTP\/1\.1 (\d+)/.exec(text)?.[1], /x-ably-errorcode: (\d+)/i.exec(text)?.[1]].map(Number);
}

test('the SDK for .NET, which names itself in the query by the name of the header, is let in with what it says', async (t) => {
  const query = { key: demoKey, v: '2', 'Ably-Agent': 'ably-dotnet/1.2.16', format: 'json', echo: 'true', heartbeats: 'true', later: '1' };
  const client = new RawClient(runtime, query);
  t.after(() => client.close());
  await client.expect(action.CONNECTED);
});
