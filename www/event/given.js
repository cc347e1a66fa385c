/**
 * What this client gave to messages: votes, upvotes, reactions. A summary names the first two hundred who gave; whether
 * one who is not among them did is known here, also after the page was closed.
 */

/** What is remembered; the oldest go first. */
const MOST = 500;

export class Given {
  /** Names by message and type, as `unique` has one at most and `distinct` several. @type {Map<string, string[]>} */
  #all = new Map();
  #storage;

  /** @param {{ read: () => string | undefined, keep: (all: string) => void }} storage which other tabs use, too */
  constructor(storage) {
    this.#storage = storage;
    this.#load();
  }

  #load() {
    try {
      for (const [key, names] of JSON.parse(this.#storage.read() ?? '[]')) {
        if (typeof key === 'string' && Array.isArray(names)) this.#all.set(key, names.map(String));
      }
    } catch {
      // Not written by this page: then nothing is known.
    }
  }

  /** @param {string} serial @param {string} type @returns {string[]} */
  of(serial, type) {
    return this.#all.get(`${serial} ${type}`) ?? [];
  }

  /** @param {string} serial @param {string} type @param {string[]} names all that are given now */
  put(serial, type, names) {
    const key = `${serial} ${type}`;
    this.#load();
    this.#all.delete(key);
    if (names.length > 0) this.#all.set(key, names);
    for (const oldest of this.#all.keys()) {
      if (this.#all.size <= MOST) break;
      this.#all.delete(oldest);
    }
    this.#storage.keep(JSON.stringify([...this.#all]));
  }

  /**
   * Remembers it before it is done, since the summary may come sooner than the answer; if it fails, all is as before.
   * @param {string} serial @param {string} type @param {string[]} names @param {() => Promise<unknown>} act
   */
  async change(serial, type, names, act) {
    const before = this.of(serial, type);
    this.put(serial, type, names);
    try {
      await act();
    } catch (error) {
      this.put(serial, type, before);
      throw error;
    }
  }

  /**
   * Whether a summary's clients have this one; where not all are named, what is known here decides.
   * @param {{ clientIds?: string[], clipped?: boolean } | undefined} summary @param {string} clientId
   * @param {{ serial: string, type: string, name: string }} annotation
   */
  isIn(summary, clientId, { serial, type, name }) {
    if (summary?.clientIds?.includes(clientId)) return true;
    return Boolean(summary?.clipped) && this.of(serial, type).includes(name);
  }
}
