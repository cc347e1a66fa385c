// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, unchanged, over a disk that fails when it is told to: `/faults?disk=broken`, `/faults?disk=whole`, and
 * `/faults?disk=reset`, which resets the next channel that writes to its log, as soon as it has. `/faults` says how the
 * alarms of channels have ended so far, and how many channels were reset.
 */
import Built, { Channel as BuiltChannel, Relay as BuiltRelay } from './index.js';

export * from './index.js';

const faults = { disk: 'whole', alarms: [], resets: 0 };

/** The platform gives no value of more than 2 MB; the runtime here has a larger bound. */
function bounded(row) {
  for (const value of Object.values(row)) {
    if ((value?.length ?? value?.byteLength) > 2_000_000) throw new Error('string or blob too big');
  }
  return row;
}

/** The storage of an object as it sees it: each statement fails, or not. */
function faulty(state) {
  const { sql } = state.storage;
  const exec = sql.exec.bind(sql);
  sql.exec = (query, ...bindings) => {
    if (faults.disk === 'broken') throw new Error('disk I/O error');
    const cursor = exec(query, ...bindings);
    const toArray = cursor.toArray.bind(cursor);
    cursor.toArray = () => toArray().map(bounded);
    if (faults.disk === 'reset' && query.includes('INSERT INTO log')) {
      [faults.disk, faults.resets] = ['whole', faults.resets + 1];
      // When the turn is over: to end an object in the middle of one ends all others of the isolate too.
      setTimeout(() => state.abort('a reset of the object'));
    }
    return cursor;
  };
  return state;
}

export class Channel extends BuiltChannel {
  constructor(state, env) {
    super(faulty(state), env);
  }

  async alarm() {
    try {
      await super.alarm();
      faults.alarms.push('done');
    } catch (error) {
      faults.alarms.push('failed');
      throw error;
    }
  }
}

export class Relay extends BuiltRelay {
  constructor(state, env) {
    super(faulty(state), env);
  }
}

export default class extends Built {
  fetch(request) {
    const url = new URL(request.url);
    if (url.pathname !== '/faults') return super.fetch(request);
    faults.disk = url.searchParams.get('disk') ?? faults.disk;
    return Response.json(faults);
  }
}
