/**
 * The sockets that clients come to, from the start of the server to its end or longer. Each runtime inherits them, and
 * whoever comes while there is none waits in the kernel's queue for the next: nobody meets a closed port.
 */
import { once } from 'node:events';
import net from 'node:net';
import { getSystemErrorMap } from 'node:util';
import { Worker } from 'node:worker_threads';

/**
 * Listens at all addresses of the host, and gives the descriptors, and what closes them. There are no descriptors where
 * the system has none to inherit: a runtime has to listen by itself then. Fails when an address cannot be had.
 * @param {string} host
 * @param {number} port
 * @returns {Promise<{ descriptors: number[], close: () => Promise<unknown> }>}
 */
export async function listen(host, port) {
  const thread = new Worker(new URL('./holder.mjs', import.meta.url), { workerData: { host, port }, execArgv: [] });
  thread.unref();
  const [descriptors] = await once(thread, 'message').catch((error) => {
    const [, reason = error.message] = getSystemErrorMap().get(error.errno) ?? [];
    throw new Error(`--host ${host} and --port ${port} cannot be had: ${reason}`);
  });
  const close = () => thread.terminate();
  if (descriptors.every((/** @type {number} */ fd) => fd >= 0)) return { descriptors, close };
  await close();
  return { descriptors: [], close };
}

/** The first descriptor that a service manager gives, as sd_listen_fds(3) has it. */
const FIRST_GIVEN = 3;

/**
 * The sockets that a service manager listens on for this process, which outlive it.
 * @param {Record<string, string | undefined>} environment
 */
export function givenSockets({ LISTEN_PID, LISTEN_FDS }) {
  const count = Number(LISTEN_PID) === process.pid ? Number(LISTEN_FDS) : 0;
  const descriptors = Array.from({ length: count || 0 }, (_, index) => FIRST_GIVEN + index);
  return descriptors.map((fd) => ({ fd, address: addressOf(fd) }));
}

/** @type {Map<number, net.Socket>} */
const opened = new Map();

/** @param {number} fd */
function addressOf(fd) {
  // It is neither read nor closed: it only knows its address.
  const socket = opened.get(fd) ?? new net.Socket({ fd, readable: false, writable: false });
  opened.set(fd, socket);
  const { address } = /** @type {net.AddressInfo} */ (socket.address());
  if (!address) throw new Error('LISTEN_FDS gives a socket of no internet address');
  return address;
}
