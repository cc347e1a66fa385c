/** The command line against a server, for tests: what it says, apart by where it says it, and what it ends with. */
import { spawn } from 'node:child_process';
import { Served, command } from './served.mjs';

export const adminToken = 'admin-token-of-these-tests';
export const key = 'demo.key1:secret-of-these-tests';

/** Whose tokens cannot be revoked. */
export const plainKey = 'demo.key2:another-secret-of-these';

const capability = { '*': ['*'], '[*]*': ['*'] };
const apps = { apps: [{
  id: 'demo',
  keys: [
    { name: 'key1', secret: 'secret-of-these-tests', capability, revocableTokens: true },
    { name: 'key2', secret: 'another-secret-of-these', capability },
  ],
  namespaces: [
    { id: 'conflated', conflationEnabled: true, conflationInterval: 500, conflationKey: '#{message.name}' },
    { id: 'persisted', persisted: true },
  ],
}] };

/** A server for a file of tests. @param {{ after: (end: () => unknown) => void }} scope */
export async function serve(scope) {
  const args = ['--apps', JSON.stringify(apps), '--admin-token', adminToken];
  return Served.start(scope, { args });
}

/** What tells a command where its server is. @param {Served} served */
export const surroundings = ({ url }) =>
  ({ COURTSIDE_URL: url, COURTSIDE_KEY: key, COURTSIDE_ADMIN_TOKEN: adminToken });

/** A command that runs. */
export class Running {
  out = '';
  err = '';
  /** @type {(() => void)[]} */
  #watchers = [];

  /** @param {string[]} args @param {Record<string, string>} environment */
  constructor(args, environment) {
    this.child = spawn(process.execPath, [command, ...args], { env: { ...process.env, ...environment } });
    const heard = () => this.#watchers.splice(0).forEach((watch) => watch());
    this.child.stdout.setEncoding('utf8').on('data', (text) => { this.out += text; heard(); });
    this.child.stderr.setEncoding('utf8').on('data', (text) => { this.err += text; heard(); });
    this.ended = new Promise((/** @type {(code: number | null) => void} */ resolve) => {
      this.child.on('close', (code) => { resolve(code); heard(); });
    });
    this.child.stdin.on('error', () => {});
  }

  /** Until it has printed this. @param {RegExp} what */
  async printed(what) {
    while (!what.test(this.out + this.err)) {
      if (this.child.exitCode !== null) throw new Error(`it ended without ${what}: ${this.out}${this.err}`);
      await new Promise((/** @type {(value?: unknown) => void} */ resolve) => { this.#watchers.push(resolve); });
    }
  }
}

/**
 * Runs a command to its end.
 * @param {string[]} args
 * @param {Record<string, string>} [environment]
 * @param {string} [input]
 */
export async function cli(args, environment = {}, input = '') {
  const running = new Running(args, environment);
  running.child.stdin.end(input);
  const code = await running.ended;
  return { code, out: running.out, err: running.err };
}
