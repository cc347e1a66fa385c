/** Every way to be connected, through an nginx that buffers and compresses what it may. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected, demoKey, rest } from './clients.mjs';
import { EventReader } from './event_reader.mjs';
import { nginxBefore, skip } from './nginx.mjs';
import { startRuntime } from './runtime.mjs';

// What nginx holds back would come only when its connection ends.
const options = { skip, timeout: 60_000 };

const runtime = await startRuntime();
after(() => runtime.stop());

/** @param {string} channel @param {string} data */
const publish = (channel, data) => rest(runtime).channels.get(channel).publish('score', data);

for (const path of ['/sse', '/event-stream']) {
  test(`each event of ${path} comes at once`, options, async (t) => {
    const nginx = await nginxBefore(t, runtime);
    const headers = { 'accept-encoding': 'gzip' };
    const reader = await EventReader.open(nginx, { key: demoKey, channels: `events${path}` }, { path, headers });
    t.after(() => reader.leave());
    assert.equal(reader.response.headers['content-encoding'], undefined);
    await reader.attached();
    for (const data of ['a', 'b', 'c']) {
      await publish(`events${path}`, data);
      assert.deepEqual(await reader.data(1), [data]);
    }
  });
}

for (const [transport, stream] of /** @type {const} */ ([['comet, streamed', true], ['comet, polled', false]])) {
  test(`the SDK is connected by ${transport}`, options, async (t) => {
    const nginx = await nginxBefore(t, runtime);
    const client = await connected(t, nginx, { transports: ['comet'], transportParams: { stream } });
    const inbox = await Inbox.of(client.channels.get(transport));
    for (const data of ['a', 'b', 'c']) {
      await publish(transport, data);
      await inbox.until(data);
    }
    await client.channels.get(transport).publish('score', 'own');
    await inbox.until('own');
    assert.deepEqual(inbox.data, ['a', 'b', 'c', 'own']);
  });
}

test('a request that waits is answered', options, async (t) => {
  const nginx = await nginxBefore(t, runtime);
  const url = `${nginx.url}/channels/waits/messages?key=${demoKey}&wait=30`;
  const page = fetch(url).then((response) => response.json());
  await publish('waits', 'came');
  const [message] = /** @type {any[]} */ (await page);
  assert.equal(message.data, 'came');
});

test('a WebSocket gets through where nginx is told to let it', options, async (t) => {
  const nginx = await nginxBefore(t, runtime, { webSockets: true });
  const client = await connected(t, nginx, { transports: ['web_socket'] });
  const inbox = await Inbox.of(client.channels.get('socket'));
  await publish('socket', 'a');
  await inbox.until('a');
  const reader = await EventReader.open(nginx, { key: demoKey, channels: 'socket' });
  t.after(() => reader.leave());
  await reader.attached();
  await publish('socket', 'b');
  assert.deepEqual(await reader.data(1), ['b'], 'and streams do as well');
});
