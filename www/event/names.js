/**
 * What attendees call themselves now. A clientId says the name that one came with, and stays: votes, one's own messages
 * and what a host does about somebody go by it. Who changes the name says so on a channel of its own, and every place
 * that shows the clientId shows the name that was said last.
 */
import { perFrame } from './dom.js';
import { Log } from './log.js';
import { isHost, nameFrom, nameOf } from './people.js';
import { text } from './strings.js';

/** The channel. */
export const NAMES = 'event:names';
/** Changes that are read when the page begins: as many as the server gives at once. */
const HISTORY = 1_000;
/** As the server bounds the name that one comes with. */
const NAME_MAX = 40;

export class Names {
  /** @type {Map<string, string>} */
  #said = new Map();
  /** @type {(() => void)[]} */
  #listeners = [];
  #log;

  /** @param {import('ably').Realtime} ably */
  constructor(ably) {
    this.#log = new Log(ably.channels.get(NAMES), perFrame(() => this.#read()), HISTORY);
  }

  #read() {
    const said = this.#log.entries.filter(({ name, data, deleted, clientId }) => name === 'name' && !deleted
      && typeof data?.name === 'string' && clientId !== '' && !isHost(clientId));
    this.#said = new Map(said.map(({ clientId, data }) => [clientId, [...nameFrom(data.name)].slice(0,
      NAME_MAX).join('')]));
    for (const listener of this.#listeners) listener();
  }

  /** @param {string | undefined} clientId */
  of(clientId) {
    return this.#said.get(clientId ?? '') || nameOf(clientId, text.anonymous);
  }

  /** Calls whenever somebody has another name. @param {() => void} listener */
  on(listener) {
    this.#listeners.push(listener);
  }

  /** From now on this client is called so. @param {string} name */
  async choose(name) {
    await this.#log.channel.publish('name', { name });
  }
}
