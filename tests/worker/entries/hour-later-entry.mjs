// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/** The built worker, unchanged, by a clock that is an hour ahead: past what a channel keeps that is not persisted. */
const now = Date.now;
Date.now = () => now() + 60 * 60 * 1_000;

export * from './index.js';
export { default } from './index.js';
