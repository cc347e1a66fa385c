/** One who publishes each message once: what was not acknowledged when it lost its connection, it sends again. */
import { UNACKNOWLEDGED_MAX } from '../client/limits.mjs';
import { Line, action } from './line.mjs';
import { NAME, written } from './payload.mjs';

/**
 * @typedef {{ number: number, text: string }} Sent
 * @typedef {object} Told
 * @property {import('../client/place.mjs').Place} place
 * @property {string} channel
 * @property {string} run
 * @property {number} index which of the run's publishers it is
 * @property {number} bytes of a message
 */

export class Publisher {
  acknowledged = 0;
  /** Numbers that the server refused. @type {Set<number>} */
  refused = new Set();
  /** What it said of the last of them. @type {string | undefined} */
  why;
  next = 0;
  #wasIn = false;
  /** In their order. @type {Sent[]} */
  #open = [];
  #msgSerial = 0;
  /** The serial of the first that is open. */
  #firstSerial = 0;
  #line;

  /**
   * @param {Told} told
   * @param {() => void} ready
   */
  constructor(told, ready) {
    this.told = told;
    this.ready = ready;
    const read = (/** @type {Buffer} */ bytes) => JSON.parse(bytes.toString());
    this.#line = new Line(told.place, { echo: 'false' }, read, (frame) => this.#hear(frame));
  }

  async run() {
    await this.#line.run();
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

  get isDone() {
    return this.#open.length === 0;
  }

  /** Whether it could. It can't while too much is not acknowledged: the server is slower than the pace. */
  publish() {
    if (!this.#wasIn || this.#open.length >= UNACKNOWLEDGED_MAX) return false;
    const { run, index, bytes } = this.told;
    const number = this.next++;
    const text = written(run, { publisher: index, number, sentAt: performance.now() }, bytes);
    this.#open.push({ number, text });
    this.#send({ number, text });
    return true;
  }

  /** @param {Sent} sent */
  #send({ number, text }) {
    // What is not sent now is sent when the connection is back.
    if (!this.#line.isUp) return;
    const { channel, run, index } = this.told;
    const messages = [{ id: `${run}-${index}-${number}`, name: NAME, data: text }];
    this.#line.send({ action: action.message, channel, msgSerial: this.#msgSerial++, messages });
  }

  /** @param {import('./line.mjs').Frame} frame */
  #hear(frame) {
    if (frame.action === action.connected) {
      const isFirst = !this.#wasIn;
      this.#wasIn = true;
      this.#msgSerial = 0;
      this.#firstSerial = 0;
      for (const sent of this.#open) this.#send(sent);
      if (isFirst) this.ready();
    } else if (frame.action === action.ack || frame.action === action.nack) this.#settle(frame);
  }

  /** @param {import('./line.mjs').Frame} frame */
  #settle({ action: what, msgSerial, count = 1, error }) {
    const end = msgSerial + count - this.#firstSerial;
    const settled = this.#open.splice(0, Math.max(0, end));
    this.#firstSerial += settled.length;
    if (what === action.ack) this.acknowledged += settled.length;
    else {
      for (const { number } of settled) this.refused.add(number);
      this.why = `${error?.message} (${error?.code})`;
    }
  }
}
