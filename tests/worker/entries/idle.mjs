// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * What keeps an object awake for seconds after all that it does is its look at what it counted. Without it an object is
 * idle as soon as it has answered, and may lose its memory then. Only after a request over HTTP it has to be left in
 * peace for a while, as it is on the platform: who polls comes back for the next answer.
 */
/** STATS_LOOK_MS of src/limits. Routers wait as long, and tell nothing either. */
const LOOK_MS = 1_000;
const PEACE_MS = 200;

const { setTimeout } = globalThis;
globalThis.setTimeout = (act, ms, ...values) => ms === LOOK_MS ? 0 : setTimeout(act, ms, ...values);

/** A class of objects that are left in peace after a request. */
export const evictable = (BuiltClass) => class extends BuiltClass {
  async fetch(request) {
    try {
      return await super.fetch(request);
    } finally {
      setTimeout(() => {}, PEACE_MS);
    }
  }
};
