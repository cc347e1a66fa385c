/** A push service on this machine, as a browser subscribes with one: it checks who sends, and reads what comes. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';

/**
 * @typedef {object} Received
 * @property {string} path whose subscription it is
 * @property {any} message
 * @property {import('node:http').IncomingHttpHeaders} headers
 */

/** A browser's subscription: the keys that its service worker has. */
export class Subscription {
  #ecdh = crypto.createECDH('prime256v1');
  #auth = crypto.randomBytes(16);

  /** @param {string} endpoint */
  constructor(endpoint) {
    this.endpoint = endpoint;
    this.#ecdh.generateKeys();
  }

  /** As `ably`'s plugin sends it. @param {string} publicVapidKey */
  recipient(publicVapidKey) {
    return {
      transportType: 'web',
      targetUrl: Buffer.from(this.endpoint).toString('base64'),
      publicVapidKey,
      encryptionKey: { p256dh: this.#ecdh.getPublicKey('base64'), auth: this.#auth.toString('base64') },
    };
  }

  /** As `PushSubscription` has them. */
  get keys() {
    return { p256dh: this.#ecdh.getPublicKey('base64'), auth: this.#auth.toString('base64') };
  }

  /** What a body says (RFC 8291). @param {Buffer} body */
  read(body) {
    const [salt, length] = [body.subarray(0, 16), body[20] ?? 0];
    assert.equal(body.readUInt32BE(16), 4096);
    const [sender, sealed] = [body.subarray(21, 21 + length), body.subarray(21 + length)];
    const shared = this.#ecdh.computeSecret(sender);
    const info = Buffer.concat([Buffer.from('WebPush: info\0'), this.#ecdh.getPublicKey(), sender]);
    const material = Buffer.from(crypto.hkdfSync('sha256', shared, this.#auth, info, 32));
    const derive = (/** @type {string} */ name, /** @type {number} */ bytes) =>
      Buffer.from(crypto.hkdfSync('sha256', material, salt, `Content-Encoding: ${name}\0`, bytes));
    const decipher = crypto.createDecipheriv('aes-128-gcm', derive('aes128gcm', 16), derive('nonce', 12));
    decipher.setAuthTag(sealed.subarray(-16));
    const plain = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
    assert.equal(plain.at(-1), 2, 'the last record');
    return JSON.parse(plain.subarray(0, -1).toString());
  }
}

export class PushService {
  /** @type {Map<string, Subscription>} */
  #subscriptions = new Map();
  #server = http.createServer((request, response) => void this.#take(request, response));
  /** @type {(() => void)[]} */
  #waiting = [];
  /** @type {Received[]} */
  received = [];
  /**
   * What is answered next, by path; 201 without.
   * @type {Map<string, { status: number, headers?: Record<string, string> }[]>}
   */
  answers = new Map();
  /** What went wrong here, which a sender would not say. @type {unknown[]} */
  faults = [];

  /** @param {{ after: (end: () => unknown) => void }} scope */
  static async start(scope) {
    const service = new PushService();
    service.#server.listen(0, '127.0.0.1');
    await once(service.#server, 'listening');
    scope.after(() => {
      service.#server.closeAllConnections();
      service.#server.close();
    });
    return service;
  }

  get origin() {
    return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (this.#server.address()).port}`;
  }

  /** @param {string} name */
  subscribe(name) {
    const subscription = new Subscription(`${this.origin}/${name}`);
    this.#subscriptions.set(`/${name}`, subscription);
    return subscription;
  }

  /** Resolves when so many have come. @param {number} count */
  async until(count) {
    while (this.received.length < count) await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
    return this.received;
  }

  /** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const path = request.url ?? '';
    const answer = this.answers.get(path)?.shift() ?? { status: 201 };
    try {
      const message = this.#read(request, path, Buffer.concat(chunks));
      this.received.push({ path, message, headers: request.headers });
    } catch (error) {
      this.faults.push(error);
    }
    response.writeHead(answer.status, answer.headers).end();
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  /** @param {http.IncomingMessage} request @param {string} path @param {Buffer} body */
  #read({ method, headers }, path, body) {
    assert.equal(method, 'POST');
    assert.deepEqual([headers['content-encoding'], headers['ttl']], ['aes128gcm', '2419200']);
    const [, head, claims, signature, key] = String(headers.authorization).match(/^vapid t=(.+)\.(.+)\.(.+), k=(.+)$/) ?? [];
    const point = Buffer.from(String(key), 'base64url');
    const jwk = { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33).toString('base64url') };
    const publicKey = crypto.createPublicKey({ key: jwk, format: 'jwk' });
    const isSigned = crypto.verify('sha256', Buffer.from(`${head}.${claims}`), { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(String(signature), 'base64url'));
    assert.ok(isSigned, 'the sender is who it says');
    const said = JSON.parse(Buffer.from(String(claims), 'base64url').toString());
    assert.equal(said.aud, this.origin);
    assert.match(said.sub, /^(mailto:|https:)/);
    return /** @type {Subscription} */ (this.#subscriptions.get(path)).read(body);
  }
}
