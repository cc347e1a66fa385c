/** One who watches a channel, and counts what it misses, gets twice or gets too early. */
import { Line, action } from './line.mjs';

const SUBSCRIBE = 1 << 18;
const RESUMED = 1 << 2;

/**
 * @typedef {object} Watched what all viewers have in common
 * @property {import('../client/place.mjs').Place} place
 * @property {string} channel
 * @property {boolean} direct whether the channel's own object holds them
 * @property {number} publishers
 * @property {(bytes: Buffer) => import('./line.mjs').Frame & { items?: import('./payload.mjs').Item[] }} read
 * @property {(item: import('./payload.mjs').Item) => void} delivered
 */

export class Viewer {
  isReady = false;
  /** That it was told of. */
  gaps = 0;
  repeats = 0;
  disorders = 0;
  /** Numbers that it has not got although it got later ones, by publisher. @type {Set<number>[]} */
  missing;
  /** The number that it has next, by publisher. */
  next;
  #serial = '';
  #line;
  #watched;

  /** @param {Watched} watched @param {() => void} ready */
  constructor(watched, ready) {
    this.#watched = watched;
    this.ready = ready;
    this.next = new Array(watched.publishers).fill(0);
    this.missing = this.next.map(() => new Set());
    /** @type {Record<string, string>} */
    const query = watched.direct ? { channel: watched.channel } : {};
    this.#line = new Line(watched.place, query, watched.read, (frame) => this.#hear(frame));
  }

  run() {
    return this.#line.run();
  }

  close() {
    this.#line.close();
  }

  get isUp() {
    return this.#line.isUp;
  }

  get returns() {
    return this.#line.returns;
  }

  #attach() {
    const { channel } = this.#watched;
    const serial = this.#serial === '' ? {} : { channelSerial: this.#serial };
    this.#line.send({ action: action.attach, channel, flags: SUBSCRIBE, ...serial });
  }

  /** @param {import('./line.mjs').Frame} frame */
  #hear(frame) {
    switch (frame.action) {
      case action.message: return this.#take(frame);
      case action.connected:
      case action.detached: return this.#attach();
      case action.attached: return this.#attached(frame);
    }
  }

  /** @param {import('./line.mjs').Frame} frame */
  #attached({ flags = 0, channelSerial }) {
    if (this.isReady && (flags & RESUMED) === 0) this.gaps += 1;
    if (this.#serial === '') this.#serial = channelSerial ?? '';
    if (this.isReady) return;
    this.isReady = true;
    this.ready();
  }

  /** @param {import('./line.mjs').Frame} frame */
  #take({ channelSerial, items }) {
    if (channelSerial) {
      if (channelSerial < this.#serial) this.disorders += 1;
      this.#serial = channelSerial;
    }
    for (const item of items) this.#count(item);
  }

  /** @param {import('./payload.mjs').Item} item */
  #count(item) {
    const { publisher, number } = item;
    const next = this.next[publisher] ?? 0;
    const missing = this.missing[publisher] ?? new Set();
    if (number < next && !missing.delete(number)) { this.repeats += 1; return; }
    if (number < next) this.disorders += 1;
    for (let skipped = next; skipped < number; skipped++) missing.add(skipped);
    if (number >= next) this.next[publisher] = number + 1;
    this.#watched.delivered(item);
  }
}
