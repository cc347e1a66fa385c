/** The load generator: built by cargo, run as a process of its own, its one line of JSON read. */
import { execFile, spawnSync } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const root = path.resolve(import.meta.dirname, '../..');
const targetDirectory = path.join(root, 'target/load');
const program = path.join(targetDirectory, 'release/courtside-load');

/**
 * Seconds that the generator may take beyond the load itself. It has deadlines of its own; this is for one that hangs.
 */
const graceSeconds = 300;

export function buildLoad() {
  const { status } = spawnSync('cargo', ['build', '--release', '--locked', '--quiet',
    '--manifest-path', path.join(root, 'benches/load/Cargo.toml'), '--target-dir', targetDirectory], { stdio: 'inherit' });
  if (status !== 0) throw new Error('the load generator did not build');
}

/**
 * Loads a server. Fails when the generator can't reach it, or when messages were lost, repeated or out of order.
 * @param {string} scenario
 * @param {import('./peer.mjs').Server} server
 * @param {string} dialect
 * @param {string[]} options
 * @param {number} seconds how long the load itself lasts
 * @returns {Promise<any>} the generator's report
 */
export async function runLoad(scenario, server, dialect, options, seconds) {
  const pids = server.pids.flatMap((pid) => ['--server-pid', String(pid)]);
  const asked = [scenario, '--url', server.url, '--dialect', dialect, ...pids, ...options];
  try {
    const { stdout } = await promisify(execFile)(program, asked, { timeout: (seconds + graceSeconds) * 1000, killSignal: 'SIGKILL' });
    return JSON.parse(stdout);
  } catch (error) {
    throw new Error(reason(/** @type {any} */ (error)));
  }
}

/** @param {{ stdout?: string, stderr?: string, message: string }} failure */
function reason({ stdout, stderr, message }) {
  if (stdout) return JSON.parse(stdout).violations.join('; ');
  return stderr?.trim() || message;
}
