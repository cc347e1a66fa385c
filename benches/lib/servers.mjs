/** Peers that are servers of their own: processes that listen on a port and end with this one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { children } from './processes.mjs';

const root = path.resolve(import.meta.dirname, '../..');

/** Where `setup.mjs` unpacks Debian's packages. */
export const debian = path.join(root, 'target/peers/debian');

const readyWithinSeconds = 20;

/** What an error tells of a server's own words. */
const wordsKept = 2_000;

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
process.on('exit', () => running.forEach((server) => server.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/**
 * @param {string} file in `peers/servers`
 * @returns {(directory: string) => Promise<import('./peer.mjs').Server>}
 */
export function nodeServer(file) {
  return async () => {
    const port = await freePort();
    return startServer(port, process.execPath, [path.join(root, 'benches/peers/servers', file), `${port}`]);
  };
}

/** A port that was free an instant ago; for servers that can't tell which one they took. */
export async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (probe.address());
  probe.close();
  await once(probe, 'close');
  return port;
}

/**
 * Starts a server and waits until it accepts connections.
 * @param {number} port where it was told to listen
 * @param {string} command
 * @param {string[]} args
 * @param {number} [workers] processes that it starts in turn, and may start after it listens
 * @returns {Promise<import('./peer.mjs').Server>}
 */
export async function startServer(port, command, args, workers = 0) {
  const server = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, NODE_ENV: 'production' } });
  const gone = once(server, 'close').catch(() => {});
  running.add(server);
  let words = '';
  server.stderr.setEncoding('utf8').on('data', (text) => { words = (words + text).slice(-wordsKept); });
  let ended = false;
  gone.then(() => {
    ended = true;
    running.delete(server);
  });
  server.on('error', (error) => { words += error.message; });
  const stop = async () => {
    server.kill();
    await gone;
  };
  const pid = server.pid ?? 0;
  const deadline = performance.now() + readyWithinSeconds * 1000;
  while (!await accepts(port) || children(pid).length < workers) {
    if (ended) throw new Error(`${path.basename(command)} ended: ${words.trim()}`);
    if (performance.now() > deadline) {
      await stop();
      throw new Error(`${path.basename(command)} does not listen after ${readyWithinSeconds} s: ${words.trim()}`);
    }
    await pause(10);
  }
  return { url: `ws://127.0.0.1:${port}/`, pids: [pid, ...children(pid)], stop };
}

/** @param {number} port */
async function accepts(port) {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
