/** `import { start } from 'courtside'`: a server for tests and tools of other projects. */
import { DEMO_KEY } from './client/place.mjs';
import { Log } from './log.mjs';
import { readObject } from './options.mjs';
import { Server } from './server.mjs';

/**
 * Starts a server, on a free port of this machine and with storage that goes with it, unless told otherwise.
 * @param {Partial<Record<keyof import('./options.mjs').Settings, unknown>>} [options] those of `courtside serve`, in
 *   camel
 *   case; `apps` may be an object
 */
export async function start(options = {}) {
  const usual = { port: 0, ephemeral: options.data === undefined, drain: 0, logLevel: 'error' };
  // An option that is undefined is not given.
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const settings = readObject({ ...usual, ...given });
  const server = new Server(settings, new Log(settings.logLevel, (line) => process.stderr.write(line)));
  await server.start();
  const { hostname, protocol } = new URL(server.url);
  const demoKey = server.isDemo ? DEMO_KEY : undefined;
  return {
    /** Where it listens, such as `http://127.0.0.1:40123`. */
    url: server.url,
    port: server.port,
    /** The key of the demo app, when it was given no apps. */
    key: demoKey,
    /** What a client of the `ably` SDK needs, besides its key. */
    clientOptions: { endpoint: hostname, port: server.port, tlsPort: server.port, tls: protocol === 'https:' },
    /** Gives it other apps, without dropping connections. */
    reload: async (/** @type {string | object} */ apps) => {
      await server.reload(typeof apps === 'string' ? apps : JSON.stringify(apps));
    },
    stop: async () => server.stop(),
  };
}
