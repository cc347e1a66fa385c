/**
 * The weather of chaos_files.mjs: where EVICT_SEED is set, all objects of a runtime lose their memory again and again,
 * each in the next instant in which it is idle. Their sockets stay, as on the platform after ten idle seconds.
 */
import fs from 'node:fs';
import { delay, randomFrom } from './trials.mjs';

/** @typedef {import('./runtime.mjs').Runtime} Runtime */

/** Between two instants at which all objects lose their memory, on average. */
const EVICT_MS = 250;

const seed = process.env.EVICT_SEED;
/** Where it is noted how many objects lost their memory. */
const notes = process.env.EVICT_NOTES;

/** Objects lose their memory by themselves. */
export const isEvicting = seed !== undefined;

/**
 * Options of a test that cannot hold while objects lose their memory at any instant; it is skipped then.
 * @param {string} reason
 */
export const unlessEvicted = (reason) => ({ skip: isEvicting && `objects lose their memory: ${reason}` });

/**
 * Until the runtime ends.
 * @param {() => Promise<number>} evictAll
 */
export async function evictAtRandom(evictAll) {
  const random = randomFrom(Number(seed));
  let evicted = 0;
  try {
    for (;;) {
      await delay(random() * 2 * EVICT_MS);
      evicted += await evictAll();
    }
  } catch (error) {
    if (!/the runtime ended/.test(String(error))) throw error;
  }
  if (notes) fs.appendFileSync(notes, `${evicted}\n`);
}
