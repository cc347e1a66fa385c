// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, unchanged, with a meter on what the platform bills: requests to the worker and to objects, frames
 * that arrive, alarms, rows, and for how long objects are awake. `GET /bench/meter` reads it.
 */
import courtside, { App as BuiltApp, Channel as BuiltChannel, Relay as BuiltRelay } from './index.js';

/** An object that hears nothing for this long sleeps. */
const AWAKE_MS = 10_000;

const counts = {};
const add = (what, more = 1) => { counts[what] = (counts[what] ?? 0) + more; };

/**
 * A statement's rows are counted once they have been taken: at the latest when the next statement comes.
 */
let cursor;
function settle() {
  add('rows read', cursor?.rowsRead ?? 0);
  add('rows written', cursor?.rowsWritten ?? 0);
  cursor = undefined;
}

const kinds = new WeakMap();
let patched = false;
function patch(storage, kind) {
  kinds.set(storage, kind);
  if (patched) return;
  patched = true;
  const [sql, alarms] = [Object.getPrototypeOf(storage.sql), Object.getPrototypeOf(storage)];
  const { exec } = sql;
  sql.exec = function (...args) {
    settle();
    cursor = exec.apply(this, args);
    return cursor;
  };
  const { setAlarm } = alarms;
  alarms.setAlarm = function (...args) {
    add(`${kinds.get(this)} alarms set`);
    return setAlarm.apply(this, args);
  };
}

/** By id: when the object's last event was, and how long it was awake until then. */
const objects = new Map();
function event(id) {
  const now = Date.now();
  const { last, awake } = objects.get(id) ?? { last: now, awake: 0 };
  objects.set(id, { last: now, awake: awake + Math.min(now - last, AWAKE_MS) });
}

function metered(Built, kind) {
  return class extends Built {
    constructor(context, env) {
      super(context, env);
      patch(context.storage, kind);
      this.meteredId = `${kind} ${context.id}`;
    }

    fetch(request) {
      event(this.meteredId);
      add(`${kind} ${new URL(request.url).pathname}`);
      return super.fetch(request);
    }

    ask(about, question) {
      event(this.meteredId);
      add(`${kind} /${about}`);
      return super.ask(about, question);
    }

    webSocketMessage(socket, message) {
      event(this.meteredId);
      add('frames');
      return super.webSocketMessage(socket, message);
    }

    alarm() {
      event(this.meteredId);
      add(`${kind} alarm`);
      return super.alarm();
    }
  };
}

export const App = metered(BuiltApp, 'App');
export const Channel = metered(BuiltChannel, 'Channel');
export const Relay = metered(BuiltRelay, 'Relay');

export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname !== '/bench/meter') {
      add('worker requests');
      return new courtside(context, env).fetch(request);
    }
    settle();
    const awake = (kind) => [...objects].filter(([id]) => id.startsWith(kind)).reduce((sum, [, { awake }]) => sum + awake, 0) / 1000;
    const relays = [...objects.keys()].filter((id) => id.startsWith('Relay')).length;
    return Response.json({ ...counts, 'awake seconds': awake(''), 'App awake seconds': awake('App'), objects: objects.size, relays });
  },
};
