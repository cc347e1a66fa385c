/**
 * Behind nginx and Caddy, with the configurations of deploy/: WebSockets, event streams, long polls, requests that
 * wait, and the client's address.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Inbox, connected, demoKey, rest } from '../worker/clients.mjs';
import { skip as noNginx, startNginx } from '../worker/nginx.mjs';
import { caddyBefore, skip as noCaddy } from './caddy.mjs';
import { Served, behindProxy } from './served.mjs';

const site = fs.readFileSync(path.resolve(import.meta.dirname, '../../deploy/nginx.conf'), 'utf8');

/** @param {test.TestContext} t @param {Served} served */
const nginxBefore = (t, served) => startNginx(t, (port) => site
  .replace('server 127.0.0.1:8787;', `server 127.0.0.1:${served.port};`)
  .replace('listen 80;', `listen 127.0.0.1:${port};`));

/** Each starts before a server, and gives what a client needs. */
const proxies = [
  { name: 'nginx', skip: noNginx, start: nginxBefore },
  { name: 'Caddy', skip: noCaddy, start: caddyBefore },
];

for (const { name, skip, start } of proxies) {
  test(`all ways to be connected come through ${name}`, { skip }, async (t) => {
    const served = await Served.start(t, { args: behindProxy });
    const proxy = await start(t, served);
    const byWebSocket = await connected(t, proxy, { transports: ['web_socket'] });
    const streamed = await connected(t, proxy, { transports: ['comet'] });
    const polled = await connected(t, proxy, { transports: ['comet'], transportParams: { stream: false } });
    const clients = [byWebSocket, streamed, polled];
    const inboxes = await Promise.all(clients.map((client) => Inbox.of(client.channels.get('proxied'))));
    const readers = await Promise.all(['/sse', '/event-stream'].map(async (path) => {
      const { body } = await fetch(`${proxy.url}${path}?channels=proxied&key=${demoKey}`);
      return /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
    }));
    const waiting = fetch(`${proxy.url}/channels/waits/messages?key=${demoKey}&wait=30`);

    await streamed.channels.get('proxied').publish('a', 'by comet');
    await rest(proxy).channels.get('proxied').publish('a', 'x'.repeat(60_000));
    await byWebSocket.channels.get('proxied').publish('a', 'last');
    for (const inbox of inboxes) {
      await inbox.until('last');
      assert.deepEqual(inbox.data, ['by comet', 'x'.repeat(60_000), 'last']);
    }
    for (const reader of readers) {
      let lines = '';
      const decoder = new TextDecoder();
      while (!lines.includes('last')) lines += decoder.decode((await reader.read()).value, { stream: true });
      await reader.cancel();
      assert.ok(lines.includes('by comet'));
    }
    const page = await fetch(`${proxy.url}/channels/proxied/messages?key=${demoKey}`);
    assert.deepEqual([page.headers.get('content-encoding'), (await page.json()).length], ['gzip', 3]);
    const script = await fetch(`${proxy.url}/vendor/ably.min.js`, { headers: { 'accept-encoding': 'gzip' } });
    assert.deepEqual([script.headers.get('content-encoding'), await script.text()],
      ['gzip', fs.readFileSync('www/vendor/ably.min.js', 'utf8')]);
    await rest(proxy).channels.get('waits').publish('a', 'came');
    const [message] = /** @type {any[]} */ (await (await waiting).json());
    assert.equal(message.data, 'came');
  });

  test(`${name} tells whose address it is`, { skip }, async (t) => {
    const served = await Served.start(t, { args: behindProxy });
    const proxy = await start(t, served);
    const codes = new Set();
    for (let guess = 0; guess < 40; guess++) {
      const response = await fetch(`${proxy.url}/channels/x/messages?key=demo.key1:wrong-${guess}`, {
        headers: { 'x-forwarded-for': `10.0.0.${guess}` },
      });
      codes.add((await response.json()).error.code);
    }
    assert.deepEqual([...codes], [40101, 42910], 'what a client says of itself is not believed');
  });
}
