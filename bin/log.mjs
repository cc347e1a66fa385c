/** The log: one line of JSON for each event. No secret that it was told of is ever in a line. */
import { LOG_LINE_MAX } from './limits.mjs';

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

/** The secrets in the text of apps. @param {string} apps @returns {string[]} */
export function secretsOf(apps) {
  const found = [];
  for (const app of JSON.parse(apps).apps ?? []) {
    for (const key of app?.keys ?? []) if (typeof key?.secret === 'string') found.push(key.secret);
  }
  return found;
}
