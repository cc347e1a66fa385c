/** One run of the runtime: from its start until it ends, however it ends. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
// @ts-expect-error It has no types; what it exports is the path of its binary.
import workerd from 'workerd';
import { Control } from './control.mjs';
import { START_MS } from './limits.mjs';
import { publicSocket } from './runtime_config.mjs';

/** The runtime ends with the process that started it, where the kernel can see to that. */
const prefix = process.platform === 'linux' && !spawnSync('setpriv', ['--version']).error
  ? ['setpriv', '--pdeathsig', 'KILL', '--']
  : [];

/** Whom it trusts when it calls others, where the environment says so and not the system. */
const authorities = Object.fromEntries(['SSL_CERT_FILE', 'SSL_CERT_DIR'].flatMap((name) => {
  const { [name]: set } = process.env;
  return set ? [[name, set]] : [];
}));

/** Descriptors of the runtime: three that every process has, that of its reports, the lock, and these. */
const FIRST_SOCKET = 5;

export class Runtime {
  /** Where it listens. */
  port = 0;
  /** What it printed last: why it ended, if it did before it listened. */
  #last = '';
  #names;
  #child;

  /**
   * @param {string} folder where its configuration is
   * @param {number} lock the descriptor that holds the lock of the data: the runtime has it open, too
   * @param {number[]} sockets the descriptors that it listens on; without any it opens its own
   * @param {Record<string, string>} variables
   * @param {import('./log.mjs').Log} log
   */
  constructor(folder, lock, sockets, variables, log) {
    const file = configIn(folder);
    const socket = controlIn(folder);
    fs.rmSync(socket, { force: true });
    // `--import-path /`: a path in the configuration begins at the root of the file system.
    const inherited = sockets.flatMap((_, index) => ['--socket-fd', `${publicSocket(index)}=${FIRST_SOCKET + index}`]);
    const [command, ...args] = [...prefix, workerd.default,
      'serve', '--experimental', '--import-path', '/', '--control-fd', '3', ...inherited, file];
    // A group of its own: Ctrl-C is for its supervisor, which ends it in order.
    const stdio = /** @type {import('node:child_process').StdioOptions} */ (
      ['ignore', 'pipe', 'pipe', 'pipe', lock, ...sockets]);
    this.#names = ['control', ...(sockets.length > 0 ? sockets : [0]).map((_, index) => publicSocket(index))];
    this.#child = spawn(command, args, { detached: true, stdio, env: { ...authorities, ...variables } });
    this.control = new Control(socket);
    this.ended = this.#end();
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream) readline.createInterface({ input: stream }).on('line', (line) => this.#printed(line, log));
    }
  }

  get pid() {
    return this.#child.pid;
  }

  /** Resolves when it listens. Fails when it ended before, or takes too long. */
  async ready() {
    const input = /** @type {import('node:stream').Readable} */ (this.#child.stdio[3]);
    const reports = readline.createInterface({ input });
    const listens = new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
      const waiting = new Set(this.#names);
      reports.on('line', (line) => {
        const { event, socket, port } = JSON.parse(line);
        if (event !== 'listen') return;
        if (socket === publicSocket(0)) this.port = port;
        waiting.delete(socket);
        if (waiting.size === 0) resolve();
      });
    });
    const ended = this.ended.then((how) => { throw new Error(this.#last || `the runtime ended: ${how}`); });
    await within(Promise.race([listens, ended]), START_MS, () => this.kill());
  }

  /** Has it take no more connections. It ends when those that there are have ended. */
  drain() {
    this.#child.kill('SIGTERM');
  }

  /** Asks it to finish what is in flight and to end. @param {number} ms after which it is ended */
  async stop(ms) {
    this.drain();
    await within(this.ended, ms, () => this.kill());
    await this.ended;
  }

  kill() {
    this.#child.kill('SIGKILL');
  }

  /** @returns {Promise<string>} how it ended */
  async #end() {
    try {
      const [code, signal] = await once(this.#child, 'exit');
      return signal ?? `exit status ${code}`;
    } catch (error) {
      return /** @type {Error} */ (error).message;
    }
  }

  /** @param {string} line @param {import('./log.mjs').Log} log */
  #printed(line, log) {
    let said;
    try {
      said = JSON.parse(line);
    } catch {
      said = { level: 'error', message: line };
    }
    const message = String(said.message ?? line);
    this.#last = message;
    const level = said.level === 'warn' || said.level === 'error' ? said.level : 'info';
    const { event, ...fields } = fieldsIn(message) ?? { event: 'runtime', message };
    log.sayOften(level, event ?? 'audit', fields);
  }
}

/**
 * The object that the worker printed: a request that failed, which is an event by name, or the note of an operator.
 * @param {string} message
 * @returns {{ event?: string } & Record<string, unknown> | undefined}
 */
function fieldsIn(message) {
  if (!message.startsWith('{"')) return undefined;
  try {
    return JSON.parse(message);
  } catch {
    return undefined;
  }
}

/** @param {string} folder */
export const configIn = (folder) => path.join(folder, 'courtside.capnp');

/** @param {string} folder */
export const controlIn = (folder) => path.join(folder, 'control');

/**
 * @param {Promise<unknown>} what
 * @param {number} ms
 * @param {() => void} otherwise
 */
async function within(what, ms, otherwise) {
  const timer = setTimeout(otherwise, ms);
  try {
    await what;
  } finally {
    clearTimeout(timer);
  }
}
