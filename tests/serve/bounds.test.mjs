/** What the edge's platform bounds for everyone, a server of one's own bounds itself. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import test from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { roomIn } from '../../bin/descriptors.mjs';
import { LOOK_MS } from '../../bin/limits.mjs';
import { Inbox, connected, demoKey, inState, realtime, rest } from '../worker/clients.mjs';
import { Served } from './served.mjs';

test('the room for connections is what objects leave of the descriptors, by two', () => {
  assert.deepEqual(roomIn({ open: 900, allowed: 1_024 }), { room: 10, spare: 25, isTight: true, isFull: false });
  assert.deepEqual(roomIn({ open: 922, allowed: 1_024 }), { room: -1, spare: 25, isTight: true, isFull: true });
  const { isTight, isFull } = roomIn({ open: 100, allowed: 65_536 });
  assert.deepEqual([isTight, isFull], [false, false]);
});

test('a client whose request does not go on is cut off, and takes nothing from others', { timeout: 60_000 }, async (t) => {
  const served = await Served.start(t);
  const body = `POST /channels/x/messages?key=${demoKey} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"name":`;
  // Nothing at all, half of a request's headers, or half of its body.
  const parts = ['', 'GET /time HTTP/1.1\r\nHost: x\r\n', body];
  const slow = Array.from({ length: 201 }, (_, index) => {
    const socket = net.connect({ port: served.port, host: '127.0.0.1' });
    socket.write(parts[index % parts.length]);
    socket.on('error', () => {}).resume();
    return once(socket, 'close');
  });
  assert.equal((await fetch(`http://127.0.0.1:${served.port}/time`)).status, 200);
  await Promise.all(slow);
  assert.equal((await fetch(`http://127.0.0.1:${served.port}/time`)).status, 200);
});

/**
 * A WebSocket that its client never closes, and how its upgrade is answered.
 * @param {Served} served @param {Record<string, string>} query
 */
async function opened(served, query) {
  const socket = net.connect({ port: served.port, host: '127.0.0.1' });
  socket.on('error', () => {});
  socket.write(`GET /?${new URLSearchParams(query)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n`
    + 'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n');
  const [answer] = await once(socket, 'data');
  return { socket, status: Number(String(answer).split(' ')[1]) };
}

/** Attached to a channel by its URL, and reads nothing of what comes. @param {Served} served @param {string} channel */
async function silent(served, channel) {
  const { socket, status } = await opened(served, { key: demoKey, attach: 'auto', channel });
  assert.equal(status, 101);
  return socket.pause();
}

test('what sockets leave unread is bounded, and nobody who reads misses anything', { timeout: 120_000 }, async (t) => {
  const allowed = 200;
  const served = await Served.start(t, { args: ['--memory', String(allowed)] });
  const sockets = await Promise.all(Array.from({ length: 20 }, () => silent(served, 'persisted:flood')));
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  const publisher = (await connected(t, served)).channels.get('persisted:flood');
  const inbox = await Inbox.of((await connected(t, served)).channels.get('persisted:flood'));
  const line = served.heard('too much memory');
  let ended = false;
  void line.then(() => { ended = true; });
  const filling = 'x'.repeat(60_000);
  let count = 0;
  while (!ended) await publisher.publish(String(count++), filling);
  assert.ok((await line).megabytes > allowed);
  await served.heard('ready', served.lines.indexOf(await line));
  await publisher.publish('last', 'end');
  await inbox.until('end');
  assert.deepEqual(inbox.messages.map(({ name }) => name), [...Array(count).keys(), 'last'].map(String));
});

test('a server that runs out of descriptors says so, and nobody who reads misses anything', { timeout: 60_000 }, async (t) => {
  const served = await Served.start(t, { wrapper: ['prlimit', '--nofile=200:200'] });
  await served.heard('few descriptors allowed');
  const reader = await connected(t, served);
  const inbox = await Inbox.of(reader.channels.get('crowded'));
  await reader.channels.get('crowded').publish('a', 'before');
  const sockets = Array.from({ length: 400 }, () => net.connect({ port: served.port, host: '127.0.0.1' }));
  // Each is taken in or turned away, or the runtime has ended.
  await Promise.all(sockets.map((socket) => new Promise((resolve) => {
    socket.on('error', () => {}).on('connect', resolve).on('close', resolve);
  })));
  const { open, allowed } = await Promise.race(['few descriptors left', 'the runtime ended'].map((event) => served.heard(event)));
  if (open) assert.ok(open >= allowed * 0.9);
  for (const socket of sockets) socket.destroy();
  await inState(reader.connection, 'connected');
  await reader.channels.get('crowded').publish('a', 'after');
  await inbox.until('after');
  assert.deepEqual(inbox.data, ['before', 'after']);
});

