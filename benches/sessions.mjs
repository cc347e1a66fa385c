/**
 * What a session costs a relay in memory: `node benches/sessions.mjs [sessions]`, 19,000 unless said.
 *
 * So many raw WebSockets connect to one relay and attach to one channel, and stay. Told after each quarter: the memory of
 * the WebAssembly instance, and its growth for each session since the first; the same of the runtime's process, which
 * keeps the sockets. Each socket is a file of the runtime and one of this process: `ulimit -n` bounds both.
 */
import fs from 'node:fs';
import net from 'node:net';
import { setUp, build } from '../.ci/setup.mjs';
import { startRuntime } from '../tests/worker/runtime.mjs';

const sessions = Number(process.argv[2] ?? 19_000);
setUp();
build();
const inFront = ['memory-entry.mjs', 'memory-spy.mjs'].map((file) => new URL(`lib/${file}`, import.meta.url).pathname);
const variables = { RELAY_CONNECTIONS: `${sessions + 100}`, RELAY_CONNECTS_PER_SECOND: '1000000' };
const runtime = await startRuntime(undefined, { inFront, variables });

const upgrade = 'GET /?key=demo.key1:local-only HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
  + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';
const attach = JSON.stringify({ action: 10, channel: 'crowd' });
/** Text, of fewer than 126 bytes, masked by zeros. */
const frame = Buffer.concat([Buffer.from([0x81, 0x80 | attach.length, 0, 0, 0, 0]), Buffer.from(attach)]);
/** Every connection and every attachment is told of by one frame. */
const [connected, attached] = ['"action":4,', '"action":11,'];

/** @type {Set<string>} */
const shards = new Set();

/** A socket, once it is attached; from then on nobody looks at what it gets. */
function enter() {
  return new Promise((resolve, reject) => {
    const socket = net.connect(runtime.port, '127.0.0.1', () => socket.write(upgrade));
    let heard = '';
    let asked = false;
    socket.setEncoding('latin1').on('error', reject).on('close', () => reject(new Error(`closed after: ${heard}`)));
    socket.on('data', (text) => {
      heard += text;
      if (!asked && heard.includes(connected)) {
        shards.add(heard.split('"connectionKey":"')[1].split('!')[1].split('-')[0]);
        socket.write(frame);
        asked = true;
      }
      if (!heard.includes(attached)) return;
      socket.removeAllListeners('data').removeAllListeners('close').resume();
      resolve(socket);
    });
  });
}

async function wasmBytes() {
  const bytes = await (await fetch(`${runtime.url}/bench/memory`)).json();
  return bytes.reduce((/** @type {number} */ sum, /** @type {number} */ size) => sum + size, 0);
}

async function residentBytes() {
  const status = fs.readFileSync(`/proc/${await runtime.workerdPid()}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

await enter();
const [firstWasm, firstResident] = [await wasmBytes(), await residentBytes()];
console.log('| sessions | wasm KB | bytes of it for each session | resident MB | KB of it for each session |\n|---|---|---|---|---|');
for (let entered = 1, quarter = 1; quarter <= 4; quarter++) {
  for (const until = Math.round(sessions * quarter / 4); entered < until;) {
    const some = Math.min(50, until - entered);
    await Promise.all(Array.from({ length: some }, enter));
    entered += some;
  }
  const [wasm, resident] = [await wasmBytes(), await residentBytes()];
  console.log(`| ${entered} | ${wasm / 1024} | ${Math.round((wasm - firstWasm) / entered)} | ${Math.round(resident / 1024 ** 2)} | `
    + `${((resident - firstResident) / entered / 1024).toFixed(1)} |`);
}
if (shards.size > 1) throw new Error(`they are on ${shards.size} relays`);
await runtime.stop();
process.exit();
