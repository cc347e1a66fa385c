/**
 * What was written and is not acknowledged yet. It stands here until it is, and this tab keeps it until then, also when
 * the page is loaded anew. What fails goes back into its line, with the reason beside it; where something else stands
 * in the line already, it waits here for its reader to send or drop it.
 */
import { h, redraw, rowButton } from './dom.js';
import { keepDrafts, takeDrafts } from './session.js';
import { text } from './strings.js';

/** @typedef {import('./main.js').Context} Context */
/**
 * @typedef {object} Letter
 * @property {string} written
 * @property {() => Promise<unknown>} send
 * @property {() => boolean} back puts it into its line, if there is room
 * @property {boolean} [isKept] whether it can be sent after the page was loaded anew
 */
/** @typedef {Letter & { number?: number, why?: string, isShown: boolean }} Waiting `why` it failed, if it did */

/** What is acknowledged sooner is not shown as waiting, unless there is no connection. */
const SLOW_MS = 400;

export class Outbox {
  #ably;
  #place;
  /** @type {Waiting[]} */
  #all = [];
  /** What is in the line and was not sent: it was put back, or written before a name was chosen. */
  #inLine = '';
  #list = h('ul', { 'aria-label': text.outbox.label });
  #refusal = h('p', { class: 'failed', role: 'alert', hidden: true });
  element = h('div', { class: 'outbox', tabindex: '-1' }, this.#list, this.#refusal);
  /** Of rows. */
  #last = 0;

  /**
   * @param {Context} context @param {string} place
   * @param {(written: string) => Letter} letter of what an earlier load of the page left unsent
   */
  constructor({ ably }, place, letter) {
    this.#ably = ably;
    this.#place = place;
    for (const written of takeDrafts(place)) {
      const left = letter(written);
      if (left.back()) this.#inLine = written;
      else this.#all.push({ ...left, isShown: true, why: text.outbox.left });
    }
    this.#changed();
  }

  /** Keeps what is in the line while the page is loaded anew. @param {string} written */
  keep(written) {
    this.#inLine = written;
    this.#changed();
  }

  /** @param {Letter} letter that has left its line @returns {Promise<boolean>} whether it was acknowledged */
  async send(letter) {
    this.#inLine = '';
    this.#refuse('');
    const waiting = { ...letter, isShown: this.#ably.connection.state !== 'connected' };
    this.#all.push(waiting);
    return this.#sending(waiting);
  }

  /** @param {Waiting} waiting */
  async #sending(waiting) {
    const slow = setTimeout(() => {
      waiting.isShown = true;
      this.#changed();
    }, SLOW_MS);
    this.#changed();
    try {
      await waiting.send();
      this.#drop(waiting);
      return true;
    } catch (error) {
      this.#failed(waiting, text.failedTo(/** @type {Error} */ (error).message));
      return false;
    } finally {
      clearTimeout(slow);
    }
  }

  /** @param {Waiting} waiting @param {string} why */
  #failed(waiting, why) {
    if (waiting.back()) {
      if (waiting.isKept) this.#inLine = waiting.written;
      this.#refuse(why);
      return this.#drop(waiting);
    }
    Object.assign(waiting, { why, isShown: true });
    this.#changed();
  }

  /** @param {Waiting} waiting */
  #drop(waiting) {
    this.#all = this.#all.filter((other) => other !== waiting);
    this.#changed();
  }

  /** @param {string} why */
  #refuse(why) {
    this.#refusal.textContent = why;
    this.#refusal.hidden = why === '';
  }

  #changed() {
    const kept = this.#all.filter(({ isKept }) => isKept).map(({ written }) => written);
    keepDrafts(this.#place, [this.#inLine, ...kept].filter((written) => written !== ''));
    const shown = this.#all.filter(({ isShown }) => isShown);
    redraw(this.element, () => {
      this.#list.replaceChildren(...shown.map((waiting) => this.#row(waiting)));
      this.#list.hidden = shown.length === 0;
    });
  }

  /** @param {Waiting} waiting */
  #row(waiting) {
    const { written, why } = waiting;
    const again = () => {
      waiting.why = undefined;
      void this.#sending(waiting);
    };
    waiting.number ??= ++this.#last;
    return h('li', { 'data-letter': String(waiting.number) }, h('p', { dir: 'auto' }, written), h('p', { class: 'faint', role: why ? 'alert' : 'status' },
      why ?? text.outbox.waiting), why !== undefined && h('div', { class: 'row' },
      rowButton(text.outbox.again, written, again, { class: 'link', 'data-does': 'again' }),
      rowButton(text.outbox.drop, written, () => this.#drop(waiting), { class: 'link', 'data-does': 'drop' })));
  }
}
