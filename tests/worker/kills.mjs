/**
 * The other weather of chaos_files.mjs: where KILL_SEED is set, the process of a runtime is ended with SIGKILL again
 * and again, and started on the same storage at once. A front stands before it, as a load balancer would: a request
 * that got no answer is asked again when there is a process to ask. Sockets and streams break, and clients come back.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterEach } from 'node:test';
import { randomFrom } from './trials.mjs';

/** A process lives so long at least, and so much longer at most. */
const LIFE_MS = 500;
const LIFE_MORE_MS = 2_500;
/** The runtime takes fewer bytes than this. */
const maxHeaderSize = 1 << 20;

const seed = process.env.KILL_SEED;
/** The file in which each kill is noted, and each test that had none. */
const notes = process.env.KILL_NOTES;
export const SPARED = 'spared: ';

/** Runtimes are killed by themselves. */
export const isKilling = seed !== undefined;

/**
 * Options of a test that cannot hold while the runtime is killed at any instant; it is skipped then.
 * @param {string} reason
 */
export const unlessKilled = (reason) => ({ skip: isKilling && `the runtime is killed: ${reason}` });

/** The end of the test, until which nothing is killed. @type {PromiseWithResolvers<void> | undefined} */
let held;
/** A client that does not come back by itself spares the runtime for the rest of its test. */
export const cannotComeBack = () => { held ??= Promise.withResolvers(); };
// The runtime's own process runs no tests.
if (isKilling && !process.send) afterEach(({ name }) => {
  if (held && notes) fs.appendFileSync(notes, `${SPARED}${name}: a client of the wire cannot come back\n`);
  held?.resolve();
  held = undefined;
});

/** A stand-in that clients reach instead of the runtime. */
export class Front {
  #server = http.createServer({ maxHeaderSize, keepAliveTimeout: 0, requestTimeout: 0 });
  #random = randomFrom(Number(seed));
  /** The port of the process, once it listens. @type {Promise<number>} */
  #backend = Promise.resolve(0);
  #isUp = (/** @type {number} */ _port) => {};
  /** @type {NodeJS.Timeout | undefined} */
  #next;
  /** Whatever must not be done twice, and is under way. @type {Set<Promise<unknown>>} */
  #changes = new Set();

  /**
   * The process listens now.
   * @param {number} port its own
   * @param {() => Promise<unknown>} restart ends it, in a while, and starts the next
   * @returns {Promise<number>} where clients reach it
   */
  async open(port, restart) {
    if (!this.#server.listening) {
      this.#server.on('request', (asked, response) => this.#request(asked, response).catch(() => response.destroy()));
      this.#server.on('upgrade', (asked, socket, head) => this.#upgrade(asked, /** @type {net.Socket} */ (socket), head));
      this.#server.listen(0, '127.0.0.1').unref();
      await once(this.#server, 'listening');
      this.hold();
    }
    this.#isUp(port);
    this.#next = setTimeout(() => this.#end(restart), LIFE_MS + this.#random() * LIFE_MORE_MS).unref();
    return /** @type {net.AddressInfo} */ (this.#server.address()).port;
  }

  /** @param {() => Promise<unknown>} restart */
  async #end(restart) {
    const backend = this.#backend;
    while (held || this.#changes.size) await (held?.promise ?? Promise.race(this.#changes));
    // The test itself may have ended it meanwhile.
    if (backend !== this.#backend) return;
    await restart();
    if (notes) fs.appendFileSync(notes, '1\n');
  }

  /** Requests wait for the next process. */
  hold() {
    clearTimeout(this.#next);
    this.#backend = new Promise((resolve) => { this.#isUp = resolve; });
  }

  close() {
    this.hold();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
  async #request(request, response) {
    const body = await buffer(request);
    const answer = this.#answer(request, body, response);
    return mayRepeat(request, body) ? answer : this.spare(answer);
  }

  /**
   * The process lives until this is done.
   * @template T
   * @param {Promise<T>} change
   */
  async spare(change) {
    this.#changes.add(change);
    try {
      return await change;
    } finally {
      this.#changes.delete(change);
    }
  }

  /** @param {http.IncomingMessage} request @param {Buffer} body @param {http.ServerResponse} response */
  async #answer(request, body, response) {
    while (!response.destroyed) {
      const backend = this.#backend;
      try {
        return await passOn(await ask(await backend, request, body, response), response);
      } catch {
        if (response.headersSent || isOfSession(request) || backend === this.#backend) response.destroy();
      }
    }
  }

  /** @param {http.IncomingMessage} request @param {net.Socket} client @param {Buffer} head */
  async #upgrade(request, client, head) {
    client.on('error', () => {});
    let [isAnswered, backend] = [false, this.#backend];
    do {
      backend = this.#backend;
      const server = net.connect(await backend, '127.0.0.1');
      server.on('error', () => {});
      const leave = () => server.destroy();
      client.once('close', leave);
      server.write(`${request.method} ${request.url} HTTP/1.1\r\n${headLines(request.rawHeaders)}\r\n`);
      server.write(head);
      server.once('data', (first) => {
        isAnswered = true;
        client.write(first);
        server.pipe(client);
        client.pipe(server);
      });
      await new Promise((resolve) => server.on('close', resolve));
      client.off('close', leave);
    } while (!isAnswered && !client.destroyed && backend !== this.#backend);
    client.destroy();
  }
}

/** Clients of Comet come back by themselves. @param {http.IncomingMessage} request */
const isOfSession = ({ url }) => /^\/comet\/(?!connect)/.test(`${url}`);

/**
 * Messages and annotations with ids are taken once, however often they come.
 * @param {http.IncomingMessage} request
 * @param {Buffer} body
 */
const mayRepeat = ({ method, url }, body) => ['GET', 'HEAD', 'OPTIONS'].includes(`${method}`)
  || /^\/comet\//.test(`${url}`)
  || /\/(?:messages|annotations)(?:\?|$)/.test(`${url}`) && /"id":|\xa2id/.test(body.toString('latin1'));

/** @param {string[]} raw names and values by turns */
const headLines = (raw) => raw.map((text, index) => index % 2 ? `${text}\r\n` : `${text}: `).join('');

/**
 * @param {number} port
 * @param {http.IncomingMessage} request
 * @param {Buffer} body
 * @param {http.ServerResponse} response whose end is the request's
 * @returns {Promise<http.IncomingMessage>}
 */
function ask(port, { method, url, rawHeaders }, body, response) {
  return new Promise((resolve, reject) => {
    const headers = /** @type {any} */ (rawHeaders);
    const asked = http.request({ host: '127.0.0.1', port, method, path: url, headers, agent: false, maxHeaderSize });
    asked.on('response', resolve).on('error', reject).end(body);
    response.once('close', () => asked.destroy());
  });
}

/**
 * An answer that is no stream is passed on when it is whole.
 * @param {http.IncomingMessage} answer
 * @param {http.ServerResponse} response
 */
async function passOn(answer, response) {
  const { statusCode = 0, statusMessage, headers, rawHeaders } = answer;
  const mayStream = /^\/(?:comet\/|event-stream|sse)/.test(`${response.req.url}`);
  const whole = mayStream && headers['content-length'] === undefined ? undefined : await buffer(answer);
  response.writeHead(statusCode, statusMessage, rawHeaders);
  if (whole) return response.end(whole);
  response.flushHeaders();
  await pipeline(answer, response);
}
