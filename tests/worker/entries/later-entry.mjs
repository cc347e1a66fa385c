// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/** The built worker, unchanged, by a clock that is fifty years ahead: what it stores outlives every retention. */
const now = Date.now;
Date.now = () => now() + 50 * 365 * 24 * 60 * 60 * 1_000;

export * from './index.js';
export { default } from './index.js';
