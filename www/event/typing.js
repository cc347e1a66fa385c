/** Who is typing. It is said by ephemeral messages, which are delivered and not kept. */
import { h } from './dom.js';
import { text } from './strings.js';

/** The channel. */
export const TYPING = 'event:typing';

/** How often it is said while one types, and how long it holds. */
const EVERY_MS = 2_000;
const HOLDS_MS = 4_000;
/** With so many who type, nobody says that they do: it would be one message for each of them to each who is here. */
const MOST = 10;

export class Typing {
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #who = new Map();
  #toldAt = 0;
  #channel;
  #place;
  #names;
  element = h('p', { class: 'typing', 'aria-live': 'off' });

  /**
   * @param {Pick<import('./main.js').Context, 'ably' | 'names'>} context
   * @param {string} place the channel of the chat
   * @param {(clientId: string) => boolean} isHidden whose typing is not shown
   */
  constructor({ ably, names }, place, isHidden) {
    this.#place = place;
    this.#names = names;
    this.#channel = ably.channels.get(TYPING);
    this.#channel.subscribe('typing', ({ clientId = '', data }) => {
      if (data?.in !== place || isHidden(clientId)) return;
      clearTimeout(this.#who.get(clientId));
      this.#who.set(clientId, setTimeout(() => this.stopped(clientId), HOLDS_MS));
      this.#draw();
    }).catch(() => {});
  }

  tell() {
    if (Date.now() - this.#toldAt < EVERY_MS || this.#who.size >= MOST) return;
    this.#toldAt = Date.now();
    this.#channel.publish({ name: 'typing', data: { in: this.#place }, extras: { ephemeral: true } }).catch(() => {});
  }

  /** @param {string} clientId */
  stopped(clientId) {
    clearTimeout(this.#who.get(clientId));
    if (this.#who.delete(clientId)) this.#draw();
  }

  #draw() {
    const names = [...this.#who.keys()].map((clientId) => this.#names.of(clientId));
    this.element.textContent = names.length > 0 ? text.chat.typing(names) : '';
  }
}
