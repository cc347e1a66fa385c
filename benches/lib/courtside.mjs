/**
 * Starts the built worker with one app that may do everything: on the runtime itself, with what wrangler.toml says, or
 * by `courtside serve`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { unstable_getMiniflareWorkerOptions } from 'wrangler';
import { startWorkerd } from './workerd.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const build = path.join(root, 'build');

/** The key is the generator's default. Nothing but this run ever reads it. Its messages have one name. */
const apps = {
  apps: [{
    id: 'demo',
    keys: [{ name: 'key1', secret: 'local-only', capability: { '*': ['*'] }, pusher: true }],
    namespaces: [
      { id: 'batched', batchingEnabled: true, batchingInterval: 500 },
      { id: 'conflated', conflationEnabled: true, conflationInterval: 500, conflationKey: '#{message.name}' },
      { id: 'conflated-committed', conflationEnabled: true, conflationInterval: 500, conflationKey: '#{message.name}',
        commitInterval: 500 },
      { id: 'conflated-by-second', conflationEnabled: true, conflationInterval: 500, conflationKey: '#{message.name}',
        commitInterval: 1_000 },
    ],
  }],
};

/**
 * All on one relay, at once, and each as fast as it can: the generator does not come back later, as SDKs do.
 * @type {Record<string, string>}
 */
const unbounded = {
  RELAY_CONNECTIONS: '32768', RELAY_CONNECTS_PER_SECOND: '1000000', CONNECTION_MESSAGES_PER_SECOND: '1000000',
};

/** What wrangler.toml says. Reading it takes longer than a start, so one start does it for all. @type {any} */
let settings;

/**
 * @param {string} directory
 * @param {string[]} [inFront] files that stand before the built worker, the entry first
 * @param {Record<string, string>} [bounds] of its relays
 * @returns {Promise<import('./peer.mjs').Server>}
 */
export async function startCourtside(directory, inFront = [], bounds = unbounded) {
  if (!fs.existsSync(path.join(build, 'index.js'))) throw new Error('build/index.js is missing: build the worker first');
  settings ??= unstable_getMiniflareWorkerOptions(path.join(root, 'wrangler.toml')).workerOptions;
  return startWorkerd(directory, {
    ...settings,
    // The demo page's files: locally a worker of the tool's own would stand before ours to serve them, on every socket.
    assets: undefined,
    modulesRoot: build,
    modules: [
      ...inFront.map((file) => ({ type: /** @type {const} */ ('ESModule'), path: path.join(build, path.basename(file)),
        contents: fs.readFileSync(file, 'utf8') })),
      { type: 'ESModule', path: path.join(build, 'index.js') },
      { type: 'CompiledWasm', path: path.join(build, 'index_bg.wasm') },
    ],
    bindings: { SHORT_SECRETS: 'true', APPS: JSON.stringify(apps), ...bounds },
  });
}

/**
 * As `npm start` serves it, with the demo app: the supervisor, and what stands before the built worker there.
 * @param {string} directory
 * @returns {Promise<import('./peer.mjs').Server>}
 */
export async function startServed(directory) {
  const command = path.join(root, 'bin/courtside.mjs');
  const args = [command, 'serve', '--port', '0', '--drain', '0', '--data', path.join(directory, 'data')];
  const child = spawn(process.execPath, args, { env: { ...process.env, ...unbounded }, stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const { event, url, runtimePid } = JSON.parse(line);
    if (event !== 'ready') continue;
    child.stdout.resume();
    return { url: `${url.replace('http', 'ws')}/`, pids: [runtimePid], stop };
  }
  throw new Error('courtside serve ended before it served');
}
