// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, unchanged, over a disk that fails when it is told to: `/faults?disk=broken`, of one class only with
 * `&of=Relay`, `/faults?disk=whole`, and `/faults?disk=reset`, which resets the next channel that writes to its log, as
 * soon as it has. With `/faults?early=1` the next alarm that an app sets rings at once. `/faults` says how the alarms
 * of channels and of apps have ended so far, and how many channels were reset.
 */
import Built, { App as BuiltApp, Channel as BuiltChannel, Relay as BuiltRelay } from './index.js';

export * from './index.js';

const faults = { disk: 'whole', of: null, early: 0, alarms: [], appAlarms: [], resets: 0 };

/** The platform gives no value of more than 2 MB; the runtime here has a larger bound. */
function bounded(row) {
  for (const value of Object.values(row)) {
    if ((value?.length ?? value?.byteLength) > 2_000_000) throw new Error('string or blob too big');
  }
  return row;
}

/** The storage of an object as it sees it: each statement fails, or not. */
function faulty(state, name) {
  const { sql } = state.storage;
  const exec = sql.exec.bind(sql);
  sql.exec = (query, ...bindings) => {
    if (faults.disk === 'broken' && [null, name].includes(faults.of)) throw new Error('disk I/O error');
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
    super(faulty(state, 'Channel'), env);
  }

  alarm() {
    return noted(super.alarm(), faults.alarms);
  }
}

export class Relay extends BuiltRelay {
  constructor(state, env) {
    super(faulty(state, 'Relay'), env);
  }
}

export class App extends BuiltApp {
  constructor(state, env) {
    const { storage } = state;
    const setAlarm = storage.setAlarm.bind(storage);
    storage.setAlarm = (at) => setAlarm(faults.early-- > 0 ? new Date() : at);
    super(faulty(state, 'App'), env);
  }

  alarm() {
    return noted(super.alarm(), faults.appAlarms);
  }
}

/** How an alarm ended. */
async function noted(rung, alarms) {
  try {
    await rung;
    alarms.push('done');
  } catch (error) {
    alarms.push('failed');
    throw error;
  }
}

export default class extends Built {
  fetch(request) {
    const url = new URL(request.url);
    if (url.pathname !== '/faults') return super.fetch(request);
    faults.early = Number(url.searchParams.get('early') ?? 0);
    if (url.searchParams.has('disk')) [faults.disk, faults.of] = [url.searchParams.get('disk'), url.searchParams.get('of')];
    return Response.json(faults);
  }
}
