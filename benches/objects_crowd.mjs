/**
 * Objects and a crowd, measured: `npx node benches/objects_crowd.mjs [clients] [seconds] [connections] [joiners]`,
 * 20,000, 10, 200 and 1,000 unless said.
 *
 * So many clients, who share connections, increment one counter once each, at moments of their own within these
 * seconds. All connections see the counter, and each must end with the exact sum, as REST must. Then the channel is
 * given 6 MB of values, and joiners attach at once and get them; they are a process of their own. All the while
 * somebody publishes, and the latency of these messages is told, as one heard them who does nothing else.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import { now } from './lib/joiners.mjs';
import { setUp, build } from '../scripts/setup.mjs';
import { startRuntime } from '../tests/worker/runtime.mjs';

const [clients, seconds, connections, joiners] = [20_000, 10, 200, 1_000].map((usual, index) => Number(process.argv[2 + index] ?? usual));
const [ACK, NACK, ATTACH, ATTACHED, MESSAGE, OBJECT, OBJECT_SYNC] = [1, 2, 10, 11, 15, 19, 20];
/** Of the joiners, how many listen to messages too; how often there is one; values of 64,000 bytes. */
const [listening, everyMs, values] = [10, 20, 100];
const channel = 'crowd';

await setUp();
await build();
const runtime = await startRuntime(undefined, { variables: { CONNECTION_MESSAGES_PER_SECOND: '1000000' } });
const pid = await runtime.workerdPid();

