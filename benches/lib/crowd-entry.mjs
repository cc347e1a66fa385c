// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, that also tells how often its channels were called, and how many rows were written: `GET
 * /bench/counts`.
 */
import courtside, * as built from './index.js';

const counts = { calls: 0, rows: 0 };

export * from './index.js';

export class Channel extends built.Channel {
  constructor(state, env) {
    const { sql } = state.storage;
    const prototype = Object.getPrototypeOf(sql);
    if (!prototype.isCounted) {
      const { exec } = prototype;
      prototype.isCounted = true;
      prototype.exec = function counting(...asked) {
        const cursor = exec.apply(this, asked);
        counts.rows += cursor.rowsWritten;
        return cursor;
      };
    }
    super(state, env);
  }

  ask(about, question) {
    counts.calls++;
    return super.ask(about, question);
  }
}

export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname !== '/bench/counts') return new courtside(context, env).fetch(request);
    return Response.json(counts);
  },
};
