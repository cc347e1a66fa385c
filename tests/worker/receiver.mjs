/** A receiver of webhooks on this machine: it checks who sends, keeps what it took, and answers as it is told. */
import crypto from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

/**
 * @typedef {object} Received
 * @property {string} path
 * @property {import('node:http').IncomingHttpHeaders} headers
 * @property {Buffer} body
 * @property {number} status what it was answered; 0 if nothing
 */

/** @typedef {{ status: number, headers?: Record<string, string>, body?: string }} Answer no status: it hangs */

export class Receiver {
  #server;
  #tls;
  /** @type {(() => void)[]} */
  #waiting = [];
  /** Every request, in the order in which they came. @type {Received[]} */
  received = [];
  /** What is answered next, by path; then 200. @type {Map<string, Answer[]>} */
  answers = new Map();
  /** What is answered to all others. @type {Answer} */
  usual = { status: 200 };
  #port = 0;

  /** @param {{ cert: Buffer, key: Buffer }} [tls] for localhost */
  constructor(tls) {
    const take = (/** @type {http.IncomingMessage} */ request, /** @type {http.ServerResponse} */ response) =>
      void this.#take(request, response);
    this.#tls = tls;
    this.#server = tls ? https.createServer(tls, take) : http.createServer(take);
  }

  /** @param {{ after: (end: () => unknown) => void }} scope @param {ConstructorParameters<typeof Receiver>[0]} [tls] */
  static async start(scope, tls) {
    const receiver = new Receiver(tls);
    await receiver.open();
    scope.after(() => receiver.close());
    return receiver;
  }

  /** Again on the same port, after `close`. */
  async open() {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port;
  }

  async close() {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  /** @param {string} path */
  url(path) {
    return `${this.#tls ? 'https://localhost' : 'http://127.0.0.1'}:${this.#port}${path}`;
  }

  /** All items of batches that were taken at a path, in their order. @param {string} [path] @returns {any[]} */
  items(path) {
    const taken = this.received.filter((request) => request.status === 200 && (!path || request.path === path));
    return taken.flatMap(({ body }) => JSON.parse(body.toString()).items);
  }

  /** The data of all messages that were taken. @param {string} [path] @returns {unknown[]} */
  data(path) {
    return this.items(path).flatMap((item) => item.data.messages ?? []).map((message) => message.data);
  }

  /** Resolves when this is so. @param {() => unknown} isSo */
  async until(isSo) {
    while (!isSo()) await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
  }

  /** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const [path, body] = [request.url ?? '', Buffer.concat(chunks)];
    const answer = this.answers.get(path)?.shift() ?? this.usual;
    this.received.push({ path, headers: request.headers, body, status: answer.status });
    if (answer.status) response.writeHead(answer.status, answer.headers).end(answer.body);
    this.#waiting.splice(0).forEach((wake) => wake());
  }
}

/** Whether a body is signed with the secret. @param {Received} received @param {string} secret */
export function isSigned({ headers, body }, secret) {
  const signature = Buffer.from(String(headers['x-ably-signature']), 'base64');
  return crypto.timingSafeEqual(signature, crypto.createHmac('sha256', secret).update(body).digest());
}