/** User and system, over the runtime's whole life. */
function cpuSeconds() {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** A connection that is attached, with the objects that its modes tell. */
class Connection {
  frames = 0;
  operations = 0;
  bytes = 0;
  count = 0;
  acknowledged = 0;
  /** @type {number[]} */
  latencies = [];
  #serial = 0;
  #last = '';
  #isSynced = false;
  /** @type {() => void} */
  changed = () => {};

  /** @param {string} modes */
  static async attached(modes) {
    const connection = new Connection();
    await new Promise((resolve, reject) => connection.#open(modes, resolve, reject));
    return connection;
  }

  /** @param {string} modes @param {(value: unknown) => void} resolve @param {(error: unknown) => void} reject */
  #open(modes, resolve, reject) {
    const socket = this.socket = new WebSocket(`${runtime.url.replace('http', 'ws')}/?key=demo.key1:local-only`);
    socket.onerror = reject;
    socket.onopen = () => socket.send(JSON.stringify({ action: ATTACH, channel, params: { modes } }));
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.action === NACK) reject(new Error(data));
      if (frame.action === ATTACHED && !modes.includes('object_subscribe')) resolve(null);
      if (frame.action === OBJECT_SYNC && this.#sync(frame)) resolve(null);
      if (frame.action === OBJECT) this.#operate(frame, data.length);
      if (frame.action === ACK) this.acknowledged += frame.count;
      if (frame.action === MESSAGE) this.latencies.push(...frame.messages.map((/** @type {any} */ message) => now() - Number(message.data)));
      this.changed();
    };
  }

  /** @param {any} frame */
  #sync(frame) {
    const counter = frame.state.find((/** @type {any} */ { object }) => object.counter)?.object;
    if (counter) [this.count, this.#last] = [counter.counter.count, counter.siteTimeserials.main];
    this.#isSynced ||= frame.channelSerial.endsWith(':');
    return this.#isSynced;
  }

  /** As SDKs do: what is later than the counter is. @param {any} frame @param {number} length */
  #operate(frame, length) {
    [this.frames, this.operations, this.bytes] = [this.frames + 1, this.operations + frame.state.length, this.bytes + length];
    for (const { serial, operation } of frame.state) {
      if (operation.action !== 4 || serial <= this.#last) continue;
      [this.count, this.#last] = [this.count + operation.counterInc.number, serial];
    }
  }

  /** @param {object} frame */
  send(frame) {
    this.socket?.send(JSON.stringify({ channel, msgSerial: this.#serial++, ...frame }));
  }

  /** @param {() => boolean} holds */
  async until(holds) {
    while (!holds()) await new Promise((resolve) => { this.changed = () => resolve(null); });
  }
}

/** @param {number[]} times @param {number} part */
const quantile = (times, part) => times.toSorted((one, other) => one - other)[Math.floor((times.length - 1) * part)]?.toFixed(0);
/** @param {number[]} times */
const latency = (times) => `${times.length} live messages took ${quantile(times, 0.5)} (median), ${quantile(times, 0.99)} (p99), ${quantile(times, 1)} ms (slowest)`;

const [publisher, listener] = [await Connection.attached('publish,object_publish'), await Connection.attached('subscribe')];
const [initialValue, nonce] = ['{"count":0}', randomUUID()];
const objectId = `counter:${createHash('sha256').update(`${initialValue}:${nonce}`).digest('base64url')}@${Date.now()}`;
publisher.send({ action: OBJECT, state: [
  { operation: { action: 3, objectId, counterCreateWithObjectId: { initialValue, nonce } } },
  { operation: { action: 1, objectId: 'root', mapSet: { key: 'taps', value: { objectId } } } },
] });
await publisher.until(() => publisher.acknowledged === 1);

/** @type {Connection[]} */
const crowd = [];
while (crowd.length < connections) {
  crowd.push(...await Promise.all(Array.from({ length: Math.min(50, connections - crowd.length) }, () => Connection.attached('object_publish,object_subscribe'))));
}
const timer = setInterval(() => publisher.send({ action: MESSAGE, messages: [{ data: `${now()}` }] }), everyMs);

const [began, cpu] = [now(), cpuSeconds()];
let tapped = 0;
await new Promise((resolve) => {
  const ticking = setInterval(() => {
    const due = Math.min(clients, Math.floor((now() - began) / (seconds * 1_000) * clients));
    while (tapped < due) {
      crowd[tapped++ % connections].send({ action: OBJECT, state: [{ operation: { action: 4, objectId, counterInc: { number: 1 } } }] });
    }
    if (tapped === clients) {
      clearInterval(ticking);
      resolve(null);
    }
  }, 5);
});
await Promise.all(crowd.map((one, index) =>
  one.until(() => one.acknowledged === Math.floor(clients / connections) + (index < clients % connections ? 1 : 0))));
const storedAfter = now() - began;
await Promise.all(crowd.map((one) => one.until(() => one.count >= clients)));
const shownAfter = now() - began;
for (const one of crowd) assert.equal(one.count, clients, 'each increment counts once');
const answer = await fetch(`${runtime.url}/channels/${channel}/object?key=demo.key1:local-only`);
assert.deepEqual(await answer.json(), { taps: clients });
/** @param {'frames' | 'operations' | 'bytes'} what */
const each = (what) => crowd.reduce((sum, one) => sum + one[what], 0) / connections;
console.log(`| ${clients} clients on ${connections} connections increment a counter within ${seconds} s | stored after ${(storedAfter / 1_000).toFixed(1)} s, `
  + `shown to all after ${(shownAfter / 1_000).toFixed(1)} s; each connection got ${each('frames').toFixed(0)} frames with ${each('operations').toFixed(0)} operations, `
  + `${(each('bytes') / 1_000).toFixed(0)} KB; CPU ${(cpuSeconds() - cpu).toFixed(1)} s; ${latency(listener.latencies)} |`);
crowd.forEach((one) => one.socket?.close());

for (let index = 0; index < values; index++) {
  publisher.send({ action: OBJECT, state: [{ operation: { action: 1, objectId: 'root', mapSet: { key: `k${index}`, value: { string: 'x'.repeat(64_000) } } } }] });
  const sent = index + 1;
  if (sent % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 50));
}
const file = new URL('lib/joiners.mjs', import.meta.url);
const late = fork(file, [runtime.url + '/?key=demo.key1:local-only', `${joiners}`, `${Math.min(listening, joiners - 1)}`, 'objects']);
late.once('exit', (code) => { if (code !== 0) process.exit(1); });
await once(late, 'message');
listener.latencies = [];
const before = cpuSeconds();
late.send('attach');
const [got] = await once(late, 'message');
clearInterval(timer);
assert.deepEqual([got.members, got.unlike], [values + 1, 0], JSON.stringify(got));
console.log(`| ${joiners} join and get ${(got.bytes / 1e6).toFixed(1)} MB of objects each | after ${got.first.toFixed(0)} (first), ${got.median.toFixed(0)} (median), `
  + `${got.last.toFixed(0)} ms (last); CPU ${(cpuSeconds() - before).toFixed(1)} s, joiners' ${got.cpu.toFixed(1)} s; ${latency(listener.latencies)}, `
  + `of ${got.messages} to joiners the slowest ${got.slowest.toFixed(0)} ms |`);
await runtime.stop();
process.exit();