test('a busy second does not keep a server full', { timeout: 60_000 }, async (t) => {
  const most = 12_000;
  const hard = Number(/^Max open files +\d+ +(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity);
  if (hard < most) return t.skip(`it may have ${most} descriptors, and ${hard} are allowed`);
  const served = await Served.start(t);
  const pid = Number(served.runtimePid);
  const allow = (/** @type {number} */ descriptors) => execFileSync('prlimit', [`--pid=${pid}`, `--nofile=${descriptors}:${hard}`]);
  // Nothing that is open is closed by it.
  allow(20);
  await served.heard('few descriptors left');
  // It does not hear of the room that there is again: the look at it is given up after so long.
  process.kill(pid, 'SIGSTOP');
  allow(most);
  await pause(3 * LOOK_MS);
  process.kill(pid, 'SIGCONT');
  await inState(realtime(t, served, { disconnectedRetryTimeout: 100 }).connection, 'connected');
});

/** Whether a client is let in. @param {import('ably').Realtime} client @returns {Promise<any>} */
function decided({ connection }) {
  return new Promise((resolve) => {
    connection.once('connected', resolve);
    connection.once('disconnected', resolve);
  });
}

test('a server with few descriptors left lets nobody in, until others have left', { timeout: 60_000 }, async (t) => {
  const served = await Served.start(t, { wrapper: ['prlimit', '--nofile=400:400'] });
  const { runtimePid } = served;
  const inside = [];
  const full = served.heard('few descriptors left');
  let next;
  for (;;) {
    next = realtime(t, served, { disconnectedRetryTimeout: 100 });
    const change = await decided(next);
    if (change.current !== 'connected') {
      // The upgrade is refused, of which an SDK sees no more than that.
      assert.equal(change.reason.code, 80003);
      // Who comes while the server looks is counted twice until the next look: then there may be room.
      if ((await Promise.race([full, inState(next.connection, 'connected')]))?.event) break;
    }
    inside.push(next);
  }
  assert.ok(inside.length >= 40, `${inside.length} are let in`);
  // A client inside may resume by another socket, before its first is seen to be gone.
  const { key } = inside[1].connection;
  const back = new WebSocket(`${served.url.replace('http', 'ws')}/?key=${demoKey}&v=5&format=json&resume=${key}`);
  const [frame] = await once(back, 'message');
  assert.equal(JSON.parse(frame.data).connectionId, inside[1].connection.id);
  back.close();
  // Those inside are served, and so are requests.
  const inbox = await Inbox.of(inside[0].channels.get('full'));
  await rest(served).channels.get('full').publish('a', 'to all');
  await inbox.until('to all');
  inside.slice(1, 20).forEach((client) => client.close());
  await inState(next.connection, 'connected');
  assert.equal(served.runtimePid, runtimePid);
});

test('WebSockets that are refused and stay do not take the last descriptors', { timeout: 60_000 }, async (t) => {
  const served = await Served.start(t, { wrapper: ['prlimit', '--nofile=400:400'] });
  const { runtimePid } = served;
  /** @type {Awaited<ReturnType<typeof opened>>[]} */
  const sockets = [];
  t.after(() => sockets.forEach(({ socket }) => socket.destroy()));
  do sockets.push(await opened(served, { key: 'demo.key1:wrong' })); while (sockets.at(-1)?.status === 101);
  assert.ok(sockets.length > 40, `${sockets.length} are told why`);
  assert.ok([401, 429].includes(sockets.at(-1)?.status ?? 0), 'the others by the status of the upgrade');
  for (let more = 0; more < 400; more++) {
    const { socket, status } = await opened(served, { key: 'demo.key1:wrong' });
    assert.notEqual(status, 101);
    socket.destroy();
  }
  assert.equal((await fetch(`${served.url}/time`)).status, 200);
  assert.equal(served.runtimePid, runtimePid);
  // None of them ever closes: the server does.
  await Promise.all(sockets.map(({ socket }) => socket.closed || once(socket.resume(), 'close')));
});

test('who breaks off leaves no descriptor behind', { timeout: 60_000 }, async (t) => {
  const served = await Served.start(t);
  const open = () => fs.readdirSync(`/proc/${served.runtimePid}/fd`).length;
  const stays = await silent(served, 'left');
  const before = open();
  const sockets = await Promise.all(Array.from({ length: 50 }, () => silent(served, 'left')));
  assert.ok(open() >= before + sockets.length);
  sockets.forEach((socket, index) => (index % 2 ? socket.resume().destroy() : socket.resetAndDestroy()));
  // The runtime would keep them for ten seconds.
  const until = performance.now() + 5_000;
  // One more for the request that looks.
  while (open() > before + 2 && performance.now() < until) {
    assert.equal((await fetch(`${served.url}/time`)).status, 200);
  }
  assert.ok(open() <= before + 2, `${open() - before} are left`);
  stays.destroy();
});
