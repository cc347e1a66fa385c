/** Starts the built worker, with what wrangler.toml says and one app that may do everything. */
import fs from 'node:fs';
import path from 'node:path';
import { unstable_getMiniflareWorkerOptions } from 'wrangler';
import { startWorkerd } from './workerd.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const build = path.join(root, 'build');

/** The key is the generator's default. Nothing but this run ever reads it. */
const apps = {
  apps: [{ id: 'demo', keys: [{ name: 'key1', secret: 'local-only', capability: { '*': ['*'] } }], namespaces: [] }],
};

/** @type {import('./peer.mjs').Peer['start']} */
export async function startCourtside(directory) {
  if (!fs.existsSync(path.join(build, 'index.js'))) throw new Error('build/index.js is missing: build the worker first');
  const { workerOptions } = unstable_getMiniflareWorkerOptions(path.join(root, 'wrangler.toml'));
  return startWorkerd(directory, {
    ...workerOptions,
    // The demo page's files: locally a worker of the tool's own would stand before ours to serve them, on every socket.
    assets: undefined,
    modulesRoot: build,
    modules: [
      { type: 'ESModule', path: path.join(build, 'index.js') },
      { type: 'CompiledWasm', path: path.join(build, 'index_bg.wasm') },
    ],
    // All on one relay, and at once: the generator does not come back later, as SDKs do.
    bindings: { APPS: JSON.stringify(apps), RELAY_CONNECTIONS: '32768', RELAY_CONNECTS_PER_SECOND: '1000000' },
  });
}
