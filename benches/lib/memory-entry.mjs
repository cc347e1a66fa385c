// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/** The built worker, unchanged, that also tells how much memory its WebAssembly instance has: `GET /bench/memory`. */
import './memory-spy.mjs';
import courtside from './index.js';

export * from './index.js';

export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname !== '/bench/memory') return new courtside(context, env).fetch(request);
    return Response.json(globalThis.wasmMemories.map((memory) => memory.buffer.byteLength));
  },
};
