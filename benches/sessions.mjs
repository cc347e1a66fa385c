/**
 * What a session costs a relay in memory: `npx node benches/sessions.mjs [sessions]`, 20,000 unless said.
 *
 * So many WebSockets connect to one relay in the real runtime, attach to one channel, and stay. After each quarter it
 * tells the memory of the WebAssembly instance, and its growth for each session since the first. The clients are in the
 * runtime, too: over the network each would cost it two open files, of which a process may often have 20,000. What the
 * runtime keeps of a socket is not in the figure.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { Readable } from 'node:stream';
import { setUp, build } from '../scripts/setup.mjs';
import { startCourtside } from './lib/courtside.mjs';

const sessions = Number(process.argv[2] ?? 20_000);
/** src/limits reckons with as many. */
const aim = 1_536;
await setUp();
await build();
const files = ['sessions-entry.mjs', 'memory-entry.mjs', 'memory-spy.mjs'];
const storage = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-'));
const runtime = await startCourtside(storage, files.map((file) => new URL(`lib/${file}`, import.meta.url).pathname));
const answer = await fetch(new URL(`/bench/enter?sessions=${sessions}`, runtime.url.replace('ws', 'http')));

const body = Readable.fromWeb(/** @type {any} */ (answer.body));
let [first, each] = [0, 0];
console.log('| sessions | wasm KB | bytes for each session |\n|---|---|---|');
for await (const line of readline.createInterface(body)) {
  const { error, relays, wasmBytes, sessions: entered } = JSON.parse(line);
  if (error || relays > 1) throw new Error(error ?? `they are on ${relays} relays`);
  if (entered === 1) first = wasmBytes;
  each = Math.round((wasmBytes - first) / entered);
  if (entered > 1) console.log(`| ${entered} | ${wasmBytes / 1024} | ${each} |`);
  if (entered === sessions) break;
}
body.on('error', () => {}).destroy();
await runtime.stop();
fs.rmSync(storage, { recursive: true });
process.exit(Number(each > aim));
