/** What a client of a channel has seen in a round of chaos.mjs, by whichever way it listens. */
import { EventReader } from './event_reader.mjs';
import { delay } from './trials.mjs';

/** @typedef {import('./runtime.mjs').Runtime} Runtime */
/** @typedef {{ name?: string, data: any, action: string, version: string }} Known a message as a client has it */
/**
 * The runtime, when it can be reached, and when there may be traffic.
 * @typedef {{ runtime: Runtime, up: Promise<unknown>, flow: Promise<unknown> }} Server
 */

/** The last message of a round: a view that has it has all. */
export const END = 'end';

const ACTIONS = ['message.create', 'message.update', 'message.delete', 'meta', 'message.summary', 'message.append'];

/** Before a request that failed is made again. */
const RETRY_MS = 50;

/** Messages as they are after all that was seen, and what was seen amiss. */
export class View {
  /** By serial. @type {Map<string, Known>} */
  messages = new Map();
  /** By serial: the last summary that came by itself. @type {Map<string, any>} */
  summaries = new Map();
  /** What no reader may see. @type {string[]} */
  faults = [];
  gaps = 0;
  /** Where it is, for who looks for a fault. */
  note = '';
  ended = false;
  #last = '';

  /**
   * @param {string} who
   * @param {{ isInOrder?: boolean, isRewound?: boolean, passes?: (name?: string) => boolean }} [options]
   *   `isInOrder`: each thing comes where it happened, which a rewind does not promise
   */
  constructor(who, { isInOrder = true, isRewound = false, passes = () => true } = {}) {
    this.who = who;
    this.isInOrder = isInOrder;
    this.isRewound = isRewound;
    this.passes = passes;
  }

  /** @param {any} message as the SDK gives it, or as JSON */
  take(message) {
    const action = typeof message.action === 'number' ? ACTIONS[message.action] : message.action ?? ACTIONS[0];
    const { serial, name, data } = message;
    if (action === 'message.summary') return void this.summaries.set(serial, message.annotations?.summary);
    const version = message.version?.serial ?? serial;
    if (this.isInOrder && version <= this.#last) this.faults.push(`${version} came behind ${this.#last}`);
    this.#last = version;
    const known = this.messages.get(serial);
    if (action === 'message.append' && !known) this.faults.push(`an append came to ${serial}, which had not come`);
    const isAppend = action === 'message.append';
    this.messages.set(serial, { name, version, action: isAppend ? 'message.update' : action, data: isAppend ? `${known?.data}${data}` : data });
    if (data === END) this.ended = true;
  }

  /** It was told that something may be missing. */
  gap() {
    this.gaps++;
  }
}

/**
 * A view through the SDK; resolves when it is attached.
 * @param {View} view
 * @param {import('ably').RealtimeChannel} channel
 */
export async function follow(view, channel) {
  await channel.subscribe((message) => view.take(message));
  const attached = (/** @type {import('ably').ChannelStateChange} */ change) => {
    if (!change.resumed) view.gap();
  };
  channel.on(['attached', 'update'], attached);
  return view;
}

/** Reads again and again over plain HTTP, going on where it was, whatever becomes of its requests. */
class Reader {
  /** @type {() => void} */
  #leave = () => {};
  #going = true;
  #reading = Promise.resolve();

  /** @param {Server} server @param {View} view */
  constructor(server, view) {
    this.server = server;
    this.view = view;
  }

  /** Leaves what it reads without a word, and comes back. */
  drop() {
    this.#leave();
  }

  /** Resolves when it reads. */
  async begin() {
    await new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
      this.#reading = this.#read(() => resolve());
    });
    return this;
  }

  async end() {
    this.#going = false;
    this.drop();
    await this.#reading;
  }

  /** @param {() => void} begun */
  async #read(begun) {
    while (this.#going && !this.view.ended) {
      await Promise.all([this.server.up, this.server.flow]);
      try {
        await this.once((leave) => { this.#leave = leave; }, begun);
      } catch (error) {
        this.view.note += `: ${error}`;
        await delay(RETRY_MS);
      }
    }
  }

  /**
   * One request; fails when it has to be made again.
   * @param {(leave: () => void) => void} _leaving takes how to leave it
   * @param {() => void} _begun
   * @returns {Promise<void>}
   */
  async once(_leaving, _begun) {
    throw new Error('it knows nothing to ask');
  }
}

/** Reads an event stream, and comes back with the id of the last event. */
export class StreamReader extends Reader {
  #lastId = '';

  /** @param {Server} server @param {View} view @param {Record<string, string>} query @param {string} [path] */
  constructor(server, view, query, path = '/sse') {
    super(server, view);
    this.query = query;
    this.path = path;
  }

  /** @param {(leave: () => void) => void} leaving @param {() => void} begun */
  async once(leaving, begun) {
    const headers = this.#lastId ? { 'last-event-id': this.#lastId } : undefined;
    const stream = await EventReader.open(this.server.runtime, this.query, { path: this.path, headers });
    leaving(() => stream.leave());
    // Before its place is known it has none to come back to.
    await Promise.race([stream.attached(), stream.end()]);
    if (stream.lastId) begun();
    try {
      for (;;) this.#take(await stream.next());
    } finally {
      this.#lastId = stream.lastId || this.#lastId;
      stream.leave();
    }
  }

  /** @param {import('./event_reader.mjs').StreamEvent} event */
  #take({ event, data }) {
    if (event === 'message') this.view.take(data);
    if (event === 'gap') this.view.gap();
    if (this.view.ended) throw new Error('it has all');
  }
}

/** Asks for what follows, and waits for it, from the first message on. */
export class WaitingReader extends Reader {
  /** @type {Record<string, string>} */
  #query = {};

  /** @param {Server} server @param {View} view @param {string} channel @param {string} key */
  constructor(server, view, channel, key) {
    super(server, view);
    this.path = `/channels/${encodeURIComponent(channel)}/messages`;
    this.key = key;
  }

  /** @param {(leave: () => void) => void} leaving @param {() => void} begun */
  async once(leaving, begun) {
    begun();
    this.view.note = `asks ${JSON.stringify(this.#query)}`;
    const leave = new AbortController();
    leaving(() => leave.abort());
    const query = new URLSearchParams({ wait: '1', ...this.#query, key: this.key });
    // Node's fetch never settles the body of a compressed answer that it leaves.
    const headers = { 'accept-encoding': 'identity' };
    const answer = await fetch(`${this.server.runtime.url}${this.path}?${query}`, { signal: leave.signal, headers });
    this.view.note = `answered ${answer.status} to ${query}`;
    const page = /** @type {any} */ (await answer.json());
    this.view.note = `had ${page.length} of ${query}`;
    if (page.error?.code === 90003) this.view.gap();
    if (answer.status !== 200) throw new Error(JSON.stringify(page));
    for (const message of page) this.view.take(message);
    const next = answer.headers.get('link')?.match(/<\.\/messages\?([^>]*)>; rel="next"/)?.[1];
    if (next) this.#query = Object.fromEntries(new URLSearchParams(next));
  }
}
