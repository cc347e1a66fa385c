/** What one client's requests may have a server do, and hold. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import test from 'node:test';
import { Inbox, connected, demoKey, rest } from '../worker/clients.mjs';
import { Served } from './served.mjs';

/** @param {Served} served @param {string} path */
async function asked(served, path, credentials = `key=${demoKey}`) {
  const separator = path.includes('?') ? '&' : '?';
  const answer = await fetch(`http://127.0.0.1:${served.port}${path}${separator}${credentials}`);
  await answer.arrayBuffer();
  const { status, headers } = answer;
  return { status, code: Number(headers.get('x-ably-errorcode')), retryAfter: headers.get('retry-after') };
}

/** @param {number} batch */
const unused = (batch) => `/presence?channels=${Array.from({ length: 100 }, (_, index) => `unused${batch}x${index}`)}`;

test('channels that nobody uses are asked in batches now and then, and take no descriptors of others', { timeout: 120_000 }, async (t) => {
  const served = await Served.start(t, { wrapper: ['prlimit', '--nofile=1024:1024'] });
  const publisher = (await connected(t, served)).channels.get('elsewhere');
  const inbox = await Inbox.of((await connected(t, served)).channels.get('elsewhere'));
  await publisher.publish('a', 'before');
  const { token } = await rest(served).auth.requestToken();
  const batches = Array.from({ length: 20 }, (_, batch) => asked(served, unused(batch), `access_token=${token}`));
  await publisher.publish('a', 'meanwhile');
  const answers = await Promise.all(batches);
  const taken = answers.filter(({ status }) => status === 200).length;
  assert.ok(taken >= 1 && taken <= 2, `${taken} are answered`);
  for (const { status, code, retryAfter } of answers) {
    if (status !== 200) assert.deepEqual([[42910, 50320].includes(code), retryAfter], [true, '10'], `${code}`);
  }
  // One by one, as fast as they are answered.
  let index = 0;
  const untilRefused = async () => {
    let answer;
    do answer = await asked(served, `/channels/alone${index++}/messages`); while (answer.status === 200);
    assert.deepEqual(answer, { status: 503, code: 50320, retryAfter: '10' });
  };
  await Promise.all(Array.from({ length: 20 }, untilRefused));
  await publisher.publish('a', 'after');
  await inbox.until('after');
  assert.deepEqual(inbox.data, ['before', 'meanwhile', 'after']);
  assert.ok(!served.log.includes('SQLITE'), served.log);
  assert.ok(!served.lines.some(({ event }) => event === 'the runtime ended'));
});

/** @param {number} pid in megabytes */
const memory = (pid) => Number(/VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024;

test('what clients leave unread of long answers is bounded, and short answers go on', { timeout: 120_000 }, async (t) => {
  const served = await Served.start(t);
  const channel = (await connected(t, served)).channels.get('long');
  for (let count = 0; count < 16; count++) await channel.publish('a', 'x'.repeat(60_000));
  const path = '/channels/long/messages';
  assert.equal((await asked(served, path)).status, 200);
  // Each asks for more, one after the other, than the kernel has room for.
  const request = `GET ${path}?key=${demoKey} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(5);
  /** @type {net.Socket[]} */
  const sockets = [];
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  const open = async () => {
    const some = Array.from({ length: 10 }, () => net.connect({ port: served.port, host: '127.0.0.1' }).on('error', () => {}).pause());
    sockets.push(...some);
    await Promise.all(some.map((socket) => once(socket, 'connect')));
    for (const socket of some) socket.write(request);
    assert.equal((await asked(served, '/channels/other/messages')).status, 200, 'a short answer');
  };
  await open();
  let refused;
  do refused = await asked(served, path); while (refused.status === 200);
  assert.deepEqual(refused, { status: 429, code: 42910, retryAfter: null });
  const before = memory(served.runtimePid);
  for (let wave = 0; wave < 30; wave++) await open();
  const more = memory(served.runtimePid) - before;
  assert.ok(more < 150, `it holds ${more} MB more`);
  await channel.publish('a', 'short');
  for (const socket of sockets) socket.resume();
  // Who reads has them, and so have others again.
  do refused = await asked(served, path); while (refused.status !== 200);
});
