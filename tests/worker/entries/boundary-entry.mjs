// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, unchanged, where the world around it fails when it is told to, by `/boundary?…`; what is left out
 * is whole:
 *
 * - `disk=full`: nothing more is taken, and all that is there can be read; `disk=slow`: an object that has written does
 *   nothing else until its disk is done, a while later;
 * - `calls=lost`, `calls=unanswered` and `calls=silent`, `of=App`, `Channel` or `Relay`, `each=3`: every third call to
 *   such an object does not reach it, or is done and its answer lost, or is never heard of again; without `of` and
 *   `each` every call to whatever object;
 * - `ahead=-5000`: the clock of everything, by which alarms ring, too.
 *
 * The answer says how many writes and calls have failed so far.
 */
import Built, { App as BuiltApp, Channel as BuiltChannel, Relay as BuiltRelay } from './index.js';

const PATH = '/boundary';
const SLOW_MS = 50;

const whole = { disk: 'whole', calls: 'whole', of: null, each: 1, ahead: 0 };
const faults = { ...whole, made: 0, failed: 0 };

const now = Date.now;
Date.now = () => now() + faults.ahead;

const pause = () => new Promise((resolve) => setTimeout(resolve, SLOW_MS));

/** A call to an object: it may not reach it, or be answered in vain. */
async function call(name, make) {
  const isMeant = faults.calls !== 'whole' && [null, name].includes(faults.of);
  if (!isMeant || ++faults.made % faults.each !== 0) return make();
  faults.failed++;
  if (faults.calls === 'silent') return new Promise(() => {});
  if (faults.calls === 'unanswered') await (await make()).arrayBuffer?.();
  throw new Error('a call was lost');
}

/** What the deployment has, with objects that are called in vain now and then. */
function unreliable(env) {
  const classes = { APP: 'App', CHANNEL: 'Channel', RELAY: 'Relay' };
  const caller = (name, namespace) => ({
    idFromName: (of) => namespace.idFromName(of),
    get: (...where) => ({
      fetch: (...request) => call(name, () => namespace.get(...where).fetch(...request)),
      ask: (...asked) => call(name, () => namespace.get(...where).ask(...asked)),
    }),
  });
  return new Proxy(env, {
    get: (target, key) => classes[key] ? caller(classes[key], target[key]) : target[key],
  });
}

/** An object's storage and clock, as it sees them. */
function faulty(state) {
  const { storage } = state;
  const exec = storage.sql.exec.bind(storage.sql);
  let isBusy = false;
  storage.sql.exec = (query, ...bindings) => {
    const writes = /^\s*(INSERT|UPDATE|CREATE)/i.test(query);
    if (writes && faults.disk === 'full') {
      faults.failed++;
      throw new Error('database or disk is full: SQLITE_FULL');
    }
    if (writes && faults.disk === 'slow' && !isBusy) {
      isBusy = true;
      faults.failed++;
      state.blockConcurrencyWhile(pause).then(() => { isBusy = false; });
    }
    return exec(query, ...bindings);
  };
  const [setAlarm, getAlarm] = [storage.setAlarm.bind(storage), storage.getAlarm.bind(storage)];
  storage.setAlarm = (at) => setAlarm(new Date(at.getTime() - faults.ahead));
  storage.getAlarm = async () => {
    const at = await getAlarm();
    return at === null ? null : at + faults.ahead;
  };
  return state;
}

const exposed = (BuiltClass) => class extends BuiltClass {
  constructor(state, env) {
    super(faulty(state), unreliable(env));
  }
};

export const [App, Channel, Relay] = [BuiltApp, BuiltChannel, BuiltRelay].map(exposed);

export default class extends Built {
  constructor(context, env) {
    super(context, unreliable(env));
  }

  fetch(request) {
    const url = new URL(request.url);
    if (url.pathname !== PATH) return super.fetch(request);
    const { each = 1, ahead = 0, ...others } = Object.fromEntries(url.searchParams);
    Object.assign(faults, whole, others, { each: Number(each), ahead: Number(ahead) });
    return Response.json(faults);
  }
}
