/**
 * Measures objects: `npx node benches/objects.mjs [objects] [operations]`, 10,000 and 20,000 unless said.
 *
 * Counters are made, each under a key of the root; then they are incremented, with so many operations acknowledged,
 * that is stored, a second. It tells what an object takes on disk and of the WebAssembly instance's memory, how long a
 * newcomer's sync takes, and what an increment takes when the channel's object has just lost its memory, beside one
 * that has not. In the end the sum of all counters must be exact.
 */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setUp, build } from '../scripts/setup.mjs';
import { startRuntime } from '../tests/worker/runtime.mjs';

const [objects, operations] = [10_000, 20_000].map((usual, index) => Number(process.argv[2 + index] ?? usual));
/** In one frame, and frames without an answer. */
const [perFrame, inFlight] = [50, 8];
const [ACK, NACK, ATTACH, ATTACHED, OBJECT, OBJECT_SYNC] = [1, 2, 10, 11, 19, 20];
const channel = 'objects:bench';

await setUp();
await build();
const inFront = ['memory-entry.mjs', 'memory-spy.mjs'].map((file) => new URL(`lib/${file}`, import.meta.url).pathname);
const runtime = await startRuntime(undefined, { inFront, variables: { CONNECTION_MESSAGES_PER_SECOND: '1000000' } });

/**
 * A socket that tells its frames, once it is attached.
 * @param {(frame: any, bytes: number) => void} take
 * @param {string} modes
 */
async function attached(take, modes = 'object_publish') {
  const socket = new WebSocket(`${runtime.url.replace('http', 'ws')}/?key=demo.key1:local-only`);
  const send = (/** @type {object} */ frame) => socket.send(JSON.stringify(frame));
  await new Promise((resolve, reject) => {
    socket.onerror = reject;
    socket.onopen = () => send({ action: ATTACH, channel, params: { modes } });
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.action === ATTACHED) resolve(null);
      else take(frame, data.length);
    };
  });
  return { send, close: () => socket.close() };
}

/** @type {Map<number, { resolve: (value: unknown) => void, reject: (error: Error) => void }>} */
const open = new Map();
let msgSerial = 0;
const writer = await attached((frame) => {
  if (frame.action !== ACK && frame.action !== NACK) return;
  for (let serial = frame.msgSerial; serial < frame.msgSerial + frame.count; serial++) {
    if (frame.action === ACK) open.get(serial)?.resolve(null);
    else open.get(serial)?.reject(new Error(JSON.stringify(frame.error)));
    open.delete(serial);
  }
});

/** Operations of one frame, until they are acknowledged. @param {object[]} state */
function operate(state) {
  const serial = msgSerial++;
  const done = new Promise((resolve, reject) => open.set(serial, { resolve, reject }));
  writer.send({ action: OBJECT, channel, msgSerial: serial, state });
  return done;
}

/** All of these, some frames at a time. @param {object[]} all @param {number} size */
async function operateAll(all, size) {
  const frames = Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size));
  const work = async () => {
    for (let frame = frames.shift(); frame; frame = frames.shift()) await operate(frame);
  };
  await Promise.all(Array.from({ length: inFlight }, work));
}

/** Of all files of the storage. */
function diskBytes() {
  const files = fs.readdirSync(runtime.storage, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, file) => sum + fs.statSync(path.join(file.parentPath, file.name)).size, 0);
}

/** @returns {Promise<number>} */
async function wasmBytes() {
  const sizes = /** @type {number[]} */ (await (await fetch(`${runtime.url}/bench/memory`)).json());
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** @param {number[]} times */
const median = (times) => times.toSorted((one, other) => one - other)[times.length >> 1].toFixed(1);
/** @param {string} what @param {string} figure */
const tell = (what, figure) => console.log(`| ${what} | ${figure} |`);

/** @type {string[]} */
const ids = [];
const making = Array.from({ length: objects }, (_, index) => {
  const [initialValue, nonce] = ['{"count":0}', randomUUID()];
  const hash = createHash('sha256').update(`${initialValue}:${nonce}`).digest('base64url');
  const objectId = `counter:${hash}@${Date.now()}`;
  ids.push(objectId);
  return [
    { operation: { action: 3, objectId, counterCreateWithObjectId: { initialValue, nonce } } },
    { operation: { action: 1, objectId: 'root', mapSet: { key: `counter${index}`, value: { objectId } } } },
  ];
}).flat();

console.log('| objects | |\n|---|---|');
const before = { disk: diskBytes(), wasm: await wasmBytes(), at: performance.now() };
await operateAll(making, perFrame);
const made = (performance.now() - before.at) / 1_000;
tell(`${objects} counters made, each with its key`, `${(making.length / made).toFixed(0)} operations a second`);
tell('on disk, with the log of what made it', `${((diskBytes() - before.disk) / objects).toFixed(0)} bytes for each`);
tell('memory of the WebAssembly instance', `${((await wasmBytes() - before.wasm) / objects).toFixed(0)} bytes for each`);

for (const size of [1, perFrame]) {
  const counts = Array.from({ length: operations / 2 }, (_, index) =>
    ({ operation: { action: 4, objectId: ids[(index * 7_919) % objects], counterInc: { number: 1 } } }));
  const at = performance.now();
  await operateAll(counts, size);
  tell(`${counts.length} increments, ${size} in a frame, ${inFlight} frames in flight`,
    `${(counts.length / ((performance.now() - at) / 1_000)).toFixed(0)} a second`);
}

const syncs = [];
let [pages, bytes] = [0, 0];
for (let repeat = 0; repeat < 5; repeat++) {
  const at = performance.now();
  [pages, bytes] = [0, 0];
  /** @type {(value: unknown) => void} */
  let done = () => {};
  const synced = new Promise((resolve) => { done = resolve; });
  const reader = await attached((frame, length) => {
    if (frame.action !== OBJECT_SYNC) return;
    [pages, bytes] = [pages + 1, bytes + length];
    if (frame.channelSerial.endsWith(':')) done(null);
  }, 'object_subscribe');
  await synced;
  syncs.push(performance.now() - at);
  reader.close();
}
tell(`a newcomer has all: ${pages} frames, ${Math.round(bytes / 1024)} KB`, `${median(syncs)} ms`);

for (const wakes of [false, true]) {
  const times = [];
  for (let repeat = 0; repeat < 20; repeat++) {
    if (wakes) await runtime.evict('Channel', `demo/${channel}`);
    const at = performance.now();
    await operate([{ operation: { action: 4, objectId: ids[repeat % objects], counterInc: { number: 1 } } }]);
    times.push(performance.now() - at);
  }
  tell(wakes ? 'an increment that wakes the channel' : 'an increment', `${median(times)} ms`);
}

const answer = await fetch(`${runtime.url}/channels/${channel}/object`, { headers: { authorization: `Basic ${btoa('demo.key1:local-only')}` } });
const sum = Object.values(/** @type {Record<string, number>} */ (await answer.json())).reduce((total, count) => total + count, 0);
assert.equal(sum, 2 * Math.floor(operations / 2) + 40, 'each increment counts once');
writer.close();
await runtime.stop();
process.exit();
