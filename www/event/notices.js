/**
 * What is said over the page to everyone who looks or listens. It goes by itself, but not while it is pointed at or has
 * the keyboard; trouble stands longer than news, and goes when what failed has worked.
 */
import { button, byId, h } from './dom.js';
import { text } from './strings.js';

const NEWS_MS = 10_000;
const TROUBLE_MS = 20_000;

export class Notices {
  #element = byId('toast');
  #said = h('span');
  /** What failed, if something did. @type {string | undefined} */
  #kind;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #end;

  constructor() {
    this.#element.replaceChildren(this.#said, button('✕', () => this.#hide(), { class: 'link',
      'aria-label': text.dismiss }));
  }

  /** @param {string} what */
  news(what) {
    this.#show(what, 'status', NEWS_MS);
    this.#kind = undefined;
  }

  /** @param {string} what @param {string} kind of what was tried */
  trouble(what, kind) {
    this.#show(what, 'alert', TROUBLE_MS);
    this.#kind = kind;
  }

  /** @param {string} kind of what was tried and has worked */
  worked(kind) {
    if (this.#kind === kind) this.#hide();
  }

  /** @param {string} what @param {string} role @param {number} ms */
  #show(what, role, ms) {
    this.#element.setAttribute('role', role);
    this.#element.hidden = false;
    this.#said.textContent = what;
    this.#endIn(ms);
  }

  /** @param {number} ms */
  #endIn(ms) {
    clearTimeout(this.#end);
    this.#end = setTimeout(() => {
      if (this.#element.matches(':hover, :focus-within')) this.#endIn(ms);
      else this.#hide();
    }, ms);
  }

  #hide() {
    clearTimeout(this.#end);
    this.#kind = undefined;
    this.#element.hidden = true;
  }
}
