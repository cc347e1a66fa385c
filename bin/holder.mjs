/**
 * The thread of bin/listening.mjs: it opens the sockets, says which descriptors they have, and then stands still. Node
 * accepts whoever comes to a socket that it listens on, at the next turn of the thread's event loop; here there is none.
 */
import dns from 'node:dns';
import { once } from 'node:events';
import net from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { BACKLOG } from './limits.mjs';

const { host, port, descriptors } = workerData;

// From here on there is no turn: an address is not looked up again, and what is awaited is there before the next one.
const places = descriptors ? descriptors.map((/** @type {number} */ fd) => ({ fd })) : await addresses();
/** @type {{ fd: number, address: string, port: number }[]} */
const sockets = [];
for (const place of places) {
  const server = net.createServer();
  server.listen({ port: sockets[0]?.port ?? port, ...place, backlog: BACKLOG });
  await once(server, 'listening');
  // The only way to its descriptor, and negative where there is none, as on Windows.
  const fd = /** @type {any} */ (server)._handle?.fd ?? -1;
  sockets.push({ .../** @type {net.AddressInfo} */ (server.address()), fd });
}
parentPort?.postMessage(sockets);
Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0);

/** All that the name has, and those alone that this machine can have. */
async function addresses() {
  const found = await dns.promises.lookup(host, { all: true, hints: net.isIP(host) ? 0 : dns.ADDRCONFIG });
  return found.map(({ address }) => ({ host: address }));
}
