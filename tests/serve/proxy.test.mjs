/** Behind nginx, with the configuration of deploy/: WebSockets, event streams, long polls, and the client's address. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Inbox, connected, demoKey, rest } from '../worker/clients.mjs';
import { skip, startNginx } from '../worker/nginx.mjs';
import { Served } from './served.mjs';

const site = fs.readFileSync(path.resolve(import.meta.dirname, '../../deploy/nginx.conf'), 'utf8');

/** nginx before a server. Gives what a client needs. @param {test.TestContext} t @param {Served} served */
const proxy = (t, served) => startNginx(t, (port) => site
  .replace('server 127.0.0.1:8787;', `server 127.0.0.1:${served.port};`)
  .replace('listen 80;', `listen 127.0.0.1:${port};`));

test('WebSockets, long polls and event streams come through nginx', { skip }, async (t) => {
  const served = await Served.start(t, { args: ['--trust-proxy'] });
  const nginx = await proxy(t, served);
  const byWebSocket = await connected(t, nginx, { transports: ['web_socket'] });
  const byComet = await connected(t, nginx, { transports: ['comet'] });
  const inboxes = await Promise.all([byWebSocket, byComet].map((client) => Inbox.of(client.channels.get('proxied'))));
  const stream = await fetch(`${nginx.url}/event-stream?channels=proxied&key=${demoKey}`);
  const reader = /** @type {ReadableStream<Uint8Array>} */ (stream.body).getReader();

  await byComet.channels.get('proxied').publish('a', 'by comet');
  await rest(nginx).channels.get('proxied').publish('a', 'x'.repeat(60_000));
  await byWebSocket.channels.get('proxied').publish('a', 'last');
  for (const inbox of inboxes) {
    await inbox.until('last');
    assert.deepEqual(inbox.data, ['by comet', 'x'.repeat(60_000), 'last']);
  }
  let lines = '';
  const decoder = new TextDecoder();
  while (!lines.includes('last')) lines += decoder.decode((await reader.read()).value, { stream: true });
  await reader.cancel();
  assert.ok(lines.includes('by comet'));
});

test('nginx tells whose address it is', { skip }, async (t) => {
  const served = await Served.start(t, { args: ['--trust-proxy'] });
  const nginx = await proxy(t, served);
  const codes = new Set();
  for (let guess = 0; guess < 40; guess++) {
    const response = await fetch(`${nginx.url}/channels/x/messages?key=demo.key1:wrong-${guess}`, {
      headers: { 'x-forwarded-for': `10.0.0.${guess}` },
    });
    codes.add((await response.json()).error.code);
  }
  assert.deepEqual([...codes], [40101, 42910], 'what a client says of itself is not believed');
});
