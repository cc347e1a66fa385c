/** The published SDK as a user of a runtime, and an inbox that collects what a channel gets. */
import Ably from 'ably';

/** @typedef {import('./runtime.mjs').Runtime} Runtime */
/** @typedef {Pick<import('node:test').TestContext, 'after'>} Scope who closes what it opened */
/** @typedef {import('ably').InboundMessage | import('ably').Message} Message */

export const demoKey = 'demo.key1:local-only';

/** Both ways to speak: what a browser picks, and what Node picks. */
export const formats = [
  { format: 'JSON', useBinaryProtocol: false },
  { format: 'msgpack', useBinaryProtocol: true },
];

/** An app whose keys may do little, beside the one that may do everything. */
export const appsWithFewRights = {
  apps: [{
    id: 'demo',
    keys: [
      { name: 'key1', secret: 'local-only', capability: { '*': ['*'] } },
      { name: 'reader', secret: 'local-only', capability: { 'open:*': ['subscribe', 'history'] } },
      { name: 'writer', secret: 'local-only', capability: { 'open:*': ['publish'] } },
    ],
    namespaces: [{ id: 'persisted', persisted: true }],
  }],
};

/**
 * @param {{ clientOptions: object }} server
 * @param {import('ably').ClientOptions} [options]
 * @returns {import('ably').ClientOptions}
 */
export function optionsFor(server, options) {
  return { key: demoKey, logLevel: 0, disconnectedRetryTimeout: 100, ...server.clientOptions, ...options };
}

/**
 * A realtime client, closed with the test.
 * @param {Scope} scope
 * @param {{ clientOptions: object }} server
 * @param {import('ably').ClientOptions} [options]
 */
export function realtime(scope, server, options) {
  const client = new Ably.Realtime(optionsFor(server, options));
  scope.after(() => closed(client));
  return client;
}

/**
 * The same, once it is connected.
 * @param {Scope} scope
 * @param {{ clientOptions: object }} server
 * @param {import('ably').ClientOptions} [options]
 */
export async function connected(scope, server, options) {
  const client = realtime(scope, server, options);
  await inState(client.connection, 'connected');
  return client;
}

/** Closes a client, and waits until it is: it must not outlive its test. @param {import('ably').Realtime} client */
export async function closed(client) {
  client.close();
  if (client.connection.state !== 'failed') await inState(client.connection, 'closed');
}

/** @param {{ clientOptions: object }} server @param {import('ably').ClientOptions} [options] */
export function rest(server, options) {
  return new Ably.Rest(optionsFor(server, options));
}

/**
 * Resolves when a connection or channel is in the state; rejects when it failed on the way.
 * @param {any} what
 * @param {string} state
 */
export async function inState(what, state) {
  if (what.state === state) return;
  await new Promise((resolve, reject) => {
    const listen = (/** @type {any} */ change) => {
      if (change.current !== state && change.current !== 'failed') return;
      what.off(listen);
      if (change.current === state) resolve(change);
      else reject(change.reason);
    };
    what.on(listen);
  });
}

/**
 * What becomes of a connection from now on, of one kind or of all. It is noted and looked at later: what a listener
 * throws the SDK keeps to itself.
 * @param {import('ably').Realtime} client @param {import('ably').ConnectionEvent} [event]
 */
export function changesOf({ connection }, event) {
  /** @type {import('ably').ConnectionStateChange[]} */
  const changes = [];
  const note = (/** @type {import('ably').ConnectionStateChange} */ change) => { changes.push(change); };
  if (event) connection.on(event, note);
  else connection.on(note);
  return changes;
}

/** What a channel receives from now on, in order. */
export class Inbox {
  /** @type {import('ably').InboundMessage[]} */
  messages = [];
  /** @type {(() => void)[]} */
  #watchers = [];

  /** @param {import('ably').RealtimeChannel} channel */
  static async of(channel) {
    const inbox = new Inbox();
    await channel.subscribe((message) => {
      inbox.messages.push(message);
      inbox.#watchers.forEach((watch) => watch());
    });
    return inbox;
  }

  get data() {
    return this.messages.map((message) => message.data);
  }

  get ids() {
    return this.messages.map((message) => message.id);
  }

  /**
   * The messages, once there are so many, or once this data has come.
   * @param {number | string} wanted
   */
  async until(wanted) {
    const done = () => typeof wanted === 'number'
      ? this.messages.length >= wanted
      : this.messages.some((message) => message.data === wanted);
    await new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
      const watch = () => {
        if (!done()) return;
        this.#watchers = this.#watchers.filter((other) => other !== watch);
        resolve();
      };
      this.#watchers.push(watch);
      watch();
    });
    return this.messages;
  }
}

/** Collects what comes, and resolves when something comes that is wanted. */
export class Heard {
  /** @type {any[]} */
  all = [];
  /** @type {(() => void)[]} */
  #watchers = [];

  hear = (/** @type {any} */ item) => {
    this.all.push(item);
    this.#watchers.splice(0).forEach((watch) => watch());
  };

  /** @param {(item: any) => unknown} isWanted */
  async until(isWanted) {
    for (;;) {
      const found = this.all.find(isWanted);
      if (found) return found;
      await new Promise((/** @type {(value?: unknown) => void} */ resolve) => this.#watchers.push(resolve));
    }
  }
}

/**
 * The whole history of a channel, oldest first, page by page.
 * @param {{ history: (params: object) => Promise<import('ably').PaginatedResult<any>> }} channel
 * @returns {Promise<import('ably').InboundMessage[]>}
 */
export async function wholeHistory(channel) {
  const messages = [];
  /** @type {import('ably').PaginatedResult<any> | null} */
  let page = await channel.history({ direction: 'forwards', limit: 1000 });
  while (page) {
    messages.push(...page.items);
    page = page.hasNext() ? await page.next() : null;
  }
  return messages;
}

/** The messages of history that have this data. @param {any} channel @param {unknown} data */
export async function inHistory(channel, data) {
  return (await wholeHistory(channel)).filter((message) => message.data === data);
}
