/**
 * What the runtime calls: the classes of the objects and the entrypoint, around those that are in WebAssembly.
 *
 * A panic ends the WebAssembly instance and with it the memory of every object in this isolate. The next event gets
 * another instance, and its object is built again from what the platform keeps, as after any loss of memory.
 */
import { DurableObject, WorkerEntrypoint } from 'cloudflare:workers';
import * as built from './index.js';

// That of the generated code: it says when an instance has ended, and counts them.
const instance = built.__worker_init_state();

function enter() {
  if (!instance.criticalError) return;
  built.__wbg_reset_state();
  instance.criticalError = false;
  instance.instanceId += 1;
}

function note(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    console.error('a panic ended the instance', error);
    instance.criticalError = true;
  }
}

// In what goes on after an await nobody else would see it.
addEventListener('error', ({ error }) => note(error));
addEventListener('unhandledrejection', ({ reason }) => note(reason));

// WebAssembly queues its tasks by this. The runtime's own function keeps an asynchronous context for each task. No task
// here has one, and a lone message costs 6 % more with it.
const begun = Promise.resolve();
globalThis.queueMicrotask = (task) => void begun.then(task);

function inside(call) {
  enter();
  try {
    return call();
  } catch (error) {
    note(error);
    throw error;
  }
}

/** The object of a class in WebAssembly, for as long as the platform keeps it in memory. */
const objectOf = (name) => class extends DurableObject {
  #inner;
  #builtIn;

  constructor(state, env) {
    super(state, env);
    inside(() => this.inner());
  }

  /** The router says what a request is for by headers, and no client's own come through. */
  fetch(request) {
    const handover = request.headers.get('courtside-handover') ?? undefined;
    const claim = request.headers.get('courtside-claim') ?? undefined;
    return new Promise((resolve, reject) => {
      const done = (response) => (response ? resolve(response) : reject(new Error('no response could be made')));
      inside(() => this.inner().hear(request, handover, claim, done));
    });
  }

  /** What another object or the router asks, and gets as bytes. */
  ask(about, question) {
    return new Promise((resolve) => inside(() => this.inner().ask(about, question, resolve)));
  }

  inner() {
    if (this.#builtIn !== instance.instanceId) {
      this.#inner = new built[name](this.ctx, this.env);
      this.#builtIn = instance.instanceId;
    }
    return this.#inner;
  }

  static {
    // Only those that there are: whether a class hears of WebSockets decides how the platform treats them.
    for (const event of ['alarm', 'webSocketMessage', 'webSocketClose', 'webSocketError']) {
      if (!built[name].prototype[event]) continue;
      this.prototype[event] = function hear(...args) {
        return inside(() => this.inner()[event](...args));
      };
    }
  }
};

export const App = objectOf('App');
export const Channel = objectOf('Channel');
export const Relay = objectOf('Relay');

export default class extends WorkerEntrypoint {
  fetch(request) {
    request.courtsideContext = this.ctx;
    return inside(() => built.fetch(request, this.env, this.ctx));
  }
}
