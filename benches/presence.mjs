/**
 * What a crowd costs: `node benches/presence.mjs [members] [leavers] [joiners] [members of a connection]`, 5,000,
 * 1,000, 1 and 1 unless said.
 *
 * So many members enter one channel, some of them close and as many come, then joiners attach at once and get the set.
 * For each step: the time it took, calls to channels, rows written, and CPU of the runtime. While joiners sync,
 * somebody publishes: the slowest of these messages is told too, as one heard it who does nothing else, and as some of
 * the joiners heard it. Joiners are a process of their own, whose CPU is told. Everything shares one machine and one
 * runtime, as in the other benchmarks.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { now } from './lib/joiners.mjs';
import { setUp, build } from '../scripts/setup.mjs';
import { startRuntime } from '../tests/worker/runtime.mjs';

const [members, leavers, joiners, each] = [5_000, 1_000, 1, 1].map((usual, index) => Number(process.argv[2 + index] ?? usual));
await setUp();
await build();
const inFront = ['crowd-entry.mjs'].map((file) => new URL(`lib/${file}`, import.meta.url).pathname);
const runtime = await startRuntime(undefined, { inFront, variables: { CONNECTION_MESSAGES_PER_SECOND: '1000000' } });
const pid = await runtime.workerdPid();
const url = `${runtime.url.replace('http', 'ws')}/?key=demo.key1:local-only`;

const [ATTACH, ATTACHED, PRESENCE, MESSAGE, CLOSE] = [10, 11, 14, 15, 7];
/** Of the joiners, how many listen to messages too, and how often there is one. */
const [listening, everyMs] = [10, 20];

/** A connection that is attached. `wants` says what it is to be told. @param {string} name @param {string} wants */
function attach(name, wants) {
  const socket = new WebSocket(each === 1 ? `${url}&clientId=${name}` : url);
  /** @type {(value: any) => void} */
  let attached;
  const client = {
    socket, name, slowest: 0, messages: 0,
    send: (/** @type {object} */ frame) => socket.send(JSON.stringify(frame)),
    attached: new Promise((resolve) => { attached = resolve; }),
  };
  socket.onopen = () => client.send({ action: ATTACH, channel: 'crowd', params: { modes: wants } });
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.action === ATTACHED) {
      attached(null);
    } else if (frame.action === MESSAGE) {
      for (const message of frame.messages) client.slowest = Math.max(client.slowest, now() - Number(message.data));
      client.messages += frame.messages.length;
    }
  };
  return client;
}

/** User and system, over the runtime's whole life. */
function cpuSeconds() {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** @param {string} what @param {() => Promise<string | void>} act */
async function step(what, act) {
  const before = { ...await counts(), cpu: cpuSeconds(), at: performance.now() };
  const more = await act();
  const seconds = (performance.now() - before.at) / 1000;
  const after = await counts();
  console.log(`| ${what} | ${seconds.toFixed(2)} | ${after.calls - before.calls} | ${after.rows - before.rows} | `
    + `${(cpuSeconds() - before.cpu).toFixed(2)} | ${more ?? ''} |`);
}

/** @returns {Promise<{ calls: number, rows: number }>} */
const counts = async () => (await fetch(`${runtime.url}/bench/counts`)).json();

/** @param {number} count */
async function present(count) {
  const { body } = await (async () => {
    const response = await fetch(`${runtime.url}/channels/crowd?key=demo.key1:local-only`);
    return { body: await response.json() };
  })();
  if (body.status.occupancy.metrics.presenceMembers === count) return;
  await new Promise((resolve) => setTimeout(resolve, 20));
  await present(count);
}

/** Some at a time: the runtime takes so many handshakes, and no more. @param {number} from @param {number} to */
async function enter(from, to) {
  const entered = [];
  for (let index = from; index < to; index += 100 * each) {
    const some = Array.from({ length: Math.min(100, (to - index) / each) }, (_, at) => attach(`member${index + at * each}`, 'presence'));
    await Promise.all(some.map(({ attached }) => attached));
    for (const { send, name } of some) {
      const presence = Array.from({ length: each }, (_, at) => ({ action: 2, data: 'here', ...(each > 1 && { clientId: `${name}-${at}` }) }));
      send({ action: PRESENCE, msgSerial: 0, channel: 'crowd', presence });
    }
    entered.push(...some);
  }
  return entered;
}

console.log('| step | s | calls to channels | rows written | CPU s | |\n|---|---|---|---|---|---|');
/** @type {Awaited<ReturnType<typeof enter>>} */
let crowd = [];
await step(`${members} enter`, async () => {
  crowd = await enter(0, members);
  await present(members);
});
await step(`${leavers} leave, and as many enter`, async () => {
  for (const { send } of crowd.splice(0, leavers / each)) send({ action: CLOSE });
  await present(members - leavers);
  crowd.push(...await enter(members, members + leavers));
  await present(members);
});
await step(`${joiners} join and get the set`, async () => {
  const publisher = attach('publisher', 'publish');
  const listener = attach('listener', 'subscribe');
  await Promise.all([publisher.attached, listener.attached]);
  const file = new URL('lib/joiners.mjs', import.meta.url);
  const late = fork(file, [`${url.replace('ws', 'http')}`, `${joiners}`, `${Math.min(listening, joiners - 1)}`]);
  late.once('exit', (code) => { if (code !== 0) process.exit(1); });
  await once(late, 'message');
  let serial = 0;
  const timer = setInterval(() => publisher.send({
    action: MESSAGE, msgSerial: serial++, channel: 'crowd', messages: [{ name: 'live', data: `${now()}` }],
  }), everyMs);
  late.send('attach');
  const [got] = await once(late, 'message');
  clearInterval(timer);
  if (got.members !== members || got.unlike > 0) throw new Error(`not the set: ${JSON.stringify(got)}`);
  const [first, median, last] = [got.first, got.median, got.last].map((ms) => ms.toFixed(0));
  return `full set after ${first} (first), ${median} (median), ${last} ms (last), ${(got.bytes / 1e6).toFixed(1)} MB each, joiners' CPU `
    + `${got.cpu.toFixed(1)} s; of ${listener.messages} live messages the slowest took ${listener.slowest.toFixed(0)} ms, `
    + `of ${got.messages} to joiners ${got.slowest.toFixed(0)} ms`;
});
await runtime.stop();
process.exit();
