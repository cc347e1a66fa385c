/**
 * Memory of idle connections on `courtside serve`: `npx node benches/idle.mjs [connections]`, 9,600 unless said, which
 * is what 20,000 file descriptors allow. They attach to a hundred channels by their URLs, and say and hear nothing.
 */
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { start } from '../bin/index.mjs';
import { build, setUp } from '../scripts/setup.mjs';

const wanted = Number(process.argv[2] ?? 9_600);
/** Connections that begin at the same time. */
const AT_ONCE = 16;
const HELD_MS = 30_000;

await setUp();
await build();
const server = await start();
const { port } = new URL(server.url);
const pid = runtimePid();
const before = kilobytes();
/** @type {net.Socket[]} */
const sockets = [];
while (sockets.length < wanted) {
  const attached = await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => attach(sockets.length + index)));
  const taken = attached.filter((socket) => socket !== undefined);
  sockets.push(...taken);
  // The server refuses those who come too fast.
  if (taken.length < AT_ONCE) await pause(20);
}
const count = sockets.length;
console.log(`${count} attached: ${each()} KB each`);
await pause(HELD_MS);
console.log(`${count} held for ${HELD_MS / 1_000} s: ${each()} KB each, ${Math.round(kilobytes() / 1_000)} MB in all`);
const lost = sockets.filter((socket) => socket.destroyed).length;
sockets.forEach((socket) => socket.destroy());
await server.stop();
process.exit(lost === 0 ? 0 : 1);

/** A socket once it is attached; none if it was refused. @param {number} index */
async function attach(index) {
  const socket = net.connect(Number(port), '127.0.0.1');
  const query = new URLSearchParams({ key: String(server.key), attach: 'auto', channel: `idle${index % 100}` });
  socket.write(`GET /?${query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
    + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n');
  let heard = '';
  for await (const data of socket.iterator({ destroyOnReturn: false })) {
    heard += data.toString('latin1');
    if (heard.includes('"action":11')) return socket.resume();
    if (/"action":[69]/.test(heard)) break;
  }
  socket.destroy();
}

function runtimePid() {
  const children = fs.readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim().split(' ');
  const found = children.find((child) => fs.readFileSync(`/proc/${child}/comm`, 'utf8').trim() === 'workerd');
  if (found === undefined) throw new Error('the runtime is not there');
  return found;
}

function kilobytes() {
  return Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+)/m)?.[1]);
}

function each() {
  return Math.round((kilobytes() - before) / count);
}
