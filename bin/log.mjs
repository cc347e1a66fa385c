/** The log: one line of JSON for each event. No secret that it was told of is ever in a line. */
import { LOG_LINE_MAX } from './limits.mjs';

/** Shorter parts of a key tell nothing, and hiding them would hide words. */
const KEY_LINE_MIN = 16;

export const levels = /** @type {const} */ (['debug', 'info', 'warn', 'error']);

/** @typedef {(typeof levels)[number]} Level */

export class Log {
  /** @type {string[]} */
  #secrets = [];
  #least;
  #write;

  /**
   * @param {Level} least
   * @param {(line: string) => void} [write]
   */
  constructor(least, write = (line) => process.stdout.write(line)) {
    this.#least = levels.indexOf(least);
    this.#write = write;
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
    this.#write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...details }, hidden)}\n`);
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
