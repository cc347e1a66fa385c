/** What the trials of the runtime have in common: torture.mjs, storms.mjs and chaos.mjs. */
import assert from 'node:assert/strict';

/** A part of when things happen, not a way to wait for something. @param {number} ms */
export const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Mulberry32: the same instants again for the same seed, as far as the machine's own timing allows.
 * @param {number} seed
 */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param {string[]} values */
export function repeated(values) {
  const seen = new Set();
  return values.filter((value) => seen.size === seen.add(value).size);
}

/** What is closed in the end. */
export class Scope {
  /** @type {(() => unknown)[]} */
  #ends = [];

  /** @param {any} end */
  after = (end) => { this.#ends.push(end); };

  async end() {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}

/**
 * Does something until it is acknowledged.
 * @template T
 * @param {() => void} again called each time that it is done again
 * @param {() => Promise<T>} act
 */
export async function certainly(again, act) {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      assert.ok(mayBeTriedAgain(error), String(error));
      again();
    }
  }
}

/** Whether a refusal says so, or no answer came; whether it was done is then unknown. @param {any} error */
export const mayBeTriedAgain = ({ statusCode, code }) => statusCode >= 500 || statusCode === 408 || code === 42911;

export const TYPES = ['r:total.v1', 'r:flag.v1', 'r:distinct.v1', 'r:unique.v1', 'r:multiple.v1'];
export const NAMES = ['👍', '👎', '🎾'];

/** What reactions come to, by rules of our own. */
export class Counts {
  /** By type, name and client: how often. @type {Map<string, number>} */
  #said = new Map();

  /** @param {{ type: string, name: string, clientId: string, count?: number }} annotation */
  take({ type, name, clientId, count = 1 }) {
    const of = (/** @type {string} */ said) => JSON.stringify([type, said, clientId]);
    if (type === 'r:unique.v1') NAMES.forEach((other) => this.#said.delete(of(other)));
    const adds = type === 'r:total.v1' || type === 'r:multiple.v1';
    const key = of(type === 'r:total.v1' || type === 'r:flag.v1' ? '' : name);
    this.#said.set(key, adds ? (this.#said.get(key) ?? 0) + count : 1);
  }

  /** By type and name: how much in all, or of one client. @param {string} [of] */
  totals(of) {
    /** @type {Record<string, number>} */
    const totals = {};
    for (const [key, count] of this.#said) {
      const [type, name, client] = JSON.parse(key);
      // Totals know no clients.
      if (of && (client !== of || type === 'r:total.v1')) continue;
      totals[`${type} ${name}`] = (totals[`${type} ${name}`] ?? 0) + count;
    }
    return totals;
  }
}

/**
 * What a summary says, in the same shape.
 * @param {any} summary
 * @param {(counted: any) => number} [count]
 * @returns {Record<string, number>}
 */
export function totals(summary = {}, count = ({ total }) => total) {
  return Object.fromEntries(Object.entries(summary).flatMap(([type, value]) => 'total' in value
    ? [[`${type} `, count(value)]]
    : Object.entries(value).map(([name, each]) => [`${type} ${name}`, count(each)])));
}

/** Resolves when a view of objects is as wanted. @param {any} root @param {(value: any) => unknown} isWanted */
export async function shows(root, isWanted) {
  if (isWanted(root.compactJson())) return;
  await new Promise((resolve) => {
    const subscription = root.subscribe(() => {
      if (!isWanted(root.compactJson())) return;
      subscription.unsubscribe();
      resolve(undefined);
    });
  });
}

/** With keys in order: replicas hold them in the order in which they came. @param {any} value @returns {any} */
export function sorted(value) {
  if (Array.isArray(value) || value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}
