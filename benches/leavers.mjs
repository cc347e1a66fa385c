/**
 * What is left of those who leave without a word: `npx node benches/leavers.mjs [departures] [ways…]`.
 *
 * Clients connect over HTTP, hear that they are connected, and are gone, a hundred at a time, in four rounds, each of
 * which waits until the last has been given up: so a quarter of them is open at once, which the local runtime has
 * memory for. It fails when WebAssembly has grown by more than the slack since the second round (what the first ones
 * make it load is no leak), when a channel still counts anyone, or when an object holds anything of any of them: one
 * that does cannot be evicted. A Comet connection may be resumed, so its relay remembers for four minutes that its key
 * was given out: there all come again after that time, and must fit into the memory of the first.
 */
import fs from 'node:fs';
import http from 'node:http';
import { setUp, build } from '../scripts/setup.mjs';
import { startRuntime } from '../tests/worker/runtime.mjs';

/** Paths and queries; which object holds the connection. @type {Record<string, [string, 'Channel' | 'Relay']>} */
const all = {
  'sse': ['/sse?channels=left', 'Channel'],
  'sse-several': ['/sse?channels=left,behind', 'Relay'],
  'event-stream': ['/event-stream?channels=left,behind', 'Relay'],
  'comet-stream': ['/comet/connect?stream=true', 'Relay'],
  'comet-poll': ['/comet/connect?stream=false', 'Relay'],
  'comet-own': ['/comet/connect?stream=false&channel=left&attach=auto', 'Channel'],
  'wait': ['/channels/left/messages?wait=20', 'Channel'],
};
const [atOnce, rounds] = [100, 4];
/** Memory comes in pages of 64 KB; what is used of them differs by which events fell together. */
const slackKilobytes = 256;
/** Twice the time for which a connection may be resumed, and a margin. */
const forgottenMs = 260_000;
/** A probe and a stall, as src/limits has them, and a margin. */
const givenUpMs = 25_000;
const key = 'key=demo.key1:local-only';
const departures = Number(process.argv[2] ?? 10_000);
const ways = process.argv.length > 3 ? process.argv.slice(3) : Object.keys(all);
await setUp();
await build();
const inFront = ['memory-entry.mjs', 'memory-spy.mjs'].map((file) => new URL(`lib/${file}`, import.meta.url).pathname);
let failed = false;

console.log('| way | departures | on the channels, at once and then | wasm KB | runtime resident MB |\n|---|---|---|---|---|');
for (const way of ways) {
  const [path, className] = all[way];
  // At once: they don't come back later, as SDKs do.
  const runtime = await startRuntime(undefined, { inFront, variables: { RELAY_CONNECTS_PER_SECOND: '1000000' } });
  const url = `${runtime.url}${path}&${key}`;
  console.log(`| ${way} | 0 | ${await present(runtime)} | ${await wasmKilobytes(runtime)} | ${await residentMegabytes(runtime)} |`);
  /** @type {number[]} */
  const kilobytes = [];
  let remain = 0;
  const isRemembered = way.startsWith('comet');
  const inAll = isRemembered ? 2 * rounds : rounds;
  for (let left = 0; kilobytes.length < inAll;) {
    if (kilobytes.length === rounds) await new Promise((resolve) => setTimeout(resolve, forgottenMs));
    const until = Math.round((kilobytes.length + 1) * departures / rounds);
    for (; left < until; left += atOnce) {
      const batch = Array.from({ length: Math.min(atOnce, until - left) }, (_, index) => left + index);
      await (way === 'wait' ? waitAndLeave(runtime, batch) : Promise.all(batch.map(() => visit(url))));
    }
    left = until;
    const were = await present(runtime);
    await new Promise((resolve) => setTimeout(resolve, givenUpMs));
    kilobytes.push(await wasmKilobytes(runtime));
    remain = await present(runtime);
    console.log(`| ${way} | ${left} | ${were}, ${remain} | ${kilobytes.at(-1)} | ${await residentMegabytes(runtime)} |`);
  }
  const settled = isRemembered ? rounds : 2;
  const grew = kilobytes[inAll - 1] - kilobytes[settled - 1];
  const held = await runtime.evict(className).then(() => 'nothing is held', (error) => error.message);
  console.log(`| ${way} | all | ${held} | ${grew} more since round ${settled} | |`);
  failed ||= grew > slackKilobytes || remain > 0 || held !== 'nothing is held';
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

/**
 * Waits for what never comes, each few at a channel of their own, and is gone. Nothing says that the request is there;
 * an answer to one that was made later does.
 * @param {import('../tests/worker/runtime.mjs').Runtime} runtime @param {number[]} numbers
 */
async function waitAndLeave(runtime, numbers) {
  const requests = await Promise.all(numbers.map(async (number) => {
    const request = http.get(`${runtime.url}${all.wait[0].replace('left', `left${number % 25}`)}&${key}`, { agent: false });
    request.on('error', () => {});
    await new Promise((resolve) => request.on('finish', resolve));
    return request;
  }));
  await present(runtime);
  for (const request of requests) request.destroy();
}

/** How many are on the channels. @param {import('../tests/worker/runtime.mjs').Runtime} runtime */
async function present(runtime) {
  const counts = await Promise.all(['left', 'behind'].map(async (channel) => {
    const { status } = await (await fetch(`${runtime.url}/channels/${channel}?${key}`)).json();
    return status.occupancy.metrics.connections;
  }));
  return Math.max(...counts);
}

/**
 * Of all instances; a panic would have made a second one.
 * @param {import('../tests/worker/runtime.mjs').Runtime} runtime
 */
async function wasmKilobytes(runtime) {
  const bytes = await (await fetch(`${runtime.url}/bench/memory`)).json();
  return bytes.reduce((/** @type {number} */ sum, /** @type {number} */ size) => sum + size / 1024, 0);
}

/** Of the runtime's process. @param {import('../tests/worker/runtime.mjs').Runtime} runtime */
async function residentMegabytes(runtime) {
  const status = fs.readFileSync(`/proc/${await runtime.workerdPid()}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}
