/** The server that a command speaks to, and the credentials that it has there. */
import { BadOption, flag, isLoopback, option, secret } from '../readers.mjs';

/** Where `npm start` and `courtside serve` listen, and the key of the demo app, which works on no other machine. */
const LOCAL = 'http://127.0.0.1:8787';
export const DEMO_KEY = 'demo.key1:local-only';

const fromEnvironment = true;
const urlOption = { ...option('url', 'URL', url, LOCAL, 'where the server is'), fromEnvironment };
export const keyOption = {
  ...option('key', 'KEY|@FILE', secret, undefined, 'an API key, or a file of it'), fromEnvironment, instead: 'token',
};
const tokenOption = {
  ...option('token', 'TOKEN|@FILE', secret, undefined, 'a token instead of a key'), fromEnvironment, instead: 'key',
};
const adminOption = {
  ...option('admin-token', 'TOKEN|@FILE', secret, undefined, 'the admin token'), fromEnvironment,
};
const plainOption = option('allow-http', undefined, flag, false, 'send secrets to other machines without TLS');

/** The options that name the server and a key or a token, and those for the admin token. */
export const withKey = [urlOption, keyOption, tokenOption, plainOption];
export const withAdmin = [urlOption, adminOption, plainOption];
export const withEither = [urlOption, keyOption, tokenOption, adminOption, plainOption];

export class Place {
  /** Whether a server has answered there. */
  wasThere = false;

  /**
   * @param {string} origin
   * @param {string | undefined} authorization
   */
  constructor(origin, authorization) {
    this.origin = origin;
    this.authorization = authorization;
  }

  /**
   * With a key or a token. Fails with {@link BadOption} when there is neither, except on this machine, where the demo
   * app's key will do.
   * @param {Told} told
   */
  static ofClient(told) {
    const key = told.key ?? (told.token || !isLocal(told.url) ? undefined : DEMO_KEY);
    if (told.key && told.token) throw new BadOption('--key and --token exclude each other: give one of them');
    if (!key && !told.token) {
      throw new BadOption('who asks? Give --key or --token, or set COURTSIDE_KEY or COURTSIDE_TOKEN');
    }
    checkPlain(told);
    return new Place(told.url, key ? basic(key) : `Bearer ${told.token}`);
  }

  /** With the admin token. Fails with {@link BadOption} without one. @param {Told} told */
  static ofAdmin(told) {
    if (!told.adminToken) {
      throw new BadOption('only the operator may: give --admin-token, or set COURTSIDE_ADMIN_TOKEN');
    }
    checkPlain(told);
    return new Place(told.url, `Bearer ${told.adminToken}`);
  }

  /** A path, with what stands behind it. @param {string} path @param {Record<string, string | undefined>} [query] */
  at(path, query = {}) {
    const url = new URL(`${this.origin}${path}`);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
    return url;
  }

  /** @returns {Record<string, string>} */
  get headers() {
    return this.authorization ? { authorization: this.authorization } : {};
  }
}

/**
 * @typedef {object} Told
 * @property {string} url
 * @property {string} [key]
 * @property {string} [token]
 * @property {string} [adminToken]
 * @property {boolean} [allowHttp]
 */

/** @param {string} key */
const basic = (key) => `Basic ${Buffer.from(key).toString('base64')}`;

/** What a key is called; the rest of it is secret. Fails with {@link BadOption}. @param {string} key */
export function nameOf(key) {
  return split(key).keyName;
}

/** @param {string} key */
export function split(key) {
  const [, keyName, keySecret] = key.match(/^([\w-]+\.[\w-]+):(\S+)$/) ?? [];
  if (!keyName || !keySecret) throw new BadOption('the key must be APP.KEY:SECRET');
  return { keyName, keySecret };
}

/** @param {string} url */
const isLocal = (url) => isLoopback(new URL(url).hostname);

/** @param {Told} told */
function checkPlain({ url: origin, allowHttp }) {
  if (origin.startsWith('https:') || allowHttp || isLocal(origin)) return;
  throw new BadOption(`${origin} has no TLS, so that others could read the secret: use https, or give --allow-http`);
}

/** Just the origin: what a server is asked is each command's affair. @param {string} text @param {string} from */
function url(text, from) {
  const read = URL.canParse(text) ? new URL(text) : undefined;
  if (read?.username || read?.password) throw new BadOption(`${from} must not hold a key: give --key`);
  const isPlain = read?.pathname === '/' && !read.search && !read.hash;
  if (read && isPlain && /^https?:$/.test(read.protocol)) return read.origin;
  throw new BadOption(`${from} must be a URL such as ${LOCAL} or https://live.example.com, without a path`);
}
