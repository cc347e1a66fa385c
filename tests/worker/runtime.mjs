/**
 * The built worker in the real runtime, for tests: what wrangler.toml says, on a free port of this machine.
 *
 * The runtime runs in a child process that leads a process group of its own, so that a test can end it as a power cut
 * would (`kill`) and start another on the same storage.
 */
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { evictAtRandom, isEvicting } from './evictions.mjs';
import { Front, isKilling } from './kills.mjs';

const root = path.resolve(import.meta.dirname, '../..');

/** The demo app of `npm start`. */
export const demoApps = JSON.parse(fs.readFileSync(path.join(root, 'bin/demo.json'), 'utf8'));

/**
 * Modules that stand before the built worker, the entry first; what the deployment is told besides its apps; where
 * requests come from; whether what it prints is not printed here; and, where objects lose their memory at random,
 * whether they tell before what they have counted.
 * @typedef {{
 *   inFront?: string[], variables?: Record<string, string>, cf?: Record<string, unknown>, isQuiet?: boolean,
 *   tellsCounts?: boolean
 * }} RuntimeOptions
 */

/**
 * Starts the worker on storage of its own. `stop` it when the test is over.
 * @param {object | null} [apps] the APPS secret; null leaves it unset
 * @param {RuntimeOptions} [options]
 */
