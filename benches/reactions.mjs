/**
 * Measures the cost of changes: `node benches/reactions.mjs [reactions] [clients] [messages]`. The defaults are
 * 100,000, 20,000 and 1,000.
 *
 * First the clients send their reactions to one message, as fast as the channel takes them, while one client listens.
 * The benchmark prints reactions a second, CPU for each, and the summaries that the listener got; the final count must
 * be exact. Then it reads a page of history, before and after every third of the messages is updated.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { setUp, build } from '../scripts/setup.mjs';
import { demoApps, startRuntime } from '../tests/worker/runtime.mjs';

const [reactions, clients, messages] = [100_000, 20_000, 1_000].map((usual, index) => Number(process.argv[2 + index] ?? usual));
/** In one frame, on one connection without an answer, and connections. */
const [perFrame, inFlight, connections] = [100, 4, 10];
const [ACK, NACK, ATTACH, ATTACHED, MESSAGE, ANNOTATION] = [1, 2, 10, 11, 15, 21];
const channel = 'mutable:reactions';
const type = 'reaction:distinct.v1';

await setUp();
await build();
const namespaces = [{ id: 'mutable', mutableMessages: true }];
const runtime = await startRuntime({ apps: [{ ...demoApps.apps[0], namespaces }] },
  { variables: { CONNECTION_MESSAGES_PER_SECOND: '1000000' } });
const pid = await runtime.workerdPid();
const headers = { Authorization: `Basic ${btoa('demo.key1:local-only')}`, 'content-type': 'application/json' };

/** User and system, over the runtime's whole life. */
function cpuSeconds() {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** @param {string} path @param {object} [body] @param {string} [method] */
async function request(path, body, method = body ? 'POST' : 'GET') {
  const answer = await fetch(`${runtime.url}/channels/${encodeURIComponent(channel)}${path}`,
    { method, headers, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.json();
}

/**
 * A socket that tells its frames, once it is attached.
 * @param {(frame: any, send: (frame: object) => void) => void} take
 */
async function attached(take) {
  const socket = new WebSocket(`${runtime.url.replace('http', 'ws')}/?key=demo.key1:local-only`);
  const send = (/** @type {object} */ frame) => socket.send(JSON.stringify(frame));
  await new Promise((resolve, reject) => {
    socket.onerror = reject;
    socket.onopen = () => send({ action: ATTACH, channel, params: { modes: 'subscribe,annotation_publish' } });
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.action === ATTACHED) resolve(null);
      else take(frame, send);
    };
  });
  return send;
}

const [messageSerial] = (await request('/messages', { name: 'poll', data: 'which?' })).serials;
let summaries = 0;
await attached((frame) => { summaries += frame.action === MESSAGE ? frame.messages.length : 0; });

let [sent, done] = [0, 0];
const before = { cpu: cpuSeconds(), at: performance.now() };
await new Promise((resolve, reject) => {
  const publish = (/** @type {(frame: object) => void} */ send, /** @type {number} */ msgSerial) => {
    if (sent >= reactions) return;
    const annotations = Array.from({ length: Math.min(perFrame, reactions - sent) }, () => {
      const number = sent++;
      return { type, name: `name${Math.floor(number / clients)}`, clientId: `client${number % clients}`, messageSerial };
    });
    send({ action: ANNOTATION, channel, msgSerial, annotations });
  };
  for (let index = 0; index < connections; index++) {
    let serial = 0;
    attached((frame, send) => {
      if (frame.action === NACK) reject(new Error(JSON.stringify(frame)));
      if (frame.action !== ACK) return;
      done += frame.res.reduce((/** @type {number} */ sum, /** @type {any} */ { serials }) => sum + serials.length, 0);
      if (done >= reactions) resolve(null);
      for (let answered = 0; answered < frame.count; answered++) publish(send, serial++);
    }).then((send) => { for (let some = 0; some < inFlight; some++) publish(send, serial++); }, reject);
  }
});
const [seconds, cpu] = [(performance.now() - before.at) / 1000, cpuSeconds() - before.cpu];
const { annotations } = await request(`/messages/${encodeURIComponent(messageSerial)}`);
const counts = Object.values(annotations.summary[type]).map((/** @type {any} */ { total }) => total);
assert.equal(counts.reduce((sum, count) => sum + count, 0), reactions, 'each is counted once');
console.log(`| ${reactions} reactions of ${clients} clients | ${(reactions / seconds).toFixed(0)}/s | `
  + `${((cpu * 1e6) / reactions).toFixed(0)} µs of CPU each | ${summaries} summaries |`);

const serials = [];
for (let from = 0; from < messages; from += 100) {
  const some = Array.from({ length: Math.min(100, messages - from) }, (_, index) => ({ data: `message ${from + index}` }));
  serials.push(...(await request('/messages', some)).serials);
}
/** @param {string} what */
async function page(what) {
  const times = [];
  for (let repeat = 0; repeat < 20; repeat++) {
    const at = performance.now();
    assert.equal((await request(`/messages?limit=${messages}`)).length, messages);
    times.push(performance.now() - at);
  }
  console.log(`| a page of ${messages} messages ${what} | ${times.sort((a, b) => a - b)[10].toFixed(1)} ms |`);
}
await page('as they were published');
for (const [index, serial] of serials.entries()) {
  if (index % 3 === 0) await request(`/messages/${encodeURIComponent(serial)}`, { data: 'changed' }, 'PATCH');
}
await page('of which every third was updated');
await runtime.stop();
process.exit();
