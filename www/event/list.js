/**
 * A list that may be as long as it likes: only a window of it is in the page. It stays at its end while the reader is
 * there, and where the reader is otherwise. Who shows rows does so at most once a frame.
 */
import { button, h } from './dom.js';

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
    this.#rows = rows;
    // At once: a scroll event between rows and what is drawn of them would find the reader not at the end.
    this.#render();
  }

  toEnd() {
    this.#pinned = true;
    this.#render();
  }

  #render() {
    const last = Math.max(0, this.#rows.length - WINDOW);
    this.#first = this.#pinned ? last : Math.min(this.#first, last);
    const shown = this.#rows.slice(this.#first, this.#first + WINDOW);
    const drawn = new Map(shown.map((row) => [row.key, this.#nodeOf(row)]));
    const nodes = [...drawn.values()].map(({ node }) => node);
    for (const [key, { node }] of this.#drawn) if (drawn.get(key)?.node !== node) node.remove();
    nodes.forEach((node, index) => {
      const there = this.#scroller.children[index];
      if (there !== node) this.#scroller.insertBefore(node, there ?? null);
    });
    this.#drawn = drawn;
    this.#toEnd.hidden = this.#pinned;
    if (this.#pinned) this.#stick();
  }

  /** @param {T} row */
  #nodeOf(row) {
    const known = this.#drawn.get(row.key);
    return known?.version === row.version ? known : { node: this.#row(row), version: row.version };
  }

  #stick() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    const isLast = this.#first + WINDOW >= this.#rows.length;
    this.#pinned = isLast && below < 4;
    this.#toEnd.hidden = this.#pinned;
    if (scrollTop < NEAR && this.#first > 0) this.#move(-STEP);
    else if (below < NEAR && !isLast) this.#move(STEP);
  }

  /** Moves the window, and keeps what the reader looks at where it is. @param {number} by */
  #move(by) {
    const first = Math.min(Math.max(0, this.#first + by), Math.max(0, this.#rows.length - WINDOW));
    const anchor = this.#drawn.get(this.#rows[Math.max(first, this.#first)]?.key ?? '')?.node;
    const before = anchor?.offsetTop ?? 0;
    this.#first = first;
    this.#render();
    if (anchor) this.#scroller.scrollTop += anchor.offsetTop - before;
  }
}
