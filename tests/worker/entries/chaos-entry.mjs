// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, unchanged, whose objects end as they do when the platform moves them: at any instant, with their
 * sockets and requests. `/chaos?of=Channel&name=demo/scores` ends one of them.
 */
import Built, { App as BuiltApp, Channel as BuiltChannel, Relay as BuiltRelay } from './index.js';

export * from './index.js';

const PATH = '/chaos';

/** A class of objects that end when they are told to. */
const mortal = (BuiltClass) => class extends BuiltClass {
  #state;

  constructor(state, env) {
    super(state, env);
    this.#state = state;
  }

  fetch(request) {
    if (new URL(request.url).pathname !== PATH) return super.fetch(request);
    // When the turn is over: to end an object in the middle of one ends all others of the isolate too.
    setTimeout(() => this.#state.abort('the object has to move'));
    return new Response();
  }
};

export const [App, Channel, Relay] = [BuiltApp, BuiltChannel, BuiltRelay].map(mortal);

export default class extends Built {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== PATH) return super.fetch(request);
    const objects = this.env[searchParams.get('of').toUpperCase()];
    return objects.getByName(searchParams.get('name')).fetch(`http://object${PATH}`);
  }
}
