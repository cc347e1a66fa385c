/**
 * A connection and a delivery cost differently by the protocol of those who listen:
 * `npx node benches/doors.mjs [subscribers]`, 1,000 unless said. One publisher speaks Ably's protocol. For each door
 * the same number of subscribers come to a server of its own, and get a hundred bytes at a time. Told are memory and
 * CPU of the runtime, and bytes on the wire.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { build, setUp } from '../scripts/setup.mjs';
import { startCourtside } from './lib/courtside.mjs';
import { buildLoad, runLoad } from './lib/load.mjs';

const subscribers = Number(process.argv[2] ?? 1_000);
const seconds = 5;
const doors = ['ably-json', 'ably-msgpack', 'pusher', 'socketio', 'mqtt-0', 'mqtt-1'];

await setUp();
await build();
buildLoad();
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-doors-'));
const row = (/** @type {(string | number)[]} */ cells) => console.log(`| ${cells.join(' | ')} |`);
row(['door', 'bytes of a connection', 'CPU of a delivery, µs', 'deliveries/s', 'bytes of a delivery', 'p99, ms']);
row(Array.from({ length: 6 }, () => '---'));
for (const door of doors) {
  const server = await startCourtside(path.join(directory, door));
  try {
    const options = ['--subscribers', `${subscribers}`, '--seconds', `${seconds}`];
    const report = await runLoad('fanout', server, door, options, seconds);
    row([door, Math.round(report.server_bytes_per_subscriber), report.server_cpu_us_per_delivery.toFixed(1),
      Math.round(report.deliveries_per_second), Math.round(report.bytes_per_delivery), report.latency.p99_ms?.toFixed(1) ?? '']);
  } finally {
    await server.stop();
  }
}
fs.rmSync(directory, { recursive: true });
