/** Starts a worker on the runtime itself, as miniflare sets it up. */
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from 'miniflare';
import { children, command } from './processes.mjs';

/** As in wrangler.toml, so that all peers run on the same runtime. */
const compatibilityDate = '2026-08-03';

/**
 * @param {string} directory where the objects' storage goes
 * @param {Partial<import('miniflare').V4WorkerOptions>} worker
 * @returns {Promise<import('./peer.mjs').Server>}
 */
export async function startWorkerd(directory, worker) {
  const others = new Set(runtimes());
  const options = /** @type {import('miniflare').V4MiniflareOptions} */ ({
    compatibilityDate,
    ...worker,
    name: 'peer',
    // Straight to the worker: miniflare's own entry worker would stand between it and every client.
    unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
    host: '127.0.0.1',
    port: 0,
    cf: false,
    log: new Log(LogLevel.ERROR),
    resourcePersistencePath: directory,
  });
  const miniflare = new Miniflare(convertV4MiniflareOptions(options));
  await miniflare.ready;
  const url = await miniflare.unsafeGetDirectURL('peer');
  url.protocol = 'ws:';
  const pids = runtimes().filter((pid) => !others.has(pid));
  return { url: url.href, pids, stop: () => miniflare.dispose() };
}

/** The runtimes that this process has started. */
function runtimes() {
  return children(process.pid).filter((pid) => command(pid) === 'workerd');
}
