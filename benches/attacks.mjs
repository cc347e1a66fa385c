/**
 * The cost of attacks: `npm run build && npx node benches/attacks.mjs` takes half a minute. Each attack has a runtime
 * of its own. Two figures are printed: the CPU time from the attack to the answer to a request behind it, and the
 * growth of WebAssembly memory.
 */
import fs from 'node:fs';
import net from 'node:net';
import { RawClient, action } from '../tests/worker/raw_client.mjs';
import { startRuntime } from '../tests/worker/runtime.mjs';

/** @typedef {import('../tests/worker/runtime.mjs').Runtime} Runtime */

const key = 'demo.key1:local-only';
const guest = 'demo.guest:guests-only';
const apps = { apps: [{ id: 'demo', keys: [
  { name: 'key1', secret: 'local-only' },
  { name: 'guest', secret: 'guests-only', capability: { 'lobby': ['subscribe', 'publish', 'presence'] } },
] }] };
const inFront = ['memory-entry.mjs', 'memory-spy.mjs'].map((file) => new URL(`lib/${file}`, import.meta.url).pathname);
const json = { 'content-type': 'application/json' };

/** Megabytes of messages that are in the log of a channel beforehand. @type {Record<string, number>} */
const logs = {
  'a frame of 13 KB: presence events with an old msgSerial, on a log of 5 MB': 5,
  'ten requests for presence history, on a log of 20 MB': 20,
};

/** @type {Record<string, (runtime: Runtime) => Promise<string | void>>} */
const attacks = {
  'a Comet body of 1.6 MB, of publishes that are refused': async (runtime) => {
    const connection = await comet(runtime);
    const frames = Array.from({ length: 16_000 }, (_, msgSerial) => (
      { action: 15, channel: 'lobby', msgSerial, messages: [msgSerial ? { id: 'no id', data: 'x'.repeat(20) } : {}] }));
    await connection.send(JSON.stringify(frames));
    connection.end();
  },
  'a frame of 13 KB: presence events with an old msgSerial, on a log of 5 MB': async (runtime) => {
    const client = await connected(runtime);
    client.send({ action: action.ATTACH, channel: 'lobby' });
    await answered(client);
    for (const [msgSerial, members] of [[0, 1], [1, 1], [0, 200]]) {
      const presence = Array.from({ length: members ?? 0 }, (_, index) => ({ action: 2, clientId: `client ${index}` }));
      client.send({ action: action.PRESENCE, channel: 'lobby', msgSerial, presence });
      await answered(client);
    }
    client.close();
  },
  'an ATTACH with 40,000 parameters': async (runtime) => {
    const client = await connected(runtime);
    const params = Object.fromEntries(Array.from({ length: 40_000 }, (_, index) => [`p${99_999 - index}`, '']));
    client.send({ action: action.ATTACH, channel: 'lobby', params });
    while (![action.ATTACHED, action.DETACHED, action.ERROR].includes((await client.any().catch(() => ({ action: 9 }))).action));
    client.close();
  },
  'ten requests for presence history, on a log of 20 MB': async (runtime) => {
    for (let count = 0; count < 10; count++) {
      await (await fetch(`${runtime.url}/channels/lobby/presence/history?key=${key}`)).text();
    }
  },
  'a Comet body of 8 MB, of ATTACH frames': async (runtime) => {
    const connection = await comet(runtime);
    await connection.send(`[${Array.from({ length: 570_000 }, () => '{"action":10}').join()}]`);
    connection.end();
  },
  'twenty uploads of 8 MB that stop before their end, with a made-up key': (runtime) => (
    stall(runtime, 20, '/comet/!made-up/send', 8 << 20)),
  'sixty of 2 MB without credentials': (runtime) => stall(runtime, 60, '/messages', 2 << 20),
  'twenty guests, each attached to one channel under 199 names, and 20 messages': async (runtime) => {
    const guests = await Promise.all(Array.from({ length: 20 }, () => connected(runtime, guest)));
    await Promise.all(guests.map(async (client) => {
      for (let index = 0; index < 199; index++) client.send({ action: action.ATTACH, channel: `[?m=${index}]lobby` });
      for (let index = 0; index < 199; index++) await answered(client);
    }));
    const fan = await connected(runtime);
    fan.send({ action: action.ATTACH, channel: 'lobby' });
    await answered(fan);
    const took = [];
    for (let count = 0; count < 20; count++) {
      const began = performance.now();
      await publish(runtime, 'lobby', [{ data: 'x' }]);
      while ((await fan.any()).action !== action.MESSAGE);
      took.push(performance.now() - began);
    }
    [...guests, fan].forEach((client) => client.close());
    return `another hears a message after ${Math.round(took.sort((a, b) => a - b)[10] ?? 0)} ms`;
  },
  'five thousand publishes on one connection, at once': async (runtime) => {
    const client = await connected(runtime, guest);
    const began = performance.now();
    for (let msgSerial = 0; msgSerial < 5_000; msgSerial++) {
      client.send({ action: action.MESSAGE, channel: 'lobby', msgSerial, messages: [{ data: 'x' }] });
    }
    let accepted = 0;
    for (let told = 0; told < 5_000;) {
      const { action: kind, count = 1 } = await client.any();
      if (kind === action.ACK) accepted += count;
      if ([action.ACK, action.NACK].includes(kind)) told += count;
    }
    client.close();
    return `${accepted} are accepted, in ${((performance.now() - began) / 1_000).toFixed(1)} s`;
  },
};

