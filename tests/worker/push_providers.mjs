/** FCM with its token endpoint, and APNs, on this machine: they check who sends, and keep what comes. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';

/**
 * @typedef {object} Received
 * @property {string} recipient its registration token or device token
 * @property {any} message
 * @property {import('node:http').IncomingHttpHeaders} headers
 *
 * @typedef {{ status: number, headers?: Record<string, string>, body?: object }} Answer
 */

/** @param {string} text */
const decoded = (text) => JSON.parse(Buffer.from(text, 'base64url').toString());

/** What FCM says when it refuses. @param {number} status @param {string} code @returns {Answer} */
export const fcmError = (status, code) => ({
  status,
  body: {
    error: {
      code: status, status: code, message: `${code} it is`,
      details: [{ '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode: code }],
    },
  },
});

/** What APNs says. @param {number} status @param {string} reason @returns {Answer} */
export const apnsError = (status, reason) => ({ status, body: { reason } });

export class PushProviders {
  #rsa = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
  #ec = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  #server;
  /** @type {Set<import('node:net').Socket>} */
  #sockets = new Set();
  /** @type {(() => void)[]} */
  #waiting = [];
  #port = 0;
  /** Tokens that FCM takes. @type {Set<string>} */
  #tokens = new Set();
  /** @type {Received[]} */
  received = [];
  /** How often FCM's token was asked for. */
  exchanges = 0;
  /** Tokens that APNs was shown. @type {Set<string>} */
  apnsTokens = new Set();
  /** What is answered next, by recipient, and by `token` for the token endpoint. @type {Map<string, Answer[]>} */
  answers = new Map();
  /** What went wrong here, which a sender would not say. @type {unknown[]} */
  faults = [];

  /** @param {{ speaksHttp2?: boolean }} [options] APNs speaks nothing else */
  constructor({ speaksHttp2 = false } = {}) {
    const take = (/** @type {any} */ request, /** @type {any} */ response) => void this.#take(request, response);
    this.#server = speaksHttp2 ? http2.createServer(take) : http.createServer(take);
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** @param {{ after: (end: () => unknown) => void }} scope @param {{ speaksHttp2?: boolean }} [options] */
  static async start(scope, options) {
    const providers = new PushProviders(options);
    providers.#server.listen(0, '127.0.0.1');
    await once(providers.#server, 'listening');
    providers.#port = /** @type {import('node:net').AddressInfo} */ (providers.#server.address()).port;
    scope.after(() => {
      providers.#server.close();
      providers.#sockets.forEach((socket) => socket.destroy());
    });
    return providers;
  }

  get origin() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** As an app is configured with them. */
  get fcm() {
    return {
      url: this.origin,
      serviceAccount: {
        type: 'service_account', project_id: 'match-day', private_key_id: 'k1', client_id: '7',
        private_key: this.#rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }),
        client_email: 'push@match-day.iam.gserviceaccount.com', token_uri: `${this.origin}/token`,
      },
    };
  }

  get apns() {
    const key = this.#ec.privateKey.export({ type: 'pkcs8', format: 'pem' });
    return { key, keyId: 'ABCDE12345', teamId: 'TEAM567890', topic: 'com.example.match', url: this.origin };
  }

  /** Resolves when so many have come to that recipient. @param {string} recipient @param {number} count */
  async until(recipient, count) {
    for (;;) {
      const received = this.to(recipient);
      if (received.length >= count) return received;
      await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
    }
  }

  /** @param {string} recipient */
  to(recipient) {
    return this.received.filter((one) => one.recipient === recipient);
  }

  /** No token that FCM gave is good any more. */
  revoke() {
    this.#tokens.clear();
  }

  /** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    let answer = /** @type {Answer} */ ({ status: 500 });
    try {
      assert.equal(request.method, 'POST');
      const path = String(request.url);
      if (path === '/token') answer = this.#exchange(request, body);
      else if (path.startsWith('/3/device/')) answer = this.#apple(request, path.slice('/3/device/'.length), body);
      else answer = this.#firebase(request, path, body);
    } catch (error) {
      this.faults.push(error);
    }
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
    response.end(answer.body ? JSON.stringify(answer.body) : '');
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  /** @param {string} jwt @param {crypto.KeyObject} key */
  #verified(jwt, key) {
    const [head, claims, end] = jwt.split('.');
    const [signed, signature] = [Buffer.from(`${head}.${claims}`), Buffer.from(String(end), 'base64url')];
    const how = key.asymmetricKeyType === 'ec' ? /** @type {any} */ ({ key, dsaEncoding: 'ieee-p1363' }) : key;
    assert.ok(crypto.verify('sha256', signed, how, signature), 'signed by the app');
    return { head: decoded(String(head)), claims: decoded(String(claims)) };
  }

  /** @param {http.IncomingMessage} request @param {string} body @returns {Answer} */
  #exchange({ headers }, body) {
    this.exchanges++;
    assert.equal(headers['content-type'], 'application/x-www-form-urlencoded');
    const form = new URLSearchParams(body);
    assert.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer');
    const { head, claims } = this.#verified(String(form.get('assertion')), this.#rsa.publicKey);
    assert.deepEqual([head.alg, head.kid], ['RS256', 'k1']);
    assert.deepEqual([claims.iss, claims.aud], [this.fcm.serviceAccount.client_email, `${this.origin}/token`]);
    assert.equal(claims.scope, 'https://www.googleapis.com/auth/firebase.messaging');
    assert.equal(claims.exp - claims.iat, 3600);
    const token = crypto.randomBytes(16).toString('hex');
    this.#tokens.add(token);
    const usual = { status: 200, body: { access_token: token, expires_in: 3599, token_type: 'Bearer' } };
    return this.answers.get('token')?.shift() ?? usual;
  }

  /** @param {http.IncomingMessage} request @param {string} path @param {string} body @returns {Answer} */
  #firebase({ headers }, path, body) {
    assert.equal(path, '/v1/projects/match-day/messages:send');
    const { message } = JSON.parse(body);
    const token = String(headers.authorization).replace(/^Bearer /, '');
    if (!this.#tokens.has(token)) return fcmError(401, 'UNAUTHENTICATED');
    return this.#keep(message.token, message, headers, { status: 200, body: { name: 'messages/1' } });
  }

  /** @param {http.IncomingMessage} request @param {string} recipient @param {string} body @returns {Answer} */
  #apple({ headers }, recipient, body) {
    const token = String(headers.authorization).replace(/^bearer /, '');
    const { head, claims } = this.#verified(token, this.#ec.publicKey);
    assert.deepEqual([head.alg, head.kid, claims.iss], ['ES256', 'ABCDE12345', 'TEAM567890']);
    this.apnsTokens.add(token);
    return this.#keep(recipient, JSON.parse(body), headers, { status: 200 });
  }

  /** @param {string} recipient @param {any} message @param {http.IncomingHttpHeaders} headers @param {Answer} usual */
  #keep(recipient, message, headers, usual) {
    this.received.push({ recipient, message, headers });
    return this.answers.get(recipient)?.shift() ?? usual;
  }
}
