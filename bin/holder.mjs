/**
 * The thread of bin/listening.mjs: it opens the sockets, says which descriptors they have, and stands still. Node
 * accepts whoever comes to a socket that it listens on, at the next turn of the thread's event loop: there is none
 * here.
 */
import dns from 'node:dns';
import { once } from 'node:events';
import net from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { BACKLOG } from './limits.mjs';

const { host, port } = workerData;

// All that the name has, and those alone that this machine can have.
const addresses = await dns.promises.lookup(host, { all: true, hints: net.isIP(host) ? 0 : dns.ADDRCONFIG });

// From here on there is no turn: an address is not looked up again, and what is awaited is there before the next one.
const descriptors = [];
let taken = port;
for (const { address } of addresses) {
  const server = net.createServer().listen({ host: address, port: taken, backlog: BACKLOG });
  await once(server, 'listening');
  ({ port: taken } = /** @type {net.AddressInfo} */ (server.address()));
  // The only way to its descriptor, and negative where there is none, as on Windows.
  descriptors.push(/** @type {any} */ (server)._handle?.fd ?? -1);
}
parentPort?.postMessage(descriptors);
Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0);
