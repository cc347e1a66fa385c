/** Requests to a server, whose refusals say what it said. */
import { setTimeout as pause } from 'node:timers/promises';
import { ANSWER_MAX_BYTES, REQUEST_MS, RETRIES, RETRY_MAX_MS, RETRY_MIN_MS } from './limits.mjs';
import { printable } from './terminal.mjs';

/** What a server refused. */
export class Refused extends Error {
  /** @param {number} status @param {{ code?: number, message?: string }} [error] */
  constructor(status, error) {
    super(error?.message ? printable(`${error.message} (${error.code})`) : `the server answered with status ${status}`);
    this.status = status;
    this.code = error?.code ?? status * 100;
  }

  /** Whether the same may be let in a little later. */
  get passes() {
    return this.status === 429 || this.status >= 500;
  }
}

/** Something else that answers. */
export class NotOurs extends Error {
  /** @param {URL} url @param {string} [how] what it does instead */
  constructor(url, how) {
    super(`${url.origin} does not answer as Courtside does${how ? ` (${how})` : ''}: is the URL right?`);
  }
}

/** What breaks a connection that was there, so that the server may have heard; and what there is while it is away. */
const broken = ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT', 'TimeoutError'];
const away = ['ECONNREFUSED', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT'];

/** A server that does not answer. */
export class Unreachable extends Error {
  /** @param {URL} url @param {unknown} error @param {boolean} wasThere whether it answered before */
  constructor(url, error, wasThere) {
    const { cause, message, name } = /** @type {Error & { cause?: { code?: string, message?: string } }} */ (error);
    super(`${url.origin} cannot be reached: ${cause?.code ?? cause?.message ?? message}`);
    /** Whether it may answer a little later. */
    this.passes = [...broken, ...wasThere ? away : []].includes(cause?.code ?? name);
  }
}

/**
 * @typedef {object} Asked
 * @property {string} [method]
 * @property {Record<string, string | undefined>} [query]
 * @property {unknown} [body]
 * @property {unknown} [like] what Courtside answers has these fields; without one, it answers 204
 */

/**
 * A server's answer, as JSON. Fails with {@link Refused}, {@link Unreachable} or {@link NotOurs}.
 * @param {import('./place.mjs').Place} place
 * @param {string} path
 * @param {Asked} [asked]
 */
export async function ask(place, path, asked = {}) {
  const { status, text } = await answered(place, path, asked);
  if (status === 204 && asked.like === undefined) return undefined;
  const answer = parsed(text);
  if (asked.like === undefined || !isLike(answer, asked.like)) throw new NotOurs(place.at(path));
  return answer;
}

/**
 * The same as it stands, of which a line must begin with `like`.
 * @param {import('./place.mjs').Place} place
 * @param {string} path
 * @param {string} like
 */
export async function askText(place, path, like) {
  const { text } = await answered(place, path, {});
  if (!`\n${text}`.includes(`\n${like}`)) throw new NotOurs(place.at(path));
  return text;
}

/**
 * The items of a list, of so many pages at most. A page may have fewer than were asked for, though another follows.
 * @param {import('./place.mjs').Place} place
 * @param {string} path
 * @param {number} limit of a page
 * @param {number} pages
 */
export async function askPages(place, path, limit, pages) {
  const items = [];
  /** @type {Record<string, string> | undefined} */
  let query = { limit: String(limit) };
  for (let left = pages; query && left > 0; left--) {
    const { text, link } = await answered(place, path, { query });
    const page = parsed(text);
    if (!Array.isArray(page)) throw new NotOurs(place.at(path));
    items.push(...page);
    query = nextOf(link);
  }
  return items;
}

/** The parameters of the next page. @param {string | null} link @returns {Record<string, string> | undefined} */
function nextOf(link) {
  const [, query] = link?.match(/<[^>?]*\?([^>]*)>; rel="next"/) ?? [];
  return query === undefined ? undefined : Object.fromEntries(new URLSearchParams(query));
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Whether a value has the fields of an example, and each item of a list those of the example's item.
 * @param {any} value
 * @param {any} example
 * @returns {boolean}
 */
function isLike(value, example) {
  if (Array.isArray(example)) {
    return Array.isArray(value) && (example.length === 0 || value.every((item) => isLike(item, example[0])));
  }
  if (typeof value !== typeof example || value === null || Array.isArray(value)) return false;
  return typeof example !== 'object' || Object.keys(example).every((name) => isLike(value[name], example[name]));
}

/** @param {import('./place.mjs').Place} place @param {string} path @param {Asked} asked */
async function answered(place, path, { method = 'GET', query, body }) {
  const url = place.at(path, query);
  const { headers } = place;
  if (body !== undefined) headers['content-type'] = 'application/json';
  /** @type {Response} */
  let response;
  let text;
  try {
    const signal = AbortSignal.timeout(REQUEST_MS);
    const sent = body === undefined ? null : JSON.stringify(body);
    response = await fetch(url, { method, headers, body: sent, signal, redirect: 'error' });
    text = await limited(response);
    place.wasThere = true;
  } catch (error) {
    throw new Unreachable(url, error, place.wasThere);
  }
  if (!response.ok) throw new Refused(response.status, errorOf(text));
  return { status: response.status, text, link: response.headers.get('link') };
}

/** The same until it is answered, for what may be asked twice. @param {Parameters<typeof ask>} asked */
export async function askAgain(...asked) {
  let wait = RETRY_MIN_MS;
  for (let left = RETRIES; ; left--) {
    try {
      return await ask(...asked);
    } catch (error) {
      if (left === 0 || !(/** @type {Refused | Unreachable} */ (error)).passes) throw error;
      process.stderr.write(`courtside: ${/** @type {Error} */ (error).message}; trying again\n`);
    }
    await pause(wait);
    wait = Math.min(wait * 2, RETRY_MAX_MS);
  }
}

/** What else may answer there is no server of ours, and may answer for ever. @param {Response} response */
async function limited(response) {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > ANSWER_MAX_BYTES) throw new Error(`it answers with more than ${ANSWER_MAX_BYTES} bytes`);
  }
  return text;
}

/** @param {string} text @returns {{ code?: number, message?: string } | undefined} */
export function errorOf(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return undefined;
  }
}
