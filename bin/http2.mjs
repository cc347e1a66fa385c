/**
 * Speaks HTTP/2 for the runtime, whose own requests are HTTP/1.1: APNs takes nothing else. It listens on a socket of
 * the file system, beside the control socket, and hands each request on to where it is addressed. Whatever a name leads
 * to, nothing of this network is called unless the operator allows it.
 */
import dns from 'node:dns';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import { HTTP2_BODY_MAX, HTTP2_IDLE_MS, HTTP2_MS, HTTP2_SESSIONS_MAX } from './limits.mjs';

/** Addresses that are not of the public net. */
const privates = new net.BlockList();
for (const [address, prefix] of /** @type {[string, number][]} */ ([
  ['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12],
  ['192.0.0.0', 24], ['192.0.2.0', 24], ['192.168.0.0', 16], ['198.18.0.0', 15], ['198.51.100.0', 24],
  ['203.0.113.0', 24], ['224.0.0.0', 3],
])) privates.addSubnet(address, prefix, 'ipv4');

/** Of IPv6 only what is given out to the public, and nothing that stands for an address of IPv4. */
const publics = new net.BlockList();
publics.addSubnet('2000::', 3, 'ipv6');
for (const [address, prefix] of /** @type {[string, number][]} */ ([
  ['2001::', 23], ['2001:db8::', 32], ['2002::', 16],
])) {
  privates.addSubnet(address, prefix, 'ipv6');
}

/** @param {string} address */
export const isPublic = (address) => (net.isIPv6(address)
  ? publics.check(address, 'ipv6') && !privates.check(address, 'ipv6')
  : net.isIPv4(address) && !privates.check(address, 'ipv4'));

/** @param {string} folder where its socket is */
export const http2In = (folder) => path.join(folder, 'http2');

export class Http2 {
  /** A request to a proxy names its host in its address alone. */
  #server = http.createServer({ requireHostHeader: false }, (request, response) => void this.#take(request, response));
  /** By origin, the oldest first. @type {Map<string, http2.ClientHttp2Session>} */
  #sessions = new Map();
  #privateAddresses;
  #patienceMs;

  /** @param {boolean} privateAddresses whether it may call any, and without TLS @param {number} [patienceMs] */
  constructor(privateAddresses, patienceMs = HTTP2_MS) {
    this.#privateAddresses = privateAddresses;
    this.#patienceMs = patienceMs;
  }

  /** @param {string} folder */
  async listen(folder) {
    fs.rmSync(http2In(folder), { force: true });
    this.#server.listen(http2In(folder));
    await once(this.#server, 'listening');
  }

  /** Whatever is under way ends. */
  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
    for (const session of this.#sessions.values()) session.destroy();
  }

  /** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
  async #take(request, response) {
    try {
      const { status, headers, body } = await this.#ask(request);
      response.writeHead(status, headers).end(body);
    } catch {
      // Who asked tries again; what was asked is not for a log.
      response.writeHead(502).end();
    }
  }

  /** @param {http.IncomingMessage} request */
  async #ask(request) {
    const url = new URL(String(request.url));
    const body = await collected(request);
    const { host, connection, 'transfer-encoding': _, 'content-length': __, ...headers } = request.headers;
    const pseudo = { ':method': request.method, ':path': url.pathname + url.search };
    const session = this.#session(url);
    const stream = session.request({ ...headers, ...pseudo });
    // One that is cancelled closes without an error.
    const over = new AbortController();
    stream.on('error', () => {}).on('close', () => over.abort());
    stream.setTimeout(this.#patienceMs, () => {
      // Nobody may be there any more: what comes next has another connection, and what is under way ends by itself.
      this.#forget(url, session);
      session.close();
      stream.destroy(new Error('no answer'));
    });
    stream.end(body);
    const [answered] = await once(stream, 'response', { signal: over.signal });
    const retryAfter = answered['retry-after'];
    return {
      status: Number(answered[':status']),
      headers: retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) },
      body: await collected(stream),
    };
  }

  /** @param {URL} url */
  #session(url) {
    const known = this.#sessions.get(url.origin);
    if (known && !known.closed && !known.destroyed) return known;
    const isAllowed = url.protocol === 'https:' && !net.isIP(url.hostname.replace(/^\[|\]$/g, ''));
    if (!isAllowed && !this.#privateAddresses) throw new Error('not a public address');
    if (this.#sessions.size >= HTTP2_SESSIONS_MAX) this.#sessions.values().next().value?.close();
    const lookup = this.#privateAddresses ? undefined : publicOnly;
    const session = http2.connect(url.origin, /** @type {any} */ ({ lookup }));
    const forget = () => this.#forget(url, session);
    // A request that is under way fails by itself.
    session.on('error', forget).on('close', forget).on('goaway', forget);
    session.setTimeout(HTTP2_IDLE_MS, () => session.close());
    this.#sessions.delete(url.origin);
    this.#sessions.set(url.origin, session);
    return session;
  }

  /** @param {URL} url @param {http2.ClientHttp2Session} session */
  #forget(url, session) {
    if (this.#sessions.get(url.origin) === session) this.#sessions.delete(url.origin);
  }
}

/**
 * The addresses of a name, all of which must be public.
 * @param {string} name @param {import('node:dns').LookupOptions} options
 * @param {(error: Error | null, address?: any, family?: number) => void} done
 */
function publicOnly(name, options, done) {
  dns.lookup(name, { ...options, all: true }, (error, addresses) => {
    const first = addresses?.[0];
    if (error || !first) return done(error ?? new Error('no address'));
    if (!addresses.every(({ address }) => isPublic(address))) return done(new Error('not a public address'));
    return options.all ? done(null, addresses) : done(null, first.address, first.family);
  });
}

/** @param {AsyncIterable<Buffer>} stream */
async function collected(stream) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > HTTP2_BODY_MAX) throw new Error('too much');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
