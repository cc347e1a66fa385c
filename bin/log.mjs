/** The log: one line of JSON for each event. No secret that it was told of is ever in a line. */
import { LOG_LINE_MAX, LOG_LINES_PER_SECOND } from './limits.mjs';

/** Shorter parts of a key tell nothing, and hiding them would hide words. */
const KEY_LINE_MIN = 16;

export const levels = /** @type {const} */ (['debug', 'info', 'warn', 'error']);

/** @typedef {(typeof levels)[number]} Level */

export class Log {
  /** @type {string[]} */
  #secrets = [];
  #least;
  #write;
  #now;
  /** The second in which lines were last counted, and how many there were of each level. */
  #second = 0;
  /** @type {Partial<Record<Level, number>>} */
  #lines = {};

  /**
   * @param {Level} least
   * @param {(line: string) => void} [write]
   * @param {() => number} [now] in milliseconds
   */
  constructor(least, write = (line) => process.stdout.write(line), now = Date.now) {
    this.#least = levels.indexOf(least);
    this.#write = write;
    this.#now = now;
  }

  /** @param {(string | undefined)[]} secrets what must not be in a line, from now on */
  hide(...secrets) {
    for (const secret of secrets) if (secret && !this.#secrets.includes(secret)) this.#secrets.push(secret);
  }

  /**
   * @param {Level} level
   * @param {string} event a few words that stay the same, to search for
   * @param {Record<string, unknown>} [details]
   */
  say(level, event, details = {}) {
    if (levels.indexOf(level) < this.#least) return;
    const hidden = (/** @type {string} */ _, /** @type {unknown} */ value) =>
      typeof value === 'string' ? this.#hidden(value).slice(0, LOG_LINE_MAX) : value;
    this.#write(`${JSON.stringify({ time: new Date(this.#now()).toISOString(), level, event, ...details }, hidden)}\n`);
  }

  /**
   * The same for what clients can cause again and again: beyond so many lines a second, that they are left out. Each
   * level has its own, so that errors which clients cause leave room for the notes of what operators do.
   * @param {Level} level
   * @param {string} event
   * @param {Record<string, unknown>} details
   */
  sayOften(level, event, details) {
    if (levels.indexOf(level) < this.#least) return;
    const second = Math.floor(this.#now() / 1_000);
    if (second !== this.#second) [this.#second, this.#lines] = [second, {}];
    const lines = this.#lines[level] = (this.#lines[level] ?? 0) + 1;
    if (lines <= LOG_LINES_PER_SECOND) this.say(level, event, details);
    if (lines !== LOG_LINES_PER_SECOND + 1) return;
    this.say('warn', 'lines left out', { perSecond: LOG_LINES_PER_SECOND, of: level });
  }

  /** @param {string} text */
  #hidden(text) {
    return this.#secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), text);
  }
}

/** Whatever else stands in its place is refused by those who read it. @param {any} value @returns {any[]} */
const list = (value) => (Array.isArray(value) ? value : []);

/**
 * The secrets in the text of apps: of keys, of webhooks, and for push services.
 * @param {string} apps
 * @returns {string[]}
 */
export function secretsOf(apps) {
  const holders = list(JSON.parse(apps).apps).flatMap((app) => {
    const webhooks = [app, ...list(app?.namespaces)].flatMap((one) => list(one?.webhooks));
    return [...list(app?.keys), ...webhooks];
  });
  const keys = list(JSON.parse(apps).apps).flatMap((app) => {
    const { fcm, apns } = app?.push ?? {};
    return [apns?.key, accountOf(fcm?.serviceAccount)?.private_key].flatMap(linesOf);
  });
  return [...holders.map((holder) => holder?.secret), ...keys].filter((secret) => typeof secret === 'string');
}

/** @param {any} account an object, or the text of one */
function accountOf(account) {
  try {
    return typeof account === 'string' ? JSON.parse(account) : account;
  } catch {
    return undefined;
  }
}

/** A key, and the lines of it that a message may show one by one. @param {unknown} text @returns {unknown[]} */
function linesOf(text) {
  if (typeof text !== 'string') return [];
  return [text, ...text.split(/\s|\\n/).filter((line) => line.length >= KEY_LINE_MIN && !line.includes('-----'))];
}
