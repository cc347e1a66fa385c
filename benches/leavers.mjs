/**
 * What is left of those who leave without a word: `node benches/leavers.mjs [departures] [ways…]`.
 *
 * Clients connect over HTTP, hear that they are connected, and are gone, a hundred at a time, in four rounds, each of
 * which waits until the last has been given up. The memory of the WebAssembly instance must not be more after the last
 * round than after the second, and at the end no object may hold anything of any of them: one that does cannot be
 * evicted.
 */
import fs from 'node:fs';
import http from 'node:http';
import { setUp, build } from '../.ci/setup.mjs';
import { startRuntime } from '../tests/worker/runtime.mjs';

/** Paths and queries; which object holds the connection. @type {Record<string, [string, 'Channel' | 'Relay']>} */
const all = {
  'sse': ['/sse?channels=left', 'Channel'],
  'sse-several': ['/sse?channels=left,behind', 'Relay'],
  'event-stream': ['/event-stream?channels=left,behind', 'Relay'],
  'comet-stream': ['/comet/connect?stream=true', 'Relay'],
  'comet-poll': ['/comet/connect?stream=false', 'Relay'],
};
const [atOnce, rounds] = [100, 4];
/** A probe and a stall, as src/limits.rs has them, and a margin. */
const givenUpMs = 25_000;
const departures = Number(process.argv[2] ?? 10_000);
const ways = process.argv.length > 3 ? process.argv.slice(3) : Object.keys(all);
setUp();
build();
const inFront = ['memory-entry.mjs', 'memory-spy.mjs'].map((file) => new URL(`lib/${file}`, import.meta.url).pathname);
let failed = false;

console.log('| way | departures | wasm KB | runtime resident MB |\n|---|---|---|---|');
for (const way of ways) {
  const [path, className] = all[way];
  const runtime = await startRuntime(undefined, { inFront });
  const url = `${runtime.url}${path}&key=demo.key1:local-only`;
  /** @type {number[]} */
  const kilobytes = [];
  for (let left = 0; kilobytes.length < rounds;) {
    const until = Math.round((kilobytes.length + 1) * departures / rounds);
    for (; left < until; left += atOnce) await Promise.all(Array.from({ length: Math.min(atOnce, until - left) }, () => visit(url)));
    left = until;
    await new Promise((resolve) => setTimeout(resolve, givenUpMs));
    kilobytes.push(await wasmKilobytes(runtime));
    console.log(`| ${way} | ${left} | ${kilobytes.at(-1)} | ${await residentMegabytes(runtime)} |`);
  }
  const grew = kilobytes[rounds - 1] - kilobytes[1];
  const held = await runtime.evict(className).then(() => 'nothing is held', (error) => error.message);
  console.log(`| ${way} | all | ${grew} more since the second | ${held} |`);
  failed ||= grew > 0 || held !== 'nothing is held';
  await runtime.stop();
}
process.exit(Number(failed));

/** Connects, hears something, and is gone. @param {string} url */
async function visit(url) {
  const request = http.get(url, { agent: false });
  request.on('error', () => {});
  const response = await new Promise((resolve) => request.on('response', resolve));
  if (response.statusCode !== 200) throw new Error(`${response.statusCode} for ${url}`);
  await new Promise((resolve) => response.on('error', () => {}).once('data', resolve));
  request.destroy();
}

/** Of all instances; a panic would have made a second one. @param {import('../tests/worker/runtime.mjs').Runtime} runtime */
async function wasmKilobytes(runtime) {
  const bytes = await (await fetch(`${runtime.url}/bench/memory`)).json();
  return bytes.reduce((/** @type {number} */ sum, /** @type {number} */ size) => sum + size / 1024, 0);
}

/** Of the runtime's process. @param {import('../tests/worker/runtime.mjs').Runtime} runtime */
async function residentMegabytes(runtime) {
  const status = fs.readFileSync(`/proc/${await runtime.workerdPid()}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}
