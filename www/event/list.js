/**
 * A list that may be as long as it likes: only a window of it is in the page. It stays at its end while the reader is
 * there, and where the reader is otherwise, such as on a control with the keyboard. Who shows rows does so at most once
 * a frame.
 */
import { button, h, liken, redraw } from './dom.js';

/** Rows in the page at once: three tall screens of a phone. */
const WINDOW = 60;
/** Rows that the window moves by, when the reader comes near its edge. */
const STEP = 20;
/** How near, in pixels. */
const NEAR = 240;

/** @typedef {{ key: string, version: number }} Row what a row is drawn from; drawn again when its version changes */

/** @template {Row} T */
export class VirtualList {
  /** @type {T[]} */
  #rows = [];
  /** The first row in the page. */
  #first = 0;
  /** Whether the reader is at the end. */
  #pinned = true;
  /** @type {Map<string, { node: HTMLElement, version: number }>} */
  #drawn = new Map();
  #row;
  #scroller;
  #toEnd;
  element;

  /** @param {(row: T) => HTMLElement} row @param {{ label: string, latest: string }} texts */
  constructor(row, { label, latest }) {
    this.#row = row;
    this.#scroller = h('div', { class: 'list-scroll', role: 'log', 'aria-label': label, tabindex: '0' });
    this.#toEnd = button(latest, () => this.toEnd(), { class: 'to-end', hidden: true });
    this.element = h('div', { class: 'list' }, this.#scroller, this.#toEnd);
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#pinned && this.#stick()).observe(this.#scroller);
  }

  /** @param {T[]} rows in order */
  show(rows) {
    if (this.#hasKeyboard()) this.#pinned = false;
    else this.#pinned ||= this.#isAtEnd();
    this.#rows = rows;
    // At once: a scroll event between rows and what is drawn of them would find the reader not at the end.
    this.#render();
  }

  toEnd() {
    // It is about to be hidden.
    if (document.activeElement === this.#toEnd) this.#scroller.focus({ preventScroll: true });
    this.#pinned = true;
    this.#render();
  }

  /** Draws the window, moved by so many rows, and leaves what the reader looks at where it is. */
  #render(by = 0) {
    const anchor = this.#pinned ? undefined : this.#anchor();
    const last = Math.max(0, this.#rows.length - WINDOW);
    this.#first = this.#pinned ? last : Math.min(Math.max(0, (anchor?.first ?? this.#first) + by), last);
    const shown = this.#rows.slice(this.#first, this.#first + WINDOW);
    const drawn = new Map();
    redraw(this.#scroller, () => {
      for (const row of shown) drawn.set(row.key, { node: this.#nodeOf(row), version: row.version });
      for (const [key, { node }] of this.#drawn) if (drawn.get(key)?.node !== node) node.remove();
      [...drawn.values()].forEach(({ node }, index) => {
        const there = this.#scroller.children[index];
        if (there !== node) this.#scroller.insertBefore(node, there ?? null);
      });
    });
    this.#drawn = drawn;
    this.#toEnd.hidden = this.#pinned;
    const node = anchor && drawn.get(anchor.key)?.node;
    if (this.#pinned) this.#stick();
    else if (node) this.#scroller.scrollTop += this.#below(node) - anchor.below;
  }

  /** The first row in sight that there still is, how far down it is, and where the window begins so that it stays. */
  #anchor() {
    const now = new Map(this.#rows.map(({ key }, index) => [key, index]));
    let place = -1;
    for (const [key, { node }] of this.#drawn) {
      place++;
      const index = now.get(key);
      const below = this.#below(node);
      if (index !== undefined && below + node.offsetHeight > 0) return { key, below, first: index - place };
    }
    return undefined;
  }

  /** How far a row is below the upper edge. @param {HTMLElement} node */
  #below(node) {
    return node.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top;
  }

  /** One that is there stays, and what is new about it changes in it. @param {T} row */
  #nodeOf(row) {
    const known = this.#drawn.get(row.key);
    if (!known) return this.#row(row);
    return known.version === row.version ? known.node : liken(known.node, this.#row(row));
  }

  #stick() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #scrolled() {
    this.#pinned = this.#isAtEnd() && !this.#hasKeyboard();
    this.#toEnd.hidden = this.#pinned;
    if (this.#scroller.scrollTop < NEAR && this.#first > 0) this.#render(-STEP);
    else if (this.#left() < NEAR && !this.#hasLast()) this.#render(STEP);
  }

  /** How much there is below what is in sight. */
  #left() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  #hasLast() {
    return this.#first + WINDOW >= this.#rows.length;
  }

  #isAtEnd() {
    return this.#hasLast() && this.#left() < 4;
  }

  /** Whether a row would take the keyboard with it. */
  #hasKeyboard() {
    return this.#scroller.querySelector(':focus-visible') !== null;
  }
}