console.log('| attack | CPU s | WebAssembly MB | |\n|---|---|---|---|');
for (const [name, attack] of Object.entries(attacks)) {
  const runtime = await startRuntime(apps, { inFront });
  await fill(runtime, 'lobby', logs[name] ?? 0);
  await time(runtime);
  const [cpu, bytes] = [await cpuSeconds(runtime), await wasmBytes(runtime)];
  const said = await attack(runtime).catch((error) => `${error.message}`);
  await time(runtime);
  const [used, grown] = [await cpuSeconds(runtime) - cpu, await wasmBytes(runtime) - bytes];
  console.log(`| ${name} | ${used.toFixed(2)} | ${(grown / (1 << 20)).toFixed(1)} | ${said ?? ''} |`);
  await runtime.stop();
}

/** @param {Runtime} runtime */
async function time(runtime) {
  await (await fetch(`${runtime.url}/channels/lobby?key=${key}`)).text();
}

/** @param {Runtime} runtime */
async function cpuSeconds(runtime) {
  const [user, system] = fs.readFileSync(`/proc/${await runtime.workerdPid()}/stat`, 'utf8').split(') ')[1]?.split(' ').slice(11, 13) ?? [];
  return (Number(user) + Number(system)) / 100;
}

/** @param {Runtime} runtime */
async function wasmBytes(runtime) {
  const sizes = await (await fetch(`${runtime.url}/bench/memory`)).json();
  return sizes.reduce((/** @type {number} */ sum, /** @type {number} */ size) => sum + size, 0);
}

/** @param {Runtime} runtime @param {string} channel @param {object[]} messages */
async function publish(runtime, channel, messages) {
  const body = JSON.stringify(messages);
  const response = await fetch(`${runtime.url}/channels/${channel}/messages?key=${key}`, { method: 'POST', headers: json, body });
  if (!response.ok) throw new Error(await response.text());
  await response.text();
}

/** So many megabytes of messages. @param {Runtime} runtime @param {string} channel @param {number} megabytes */
async function fill(runtime, channel, megabytes) {
  for (let count = 0; count < megabytes * 20; count++) await publish(runtime, channel, [{ data: 'x'.repeat(50_000) }]);
}

/** @param {Runtime} runtime @param {string} [by] */
async function connected(runtime, by = key) {
  const client = new RawClient(runtime, { key: by, v: '4' });
  while ((await client.any()).action !== action.CONNECTED);
  return client;
}

/** Until a frame is answered. @param {RawClient} client */
async function answered(client) {
  const answers = [action.ACK, action.NACK, action.ATTACHED, action.DETACHED, action.ERROR];
  while (!answers.includes((await client.any()).action));
}

/** A connection over HTTP that reads all it is told. @param {Runtime} runtime */
async function comet(runtime) {
  const controller = new AbortController();
  const stream = await fetch(`${runtime.url}/comet/connect?stream=true&key=${key}`, { signal: controller.signal });
  const reader = /** @type {ReadableStream<Uint8Array>} */ (stream.body).getReader();
  const first = new TextDecoder().decode((await reader.read()).value);
  const connectionKey = /"connectionKey":"([^"]+)"/.exec(first)?.[1];
  const reading = (async () => {
    while (!(await reader.read()).done);
  })().catch(() => {});
  return {
    /** @param {string} body */
    async send(body) {
      const url = `${runtime.url}/comet/${connectionKey}/send?key=${key}`;
      const response = await fetch(url, { method: 'POST', headers: json, body });
      await response.text();
    },
    end() {
      controller.abort();
      return reading;
    },
  };
}

/**
 * Sends all of some bodies but the last byte.
 * @param {Runtime} runtime
 * @param {number} count
 * @param {string} path
 * @param {number} bytes
 */
async function stall(runtime, count, path, bytes) {
  const body = Buffer.alloc(bytes - 1, 0x20);
  const sockets = await Promise.all(Array.from({ length: count }, () => new Promise((/** @type {(socket: net.Socket) => void} */ resolve) => {
    const socket = net.connect({ port: runtime.port, host: '127.0.0.1' });
    socket.on('error', () => resolve(socket));
    socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${bytes}\r\n\r\n`);
    // A refusal may come first.
    socket.once('data', () => resolve(socket));
    socket.write(body, () => resolve(socket));
  })));
  await time(runtime);
  sockets.forEach((socket) => socket.destroy());
}
