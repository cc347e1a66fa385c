// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * What keeps an object awake for seconds after all that it does is its look at what it counted. Without it an object is
 * idle as soon as it has answered, and may lose its memory then. Only a client that polls has nothing open between two
 * requests: its relay is left in peace as long as a slow machine may need to send the next one, which is less than the
 * platform's ten seconds.
 */
/** STATS_LOOK_MS of src/limits. Routers wait as long, and tell nothing either. */
const LOOK_MS = 1_000;
const PEACE_MS = 5_000;

const { setTimeout } = globalThis;
globalThis.setTimeout = (act, ms, ...values) => ms === LOOK_MS ? 0 : setTimeout(act, ms, ...values);

/** A class of objects that are left in peace after a request that opens no WebSocket. */
export const evictable = (BuiltClass) => class extends BuiltClass {
  async fetch(request) {
    try {
      return await super.fetch(request);
    } finally {
      if (!request.headers.has('upgrade')) setTimeout(() => {}, PEACE_MS);
    }
  }
};
