/**
 * Supervises the runtime: starts it, starts it again when it ends by itself, gives it other apps, and stops it in
 * order.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { compressAssets, listAssets } from './assets.mjs';
import { isFull, openData, removeEmpty, setAside, temporaryData, writeOver } from './data.mjs';
import { Refused } from './control.mjs';
import { Http2, http2In } from './http2.mjs';
import { descriptorsOf, roomIn } from './descriptors.mjs';
import {
  CONFIG_BYTES, DESCRIPTORS_FEW, EXIT_MS, HAND_ON_MS, LEAVE_STEPS, LOOK_MS, REPORT_MS, RESTART_MAX_MS, RESTART_MIN_MS,
  SOCKET_PATH_MAX, STEADY_MS,
} from './limits.mjs';
import { listen } from './listening.mjs';
import { secretsOf } from './log.mjs';
import { memoryOf } from './memory.mjs';
import { isLoopback, nameOfApps, readApps } from './options.mjs';
import { Runtime, configIn, controlIn } from './runtime.mjs';
import { page, runtimeConfig } from './runtime_config.mjs';
import { checkVariables } from './variables.mjs';

/** The variables of a deployment, besides its apps: see docs/operating.md, docs/push.md and docs/webhooks.md. */
const variables = [
  'ERRORS_URL', 'EVENT_KEY',
  'RELAY_CONNECTIONS', 'RELAY_CONNECTS_PER_SECOND', 'CONNECTION_MESSAGES_PER_SECOND', 'CONNECTION_BYTES_PER_SECOND',
  'RESUME_SECONDS', 'PUSH_CONTACT', 'PUSH_PRIVATE_ADDRESSES', 'WEBHOOK_PRIVATE_ADDRESSES',
];

/** Whose tokens attendees of the demo's event page get. */
const DEMO_EVENT_KEY = 'demo.event';

