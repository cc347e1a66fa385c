/** `courtside serve` as a process of its own, for tests: started, heard, signalled, and ended as a power cut would. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

export const command = path.resolve(import.meta.dirname, '../../bin/courtside.mjs');

/** As behind a proxy, with the apps of the demo: they must be given there, and their secrets may be short for once. */
export const behindProxy = [
  '--trust-proxy', '--ephemeral', '--apps', path.resolve(import.meta.dirname, '../../bin/demo.json'),
];

/** @typedef {{ time: string, level: string, event: string } & Record<string, any>} Line */

/** A directory that goes with the test. @param {{ after: (end: () => void) => void }} scope */
export function folder(scope) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-test-'));
  scope.after(() => fs.rmSync(made, { recursive: true, force: true, maxRetries: 10 }));
  return made;
}

/** A file system of its own, of this size. @param {{ after: (end: () => void) => void }} t @param {string} size */
export function smallDisk(t, size) {
  const point = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', point]).status === 0;
  t.after(() => {
    // It goes when the last process is gone that uses it.
    if (mounted) spawnSync('umount', ['-l', point]);
    fs.rmdirSync(point);
  });
  return mounted ? point : undefined;
}

/** Takes what is left of a disk, but for so many KB. @param {string} file @param {number} [left] */
export function fill(file, left = 0) {
  const piece = Buffer.alloc(4_096);
  const descriptor = fs.openSync(file, 'w');
  try {
    for (;;) fs.writeSync(descriptor, piece);
  } catch {
    fs.ftruncateSync(descriptor, fs.fstatSync(descriptor).size - left * 1_024);
    fs.closeSync(descriptor);
  }
}

/** Makes a certificate of localhost, which vouches for itself, and its key. @param {string} where a directory */
export function certify(where) {
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => path.join(where, name));
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=CA:FALSE'];
  execFileSync('openssl', ['req', '-x509', ...curve, '-nodes', '-days', '1', ...name, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return { cert, key };
}

/**
 * Runs the command to its end. @param {string[]} args @param {Record<string, string>} [environment]
 * @returns {Promise<{ code: number | null, output: string }>}
 */
export async function run(args, environment = {}) {
  const child = spawn(process.execPath, [command, ...args], { env: { ...process.env, ...environment } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => { output += text; });
  }
  const [code] = await once(child, 'close');
  return { code, output };
}

/** Says to what follows that so many sockets are given to it. @param {number} count */
const activated = (count) => ['sh', '-c', `LISTEN_PID=$$ LISTEN_FDS=${count} exec "$0" "$@"`];

export class Served {
  /** @type {Line[]} */
  lines = [];
  /** All that it has printed; tests look for what must not be in a log. */
  log = '';
  /** @type {(() => void)[]} */
  #watchers = [];
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;
  #args;
  #environment;
  #wrapper;
  #sockets;

  /**
   * @param {string} data
   * @param {{
   *   args?: string[], environment?: Record<string, string>, wrapper?: string[], sockets?: number[]
   * }} [options] `wrapper` is what runs the command; `sockets` are given to it as systemd does
   */
  constructor(data, { args = [], environment = {}, wrapper = [], sockets = [] } = {}) {
    this.data = data;
    this.#args = args;
    this.#environment = environment;
    this.#wrapper = sockets.length > 0 ? [...activated(sockets.length), ...wrapper] : wrapper;
    this.#sockets = sockets;
    this.port = 0;
  }

  /**
   * Starts, and is stopped with the test.
   * @template {Served} T
   * @this {new (...options: ConstructorParameters<typeof Served>) => T}
   * @param {{ after: (end: () => any) => void }} t
   * @param {ConstructorParameters<typeof Served>[1]} [options]
   * @returns {Promise<T>}
   */
  static async start(t, options) {
    /** @type {T | undefined} */
    let served;
    // What is registered first is done first: it ends before its files go.
    t.after(() => served?.end());
    served = new this(path.join(folder(t), 'data'), options);
    await served.start();
    return served;
  }

  /** After `kill` or `stop`: starts again on the same storage and port. */
  async start() {
    const args = [command, 'serve', '--data', this.data, '--port', String(this.port), '--drain', '0', ...this.#args];
    const [file, ...rest] = [...this.#wrapper, process.execPath, ...args];
    const environment = { ...process.env, ...this.#environment };
    const stdio = /** @type {['ignore', 'pipe', 'pipe']} */ (['ignore', 'pipe', 'pipe', ...this.#sockets]);
    const child = spawn(file, rest, { detached: true, env: environment, stdio });
    this.#child = child;
    const from = this.lines.length;
    child.stderr.setEncoding('utf8').on('data', (text) => { this.log += text; });
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      this.log += `${line}\n`;
      this.lines.push(JSON.parse(line));
      this.#watchers.forEach((watch) => watch());
    });
    const ended = once(child, 'close').then(() => { throw new Error(`it ended:\n${this.log}`); });
    await Promise.race([this.heard('ready', from), ended]);
    ended.catch(() => {});
  }

  get url() {
    return this.lines.findLast(({ event }) => event === 'ready')?.url;
  }

  /** What the `ably` SDK needs to find it. */
  get clientOptions() {
    return { endpoint: '127.0.0.1', port: this.port, tls: false };
  }

  get pid() {
    return /** @type {number} */ (this.#child?.pid);
  }

  /** The process of the runtime itself. @returns {number} */
  get runtimePid() {
    return this.lines.findLast(({ event }) => event === 'ready')?.runtimePid;
  }

  /**
   * The first line of this event from one on, once it is there.
   * @param {string} event
   * @param {number} [from]
   * @returns {Promise<Line>}
   */
  async heard(event, from = 0) {
    for (;;) {
      const found = this.lines.slice(from).find((line) => line.event === event);
      if (found) {
        if (event === 'ready') this.port = Number(new URL(found.url).port);
        return found;
      }
      await new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
        const watch = () => {
          this.#watchers = this.#watchers.filter((other) => other !== watch);
          resolve();
        };
        this.#watchers.push(watch);
      });
    }
  }

  /** Reads no more of its log, as a collector of logs that has ended. */
  deafen() {
    this.#child?.stdout?.destroy();
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    process.kill(this.pid, signal);
  }

  /** Ends it in order. @returns {Promise<number | null>} its exit status */
  async stop() {
    const closed = this.closed();
    this.signal('SIGTERM');
    return closed;
  }

  /** Waits until it has ended. @returns {Promise<number | null>} its exit status */
  async closed() {
    const [code] = await once(/** @type {any} */ (this.#child), 'close');
    return code;
  }

  /** Ends all of it as `kill -9` does, with no chance to finish anything. */
  async kill() {
    // This socket closes when the runtime itself is gone, which outlives its parent by an instant.
    const witness = net.connect(this.port, '127.0.0.1');
    await once(witness, 'connect');
    const closed = new Promise((resolve) => witness.on('error', () => {}).on('close', resolve));
    const gone = Promise.all([once(/** @type {any} */ (this.#child), 'close'), closed]);
    process.kill(-this.pid, 'SIGKILL');
    await gone;
  }

  /** Ends it, if it runs. */
  async end() {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    process.kill(-this.pid, 'SIGKILL');
    await once(child, 'close');
  }
}