export async function startRuntime(apps = demoApps, options = {}) {
  const runtime = new Runtime(apps, fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-')), options);
  await runtime.start();
  return runtime;
}

export class Runtime {
  /** @type {import('node:child_process').ChildProcess} */
  #child;
  #calls = 0;
  /** The port of the process itself; 0 before it first listens. */
  #ownPort = 0;
  /** A front that clients reach instead, where runtimes are killed by themselves. */
  #front;
  /** The next process is there, when one ended by itself. */
  #back = /** @type {Promise<unknown>} */ (Promise.resolve());
  /** Where it listens, such as `http://127.0.0.1:40123`; the same after `kill` and `start`. */
  url = 'http://127.0.0.1:0';
  /** All that it has printed; tests look for what must not be in a log. */
  log = '';

  /**
   * @param {object | null} apps
   * @param {string} storage
   * @param {RuntimeOptions} [options]
   */
  constructor(apps, storage, { inFront = [], variables = {}, cf, isQuiet = false, tellsCounts = false } = {}) {
    this.isQuiet = isQuiet;
    this.tellsCounts = tellsCounts;
    this.inFront = inFront;
    this.apps = apps;
    this.storage = storage;
    this.variables = variables;
    this.cf = cf;
    this.#front = isKilling ? new Front() : undefined;
    this.#child = this.#fork();
  }

  #fork() {
    const child = fork(import.meta.filename, { detached: true, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        this.log += text;
        if (!this.isQuiet) process.stderr.write(text);
      });
    }
    return child;
  }

  /** After `kill`: starts again on the same storage and port, where clients that reconnect will look. */
  async start() {
    if (!this.#child.connected) this.#child = this.#fork();
    const child = this.#child;
    const { apps, storage, inFront, cf, tellsCounts } = this;
    const variables = apps === demoApps ? { EVENT_KEY: 'demo.event', ...this.variables } : this.variables;
    const url = await this.#call('start', { apps, storage, inFront, variables, cf, port: this.#ownPort, tellsCounts });
    this.#ownPort = Number(new URL(url).port);
    this.url = this.#front ? `http://127.0.0.1:${await this.#front.open(this.#ownPort, () => this.#restart())}` : url;
    if (isEvicting) void evictAtRandom(() => this.#evictAll(child));
  }

  /** The runtime is killed, and is there again. */
  async #restart() {
    this.#front?.hold();
    this.#back = this.#call('restart', {}).then(() => this.#front?.open(this.#ownPort, () => this.#restart()));
    await this.#back;
  }

  /** What the `ably` SDK needs to find this runtime. */
  get clientOptions() {
    return { endpoint: '127.0.0.1', port: this.port, tls: false };
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  /**
   * Evicts one object by name, or every object of the class: its memory goes, as after ten idle seconds on the
   * platform. It is back with the next event.
   * @param {'Channel' | 'Relay' | 'App'} className
   * @param {string} [name]
   * @param {'hibernate' | 'close'} [webSockets] whether its sockets stay open
   * @returns {Promise<number>} how many objects were evicted: those that were running
   */
  async evict(className, name, webSockets = 'hibernate') {
    const evicted = await this.#evict({ className, name, webSockets });
    // What lost its memory by itself just before has lost it.
    return isEvicting || isKilling ? Math.max(evicted, 1) : evicted;
  }

  /**
   * Evicts one object with its sockets. One that lost its memory by itself just before still has them: it is woken.
   * @param {'Channel' | 'Relay'} className
   * @param {string} name
   * @param {() => Promise<unknown>} wake
   */
  async cut(className, name, wake) {
    while (await this.#evict({ className, name, webSockets: 'close' }) === 0 && isEvicting) await wake();
  }

  /**
   * @param {{ className: string, name?: string, webSockets: 'hibernate' | 'close' }} values
   * @returns {Promise<number>}
   */
  async #evict(values) {
    await this.#back;
    const evicting = this.#call('evict', values);
    return this.#front?.spare(evicting) ?? evicting;
  }

  /**
   * Answers how many have lost their memory since it asked last.
   * @param {import('node:child_process').ChildProcess} child the one that is asked, until another takes its place
   */
  async #evictAll(child) {
    if (child !== this.#child) throw new Error('the runtime ended');
    return this.#call('evictAll', {});
  }

  /** The process of the runtime itself, for those who measure it (Linux only). */
  async workerdPid() {
    const parent = this.#child.pid;
    const children = fs.readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ');
    return children.map(Number).find((pid) => fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'workerd');
  }

  /** Ends the runtime in order and removes its storage. */
  async stop() {
    await this.#back;
    this.#front?.close();
    if (this.#child.connected) {
      this.#child.disconnect();
      await once(this.#child, 'exit');
    }
    fs.rmSync(this.storage, { recursive: true });
  }

  /** Ends the runtime as `kill -9` does, with no chance to finish anything. Its storage stays, for `start`. */
  async kill() {
    await this.#back;
    this.#front?.hold();
    // This socket closes when the runtime itself is gone, which outlives its parent by an instant.
    const witness = net.connect(this.#ownPort, '127.0.0.1');
    await once(witness, 'connect');
    const closed = new Promise((resolve) => witness.on('error', () => {}).on('close', resolve));
    const gone = Promise.all([once(this.#child, 'exit'), once(this.#child, 'disconnect'), closed]);
    process.kill(-/** @type {number} */ (this.#child.pid), 'SIGKILL');
    await gone;
  }

  /** @param {keyof typeof commands} command @param {object} values @returns {Promise<any>} */
  async #call(command, values) {
    const id = this.#calls++;
    return new Promise((resolve, reject) => {
      this.#child.send({ id, command, values }, (error) => { if (error) reject(new Error('the runtime ended')); });
      const leave = () => reject(new Error('the runtime ended'));
      const listen = (/** @type {any} */ answer) => {
        if (answer.id !== id) return;
        this.#child.off('message', listen).off('exit', leave);
        if (answer.error) reject(new Error(answer.error));
        else resolve(answer.result);
      };
      this.#child.on('message', listen).once('exit', leave);
    });
  }
}

/** A module that stands before the built worker. @param {string} file @param {string} [contents] */
function moduleOf(file, contents = fs.readFileSync(file, 'utf8')) {
  return { type: /** @type {const} */ ('ESModule'), path: path.join(root, 'build', path.basename(file)), contents };
}

/** Before an entry: its objects are soon idle. @param {string} entry */
function evictableAt(entry) {
  const from = `'./${path.basename(entry)}'`;
  const contents = `import { evictable } from './idle.mjs'; import * as built from ${from}; export * from ${from};
    export const [App, Channel, Relay] = [built.App, built.Channel, built.Relay].map(evictable); export { default } from ${from};`;
  return [moduleOf('evictable.mjs', contents), moduleOf(path.join(import.meta.dirname, 'entries/idle.mjs'))];
}

// The child: holds the runtime, does what it is told, and ends with its parent.

/**
 * What wrangler.toml says. To load wrangler, which reads it, is most of the work of a start, so it is written down for
 * all runtimes that have the same file and the same wrangler.
 */
async function readWorkerOptions() {
  const [toml, lock] = ['wrangler.toml', 'package-lock.json'].map((file) => fs.readFileSync(path.join(root, file)));
  const key = createHash('sha256').update(root).update(toml).update(lock).digest('hex').slice(0, 16);
  const file = path.join(root, 'target', `worker-options-${key}.json`);
  if (fs.existsSync(file)) return JSON.parse(fs.readFileSync(file, 'utf8'));
  const { unstable_getMiniflareWorkerOptions } = await import('wrangler');
  const { workerOptions } = unstable_getMiniflareWorkerOptions(path.join(root, 'wrangler.toml'));
  // Others read it meanwhile: it is there as a whole, or not yet.
  fs.writeFileSync(`${file}.${process.pid}`, JSON.stringify(workerOptions));
  fs.renameSync(`${file}.${process.pid}`, file);
  return workerOptions;
}

/** @type {import('miniflare').Miniflare} */
let miniflare;
/** @type {import('miniflare').MiniflareOptions} */
let miniflareOptions;

const commands = {
  /**
   * @param {{
   *   apps: object | null, storage: string, inFront: string[], variables: Record<string, string>,
   *   cf?: Record<string, unknown>, port: number, tellsCounts: boolean
   * }} options
   */
  async start({ apps, storage, inFront, variables, cf, port, tellsCounts }) {
    const { Miniflare, Log, LogLevel, convertV4MiniflareOptions } = await import('miniflare');
    miniflareOptions = convertV4MiniflareOptions({
      ...await readWorkerOptions(),
      name: 'courtside',
      modulesRoot: path.join(root, 'build'),
      modules: [
        ...(isEvicting && !tellsCounts ? evictableAt(inFront[0] ?? 'index.js') : []),
        ...inFront.map((file) => moduleOf(file)),
        { type: 'ESModule', path: path.join(root, 'build/index.js') },
        { type: 'CompiledWasm', path: path.join(root, 'build/index_bg.wasm') },
      ],
      // Demo secrets are short, as those of `npm start`.
      bindings: { SHORT_SECRETS: 'true', ...variables, ...(apps ? { APPS: JSON.stringify(apps) } : {}) },
      host: '127.0.0.1',
      port,
      cf: cf ?? {},
      log: new Log(LogLevel.ERROR),
      resourcePersistencePath: storage,
    });
    miniflare = new Miniflare(miniflareOptions);
    const { origin, port: ownPort } = await miniflare.ready;
    miniflareOptions.port = Number(ownPort);
    return origin;
  },

  /** Miniflare ends a runtime with SIGKILL before it starts one with other options, and these are the same. */
  async restart() {
    await miniflare.setOptions(miniflareOptions);
  },

  /** @param {{ className: string, name?: string, webSockets: 'hibernate' | 'close' }} values */
  async evict({ className, name, webSockets }) {
    const objects = name === undefined
      ? (await miniflare.listDurableObjectIds(className)).map((id) => ({ id }))
      : [{ name }];
    let evicted = 0;
    for (const object of objects) {
      try {
        await miniflare.unsafeEvictDurableObject('courtside', className, { ...object, webSockets });
        evicted++;
      } catch (error) {
        if (!String(error).includes('not currently running')) throw error;
      }
    }
    return evicted;
  },

  /** Every object loses its memory when it is idle next. Answers how many have, since it was asked last. */
  async evictAll() {
    for (const className of ['App', 'Relay', 'Channel']) {
      for (const id of await miniflare.listDurableObjectIds(className)) {
        const key = `${className} ${id}`;
        if (evicting.has(key)) continue;
        evicting.add(key);
        miniflare.unsafeEvictDurableObject('courtside', className, { id, webSockets: 'hibernate' })
          .then(() => { evicted++; }, (error) => {
            if (!/not currently running|active references|disposed instance/.test(String(error))) process.stderr.write(`${error}\n`);
          })
          .finally(() => evicting.delete(key));
      }
    }
    const count = evicted;
    evicted = 0;
    return count;
  },
};

/** Objects that will lose their memory when they are idle. @type {Set<string>} */
const evicting = new Set();
let evicted = 0;

if (process.send && process.argv[1] === import.meta.filename) {
  // Nobody hears the answer of a call that was under way when the parent left.
  const answer = (/** @type {object} */ message) => process.connected && process.send?.(message, () => {});
  process.on('message', async (/** @type {{ id: number, command: keyof typeof commands, values: any }} */ call) => {
    try {
      answer({ id: call.id, result: await commands[call.command](call.values) });
    } catch (error) {
      answer({ id: call.id, error: /** @type {Error} */ (error).message });
    }
  });
  process.on('disconnect', async () => {
    await miniflare?.dispose();
    process.exit();
  });
}
