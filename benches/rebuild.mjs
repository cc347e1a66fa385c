/**
 * What it costs an object to lose its memory and be built again: `node benches/rebuild.mjs [cycles] [messages]`.
 *
 * The channel's log first gets that many messages, a row each. One subscriber stays connected while its relay and its
 * channel are evicted over and over; each time a publish wakes both and must arrive. The memory of the WebAssembly
 * instance must not grow, or rebuilt objects leave their predecessors behind; what the runtime itself keeps of an
 * eviction is in its resident memory.
 */
import fs from 'node:fs';
import { once } from 'node:events';
import { setUp, build } from '../scripts/setup.mjs';
import { startRuntime } from '../tests/worker/runtime.mjs';

const cycles = Number(process.argv[2] ?? 1_000);
const messages = Number(process.argv[3] ?? 0);
await setUp();
await build();
const { default: Ably } = await import('ably');
const inFront = ['memory-entry.mjs', 'memory-spy.mjs'].map((file) => new URL(`lib/${file}`, import.meta.url).pathname);
const runtime = await startRuntime(undefined, { inFront, variables: { CONNECTION_MESSAGES_PER_SECOND: '1000000' } });
const client = new Ably.Realtime({ key: 'demo.key1:local-only', ...runtime.clientOptions });
const rest = new Ably.Rest({ key: 'demo.key1:local-only', ...runtime.clientOptions });
const arrivals = new EventTarget();
await client.channels.get('rebuilt').subscribe((message) => arrivals.dispatchEvent(new Event(message.data)));

for (let sent = 0; sent < messages; sent++) await client.channels.get('rebuilt').publish('filler', 'x'.repeat(100));

console.log('| cycles | wasm KB | runtime resident MB | ms from publish to arrival, median of the last |\n|---|---|---|---|');
const took = [];
for (let cycle = 1; cycle <= cycles; cycle++) {
  await runtime.evict('Relay');
  await runtime.evict('Channel');
  const arrival = once(arrivals, `${cycle}`);
  const began = performance.now();
  await rest.channels.get('rebuilt').publish('cycle', `${cycle}`);
  await arrival;
  took.push(performance.now() - began);
  if (cycle % (cycles / 10) === 0) {
    const recent = took.slice(-cycles / 10).sort((a, b) => a - b);
    console.log(`| ${cycle} | ${await wasmKilobytes()} | ${await residentMegabytes()} | ${recent[recent.length >> 1].toFixed(1)} |`);
  }
}
client.close();
await runtime.stop();

/** Of all instances; a panic would have made a second one. */
async function wasmKilobytes() {
  const bytes = await (await fetch(`${runtime.url}/bench/memory`)).json();
  return bytes.map((/** @type {number} */ size) => size / 1024).join(' + ');
}

/** Of the runtime's process, which is the child of the child that tests start. */
async function residentMegabytes() {
  const status = fs.readFileSync(`/proc/${await runtime.workerdPid()}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}
