/** Who only asks, or has no right to more, makes no stored object: neither a channel's, nor an app's. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test, { after } from 'node:test';
import { rest } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const key = 'demo.key1:a-secret-of-the-demo';
const guest = 'demo.guest:a-secret-of-guests';
const runtime = await startRuntime({
  apps: [{
    id: 'demo',
    keys: [
      { name: 'key1', secret: 'a-secret-of-the-demo', capability: { '*': ['*'] } },
      { name: 'guest', secret: 'a-secret-of-guests', capability: { lobby: ['subscribe', 'presence'] } },
    ],
  }],
}, { variables: { ADMIN_TOKEN: 'an-admin-token' } });
after(() => runtime.stop());

/** The objects of a class that there are on disk, by what they have written: the runtime's empty file is one page. */
function objects(/** @type {string} */ className) {
  const folder = path.join(runtime.storage, 'do', `courtside-${className}`);
  const files = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  const size = (/** @type {string} */ file) => (files.includes(file) ? fs.statSync(path.join(folder, file)).size : 0);
  const ids = files.filter((file) => /^[0-9a-f]{64}\.sqlite$/.test(file));
  return { all: ids.length, written: ids.filter((id) => size(id) > 4096 || size(`${id}-wal`) > 0).length };
}

const ask = (/** @type {string} */ of, by = key) => fetch(`${runtime.url}${of}`, { headers: { authorization: `Basic ${btoa(by)}` } });

test('a reader of channels that nobody uses stores nothing', async () => {
  for (let at = 0; at < 5; at++) {
    const answers = await Promise.all([
      ask(`/channels/unused${at}/messages`), ask(`/channels/unused${at}/presence`), ask(`/channels/unused${at}`),
      ask(`/channels/unused${at}/presence/history`), ask(`/presence?channels=unused${at},more${at}`),
    ]);
    assert.deepEqual(answers.map((answer) => answer.status), [200, 200, 200, 200, 200]);
  }
  assert.equal(objects('Channel').written, 0);
});

test('a connection that names a channel which it has no right on makes no object of it', async () => {
  const before = objects('Channel').all;
  for (let at = 0; at < 5; at++) {
    const client = new RawClient(runtime, { key: guest, channel: `made-up${at}`, attach: 'auto' });
    await client.expect(action.CONNECTED);
    assert.equal((await client.expect(action.ERROR)).error.code, 40160);
    client.close();
  }
  assert.equal(objects('Channel').all, before);
});

test('app ids that were never given out store nothing', async () => {
  for (let at = 0; at < 5; at++) {
    assert.equal((await ask('/channels/a/messages', `nobody${at}.key:a-secret-of-nobody`)).status, 401);
    const client = new RawClient(runtime, { key: `nobody${at}.key:a-secret-of-nobody` });
    await client.expect(action.ERROR);
  }
  // Statistics of the demo app and of the deployment come when they come.
  const { written } = objects('App');
  assert.ok(written <= 2, `${written} were written`);
});

test('who asks for many of them is told to wait, and an app that there is answers', async () => {
  const asked = Array.from({ length: 400 }, (_, at) => ask('/channels/a/messages', `noone${at}.key:a-secret-of-nobody`));
  const answers = await Promise.all(asked);
  const refused = answers.filter(({ status }) => status === 429);
  assert.ok(refused.length > 0, `${answers.map(({ status }) => status)}`);
  assert.equal((await refused[0]?.json()).error.code, 42910);
  assert.equal((await ask('/channels/unused0/messages', key)).status, 200);
});

test('the first that is published is stored, and what was asked before is no hindrance', async () => {
  const channel = rest(runtime, { key }).channels.get('unused0');
  await channel.publish('n', 'first');
  assert.deepEqual((await channel.history()).items.map(({ data }) => data), ['first']);
  assert.equal(objects('Channel').written, 1);
});
