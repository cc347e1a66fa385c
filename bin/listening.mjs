/**
 * The sockets that clients come to, from the start of the server to its end. Each runtime inherits them, and whoever
 * comes while there is none waits in the kernel's queue for the next: nobody meets a closed port.
 */
import { once } from 'node:events';
import { getSystemErrorMap } from 'node:util';
import { Worker } from 'node:worker_threads';

export class Listening {
  #thread;

  /** @param {Worker} thread @param {{ fd: number, address: string, port: number }[]} sockets */
  constructor(thread, sockets) {
    this.#thread = thread;
    this.descriptors = sockets.map(({ fd }) => fd);
  }

  /**
   * Listens at all addresses of the host, or on sockets that are open already. Gives nothing where the system has no
   * descriptors to inherit: a runtime has to listen by itself then. Fails when an address cannot be had.
   * @param {{ host: string, port: number, descriptors?: number[] }} where
   */
  static async open(where) {
    const thread = new Worker(new URL('./holder.mjs', import.meta.url), { workerData: where, execArgv: [] });
    thread.unref();
    const [sockets] = await once(thread, 'message').catch((error) => {
      const [, reason = error.message] = getSystemErrorMap().get(error.errno) ?? [];
      throw new Error(`--host ${where.host} and --port ${where.port} cannot be had: ${reason}`);
    });
    const listening = new Listening(thread, sockets);
    if (listening.descriptors.every((fd) => fd >= 0)) return listening;
    await listening.close();
    return undefined;
  }

  /** Whoever waits is turned away, unless another process has the sockets, too. */
  async close() {
    await this.#thread.terminate();
  }
}