export class Server {
  #settings;
  #log;
  #data;
  /** Of the configuration and the control socket. */
  #folder = '';
  #assets = listAssets(page);
  /** Directories that go with this process. @type {string[]} */
  #temporary = [];
  #lock = -1;
  /** Of the sockets that clients come to. @type {number[]} */
  #sockets;
  /** @type {() => Promise<unknown>} */
  #closeSockets = async () => {};
  /** @type {Http2 | undefined} */
  #http2;
  /** The environment of the runtime: all that it is told. @type {Record<string, string>} */
  #variables = {};
  /** Apps that the worker has yet to take or to refuse. @type {string | undefined} */
  #appsToGive;
  /** Whether it could not be asked to: it is asked again. */
  #appsWait = false;
  /** One after the other: what was read last is what counts. @type {Promise<void>} */
  #giving = Promise.resolve();
  /** @type {Runtime | undefined} */
  #runtime;
  /** That of sockets which were given is known to the runtime. */
  #port;
  /** Whether there is room for no more connections. */
  #isFull = false;
  /** Whether the worker may have been told of a bound. */
  #isBounded = false;
  /** Whether clients may have come. */
  #serves = false;
  /** @type {Promise<void> | undefined} */
  #stopping;
  #stopped = new AbortController();
  #hastened = new AbortController();
  #onExit = () => {
    this.#runtime?.kill();
    this.#clear();
  };

  /** @param {import('./options.mjs').Settings} settings @param {import('./log.mjs').Log} log */
  constructor(settings, log) {
    this.#settings = settings;
    this.#log = log;
    this.#sockets = settings.descriptors ?? [];
    this.#port = settings.descriptors ? 0 : settings.port;
    if (settings.ephemeral) this.#temporary.push(temporaryData());
    [this.#data = path.resolve(settings.data)] = this.#temporary;
    process.on('exit', this.#onExit);
  }

  /** Starts, and resolves when it serves. Fails when it cannot, and leaves nothing behind. */
  async start() {
    try {
      this.#variables = this.#told();
      this.#lock = await openData(this.#data);
      const removed = removeEmpty(this.#data);
      if (removed > 0) this.#log.say('info', 'files of expired objects removed', { removed });
      this.#folder = this.#makeFolder();
      if (!this.#settings.descriptors) {
        ({ descriptors: this.#sockets, close: this.#closeSockets } = await listen(this.#settings.host, this.#port));
      }
      await this.#run();
      await this.#current.control.checkApps().catch((error) => { throw this.#named(error); });
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#serves = true;
    await this.#giveWaitingApps();
    this.#sayReady();
    const { allowed = Infinity } = await descriptorsOf(Number(this.#current.pid)) ?? {};
    const note = 'a connection takes two: raise the limit of open files';
    if (allowed < DESCRIPTORS_FEW) this.#log.say('warn', 'few descriptors allowed', { allowed, note });
    void this.#supervise();
    void this.#watch();
  }

  get url() {
    const { host, tlsCert } = this.#settings;
    const name = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[host] ?? (host.includes(':') ? `[${host}]` : host);
    return `http${tlsCert ? 's' : ''}://${name}:${this.#port}`;
  }

  get port() {
    return this.#port;
  }

  /** Whether it serves the app whose key is known to all. */
  get isDemo() {
    const { apps, adminToken } = this.#settings;
    return !apps && !adminToken;
  }

  /**
   * Gives the worker its apps anew, and a runtime that is away when it has started again. Connections whose keys did
   * not change go on. Fails when the apps cannot be read, or would be refused at the next start, and then keeps those
   * that there are.
   * @param {string | undefined} [apps] a file, or JSON; the file it was started with, unless it is given
   */
  async reload(apps = this.#settings.apps) {
    if (!apps) return this.#log.say('info', 'no apps to read again');
    const text = readApps(apps);
    this.#log.hide(...secretsOf(text));
    this.#warnOfNone(text);
    // With other apps the demo has no event.
    if (!this.isDemo) checkVariables({ ...this.#variables, APPS: text });
    this.#appsToGive = text;
    await this.#giveApps();
  }

  /** The worker's refusal of its apps, by the name that they have here. @param {Error} error */
  #named({ message }) {
    const name = nameOfApps(this.#settings.apps ?? '{');
    return new Error(message.replace(/^this deployment's APPS can't be read: (apps: )?/, `${name}: `));
  }

  /** @param {'first' | 'again'} [time] the log is told of the first failure */
  #giveApps(time = 'first') {
    this.#appsWait = false;
    this.#giving = this.#giving.catch(() => {}).then(async () => {
      const text = this.#appsToGive;
      if (text === undefined) return;
      const settled = () => { if (this.#appsToGive === text) this.#appsToGive = undefined; };
      try {
        const objects = await this.#current.control.setApps(text, () => {
          this.#variables.APPS = text;
          settled();
        });
        this.#log.say('info', 'apps read again', { objects });
      } catch (error) {
        const { message } = /** @type {Error} */ (error);
        if (error instanceof Refused) {
          settled();
          throw this.#named(error);
        }
        this.#appsWait = true;
        const note = 'they are given to the runtime when it answers';
        if (time === 'first') this.#log.say('warn', 'apps wait', { message, note });
      }
    });
    return this.#giving;
  }

  async #giveWaitingApps() {
    await this.#giveApps('again').catch(({ message }) => this.#log.say('error', 'apps not read', { message }));
  }

  /** Sends all connections away, ends the runtime, and resolves when it is gone. */
  stop() {
    this.#stopping ??= this.#end();
    return this.#stopping;
  }

  /** Ends a stop at once: what is acknowledged is on disk. */
  hasten() {
    this.#hastened.abort();
    this.#runtime?.kill();
  }

  #sayReady() {
    const data = this.#settings.ephemeral ? 'ephemeral' : this.#data;
    this.#log.say('info', 'ready', { url: this.url, data, runtimePid: this.#current.pid });
  }

  get #current() {
    if (!this.#runtime) throw new Error('the server is not running');
    return this.#runtime;
  }

  get #compressed() {
    return path.join(this.#folder, 'page');
  }

  /** As many files of the page as there is room for. */
  #compress() {
    try {
      fs.mkdirSync(this.#compressed, { recursive: true, mode: 0o700 });
      compressAssets(this.#assets, page, this.#compressed);
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#log.say('warn', 'disk full', { path: this.#compressed, note: 'pages are served without compression' });
    }
  }

  #makeTemporary() {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-'));
    this.#temporary.push(folder);
    return folder;
  }

  /**
   * With the data, if the path of a socket may be so long and there is room: what a killed process leaves there is used
   * again.
   */
  #makeFolder() {
    const folder = path.join(this.#data, 'run');
    if (controlIn(folder).length > SOCKET_PATH_MAX) return this.#makeTemporary();
    try {
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
      fs.writeFileSync(configIn(folder), Buffer.alloc(CONFIG_BYTES), { mode: 0o600 });
    } catch (error) {
      if (!isFull(error)) throw error;
      fs.rmSync(folder, { recursive: true, force: true });
      this.#log.say('warn', 'disk full', { path: folder, note: `what a run needs is in ${os.tmpdir()}` });
      return this.#makeTemporary();
    }
    this.#temporary.push(folder);
    return folder;
  }

  /** @returns {Record<string, string>} */
  #told() {
    const { host, trustProxy, apps, adminToken, sandbox, ephemeral } = this.#settings;
    const demo = fs.readFileSync(new URL('./demo.json', import.meta.url), 'utf8');
    /** @type {Record<string, string | undefined>} */
    const told = { ADMIN_TOKEN: adminToken, SANDBOX: sandbox ? 'true' : undefined };
    if (apps) told.APPS = readApps(apps);
    if (this.isDemo) told.APPS = demo.trim();
    if (this.isDemo || ephemeral) told.SHORT_SECRETS = 'true';
    for (const name of variables) told[name] = process.env[name];
    if (this.isDemo) told.EVENT_KEY ??= DEMO_EVENT_KEY;
    // Only who is on this machine can follow it.
    if (this.#port !== 0 && isLoopback(host) && !trustProxy) told.ERRORS_URL ??= `${this.url}/errors#`;
    this.#log.hide(adminToken, ...(told.APPS ? secretsOf(told.APPS) : []));
    const note = 'its key is known to all; give --apps to serve your own';
    if (this.isDemo) this.#log.say('warn', 'demo app', { note });
    this.#warnOfNone(told.APPS);
    const set = Object.entries(told).flatMap(([name, value]) => (value ? [[name, value]] : []));
    const all = Object.fromEntries(set);
    checkVariables(all);
    return all;
  }

  /** Without apps nobody is let in, unless some are made by request. @param {string | undefined} apps */
  #warnOfNone(apps) {
    const { adminToken, sandbox } = this.#settings;
    const isNone = apps !== undefined && (JSON.parse(apps).apps ?? []).length === 0;
    const note = 'nobody can connect: add an app, or give --admin-token to make apps by request';
    if (isNone && !adminToken && !sandbox) this.#log.say('warn', 'no apps', { note });
  }

  /** Whether the operator allows private addresses. @param {string} variable */
  #mayCall(variable) {
    return this.#variables[variable] === 'true';
  }

  /** Starts the runtime, also when its indexes of alarms are damaged: without them it would serve no channel at all. */
  async #run() {
    try {
      await this.#begin();
    } catch (error) {
      if (!/SQLITE_(NOTADB|CORRUPT)/.test(String(error))) throw error;
      this.#log.say('error', 'damaged indexes of alarms put aside', { files: setAside(this.#data) });
      await this.#begin();
    }
  }

  /** What a runtime needs in the folder, also when somebody has emptied it. */
  async #furnish() {
    if (this.#http2 && [this.#compressed, http2In(this.#folder)].every((place) => fs.existsSync(place))) return;
    this.#compress();
    this.#http2?.stop();
    this.#http2 = new Http2(this.#mayCall('PUSH_PRIVATE_ADDRESSES'));
    await this.#http2.listen(this.#folder);
  }

  async #begin() {
    await this.#furnish();
    const config = runtimeConfig({
      ...this.#settings,
      port: this.#port,
      sockets: this.#sockets.length || 1,
      data: this.#data,
      control: controlIn(this.#folder),
      http2: http2In(this.#folder),
      privatePush: this.#mayCall('PUSH_PRIVATE_ADDRESSES'),
      privateReceivers: this.#mayCall('WEBHOOK_PRIVATE_ADDRESSES'),
      variables: Object.keys(this.#variables),
      assets: this.#assets,
      compressed: this.#compressed,
    });
    writeOver(configIn(this.#folder), config);
    this.#runtime = new Runtime(this.#folder, this.#lock, this.#sockets, this.#variables, this.#log);
    await this.#runtime.ready().catch((error) => {
      const [, reason] = error.message.match(/^Socket "public-0": .*?: (.*)$/) ?? [];
      const { host } = this.#settings;
      throw reason ? new Error(`--host ${host} and --port ${this.#port} cannot be had: ${reason}`) : error;
    });
    this.#port = this.#runtime.port;
    this.#isBounded = false;
    await this.#boundConnections();
  }

  /** Until the server is to stop. */
  async #supervise() {
    let wait = RESTART_MIN_MS;
    while (!this.#stopping) {
      const began = Date.now();
      const how = await this.#runtime?.ended;
      if (this.#stopping) return;
      wait = Date.now() - began >= STEADY_MS ? RESTART_MIN_MS : wait;
      this.#log.say('error', 'the runtime ended', { how, startsAgainInMs: wait });
      await pause(wait, undefined, { signal: this.#stopped.signal }).catch(() => {});
      wait = Math.min(wait * 2, RESTART_MAX_MS);
      if (this.#stopping) return;
      try {
        await this.#run();
        await this.#giveWaitingApps();
        this.#sayReady();
      } catch (error) {
        this.#log.say('error', 'the runtime did not start', { message: /** @type {Error} */ (error).message });
      }
    }
  }

  /** Looks at the memory and the descriptors of the runtime. */
  async #watch() {
    while (!this.#stopping) {
      if (this.#appsWait) void this.#giveWaitingApps();
      await this.#boundConnections();
      if (this.#runtime?.pid !== undefined) await this.#boundMemory(this.#runtime.pid);
      await pause(LOOK_MS, undefined, { signal: this.#stopped.signal, ref: false }).catch(() => {});
    }
  }

  /** Says to the worker how many connections may come before the next look, where descriptors may run out by then. */
  async #boundConnections() {
    const { pid, control } = this.#current;
    // Before the look: whoever comes while it lasts is counted twice, and not missed.
    const after = this.#isBounded ? await control.connections().catch(() => undefined) : undefined;
    const descriptors = await descriptorsOf(Number(pid));
    if (!descriptors) return;
    const { room, spare, isTight, isFull } = roomIn(descriptors);
    const note = 'no more connections are let in: raise the limit of open files';
    if (isFull && !this.#isFull) this.#log.say('error', 'few descriptors left', { ...descriptors, note });
    this.#isFull = isFull;
    if (!isTight && !this.#isBounded) return;
    // Told at the next look, too, if it isn't heard now: it may have been heard late.
    this.#isBounded = true;
    try {
      await control.setRoom({ room: isTight ? room : null, spare, after });
      this.#isBounded = isTight;
    } catch {
      // The runtime is busy, or has ended.
    }
  }

  /**
   * Ends a runtime that holds too much: what is acknowledged is on disk, and the next one goes on.
   * @param {number} pid
   */
  async #boundMemory(pid) {
    const taken = await memoryOf(pid);
    if (this.#stopping || pid !== this.#runtime?.pid || taken === undefined || taken <= this.#settings.memory) return;
    this.#log.say('error', 'too much memory', { megabytes: Math.round(taken), allowed: this.#settings.memory });
    this.#runtime.kill();
    await this.#runtime.ended;
  }

  async #end() {
    this.#stopped.abort();
    if (this.#serves) {
      const drainSeconds = this.#settings.descriptors ? undefined : this.#settings.drain;
      this.#log.say('info', 'stopping', { drainSeconds });
      const notAll = (/** @type {Error} */ { message }) => this.#log.say('warn', 'not all were sent away', { message });
      if (drainSeconds === undefined) await this.#handOn().catch(notAll);
      else {
        await this.#sendAway().catch(notAll);
        const notCounted = (/** @type {Error} */ { message }) => this.#log.say('warn', 'last counts lost', { message });
        await this.#current.control.report(REPORT_MS).catch(notCounted);
      }
    }
    await this.#runtime?.stop(EXIT_MS);
    await this.#closeSockets();
    this.#http2?.stop();
    if (this.#serves) this.#log.say('info', 'stopped');
    process.off('exit', this.#onExit);
    if (this.#lock >= 0) fs.closeSync(this.#lock);
    this.#clear();
  }

  /** Also while a runtime that was just killed still writes. */
  #clear() {
    for (const folder of this.#temporary) fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  }

  /**
   * In steps: who is sent away comes back, here or to the process that follows, and not all may come at once. Ends
   * early when nobody is left.
   */
  async #sendAway() {
    const until = Date.now() + this.#settings.drain * 1_000;
    let left = this.#settings.drain === 0 ? 1 : LEAVE_STEPS;
    let most = 0;
    while (left > 0) {
      const objects = await this.#current.control.leave(left, Math.max(until - Date.now(), EXIT_MS));
      most = Math.max(most, objects);
      const rest = until - Date.now();
      // When a step took too long, the next is the last.
      left = rest > 0 ? left - 1 : Math.min(left - 1, 1);
      if (objects === 0) break;
      if (left > 0 && rest > 0) await pause(rest / left, undefined, { signal: this.#hastened.signal });
    }
    this.#log.say('info', 'all were sent away', { objects: most });
  }

  /**
   * All at once, once nobody is let in any more: who is sent away waits, on the sockets that outlive this process, for
   * the one that follows.
   */
  async #handOn() {
    const runtime = this.#current;
    const tooLong = setTimeout(() => runtime.kill(), EXIT_MS);
    try {
      const objects = await runtime.control.handOn(async () => {
        runtime.drain();
        await pause(HAND_ON_MS);
      });
      this.#log.say('info', 'all were sent away', { objects });
    } finally {
      clearTimeout(tooLong);
      runtime.kill();
    }
  }
}
