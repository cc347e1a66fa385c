/**
 * Making elements. Whatever came over the network becomes text nodes here and nothing else: no markup is ever parsed.
 */

import { text } from './strings.js';

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * An element, with attributes, listeners (`onclick`) and children. An attribute that is false or missing is left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, unknown>} [attributes] @param {Child[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** One of the icons in icons.svg. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `/event/icons.svg#${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', 'icon');
  svg.append(use);
  return svg;
}

/** @param {string} label @param {() => unknown} act @param {Record<string, unknown>} [attributes] */
export function button(label, act, attributes = {}) {
  return h('button', { type: 'button', ...attributes, onclick: act }, label);
}

/** Letters of a row that are read out with the name of its button. */
const ROW_NAME = 60;

/** What a button is called that stands in each row of a list. @param {string} label @param {string} row */
export function rowLabel(label, row) {
  const letters = [...row];
  return text.of(label, letters.length > ROW_NAME ? `${letters.slice(0, ROW_NAME).join('')}…` : row);
}

/**
 * One that stands in each row of a list: who hears it and does not see it is told of which row it is.
 * @param {string} label @param {string} row @param {() => unknown} act @param {Record<string, unknown>} [attributes]
 */
export const rowButton = (label, row, act, attributes = {}) =>
  button(label, act, { ...attributes, 'aria-label': rowLabel(label, row) });

const link = /https?:\/\/[^\s<>"']+/gu;

/** Text whose web addresses are links, to where they say and nowhere else. @param {string} text */
export function linked(text) {
  const parts = /** @type {(Node | string)[]} */ ([]);
  let from = 0;
  for (const match of text.matchAll(link)) {
    const address = match[0].replace(/[.,;:!?)\]]+$/u, '');
    if (!URL.canParse(address)) continue;
    parts.push(text.slice(from, match.index));
    parts.push(h('a', { href: address, target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, address));
    from = match.index + address.length;
  }
  return [...parts, text.slice(from)];
}

/** A name that others chose, kept from turning the text around it. @param {string} name */
export const person = (name) => h('bdi', { class: 'person' }, name);

/** @param {string} id */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** What a list is drawn of: each has a key, and controls that say by `data-does` what they do. */
const ROWS = '[data-serial], [data-room], [data-letter]';

/**
 * Draws a list anew and leaves the keyboard where it was: on what does the same in the same row, else on another
 * control of that row, and where the row has gone on the list itself.
 * @param {HTMLElement} list which can be focused @param {() => void} draw
 */
export function redraw(list, draw) {
  const held = document.activeElement;
  const row = held instanceof HTMLElement && list.contains(held) && held.closest(ROWS);
  draw();
  if (!row || list.contains(document.activeElement)) return;
  const same = [...list.querySelectorAll(ROWS)].find((now) => keyOf(now) === keyOf(row));
  const controls = [...same?.querySelectorAll('button:enabled, a') ?? []].map((control) => /** @type {HTMLElement} */ (
    control));
  const place = controls.find(({ dataset }) => dataset.does === held.dataset.does) ?? controls[0] ?? list;
  place.focus({ preventScroll: true });
}

/** @param {Element} row */
const keyOf = (row) => row.getAttribute('data-serial') ?? row.getAttribute('data-room') ?? row.getAttribute('data-letter');

/**
 * Makes what is there like what is now, and touches nothing that is alike: what a screen reader has read it does not
 * read again. Of two that are alike the listeners must be, too.
 * @template {Node} T @param {T} there @param {T} now @returns {T} the one that is there then
 */
export function liken(there, now) {
  if (there.isEqualNode(now)) return there;
  const [olds, news] = [[...there.childNodes], [...now.childNodes]];
  const isAlike = there.cloneNode(false).isEqualNode(now.cloneNode(false)) && olds.length === news.length;
  if (!isAlike || there instanceof HTMLButtonElement) {
    /** @type {ChildNode} */ (/** @type {Node} */ (there)).replaceWith(now);
    return now;
  }
  olds.forEach((old, index) => liken(old, /** @type {Node} */ (news[index])));
  return there;
}

/** How much longer than it drew a part then rests: in a flood three quarters of the page's time are the reader's. */
const REST = 3;
/** Half a frame: what takes no longer is drawn in each. */
const AT_ONCE_MS = 8;

/** How long after a touch has ended its click may come. */
const CLICK_COMES_MS = 100;

/** Draws that are due when no button is held down there any more. @type {Set<() => void>} */
const postponed = new Set();
/** Buttons that are held down, or whose click may be yet to come. @type {Set<Element>} */
const held = new Set();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let releases;

function release() {
  held.clear();
  const due = [...postponed];
  postponed.clear();
  for (const frame of due) frame();
}

// A button that is replaced between a press and the click would never be clicked.
addEventListener('pointerdown', ({ target }) => {
  clearTimeout(releases);
  const button = target instanceof Element && target.closest('button');
  if (button) held.add(button);
}, true);
for (const [event, ms] of /** @type {const} */ ([['pointerup', CLICK_COMES_MS], ['click', 0], ['pointercancel', 0]])) {
  addEventListener(event, () => {
    clearTimeout(releases);
    releases = setTimeout(release, ms);
  }, true);
}
addEventListener('blur', ({ target }) => { if (target === window) release(); }, true);

/**
 * Calls `draw` once in the next frame, however often it is asked to, and later when it takes long, or while a button of
 * `list` is held down, which it draws anew.
 * @param {() => void} draw @param {Element} [list]
 */
export function perFrame(draw, list) {
  let asked = false;
  let restsUntil = 0;
  const frame = () => requestAnimationFrame(() => {
    if ([...held].some((button) => list?.contains(button))) return void postponed.add(frame);
    asked = false;
    const began = performance.now();
    draw();
    const took = performance.now() - began;
    restsUntil = took > AT_ONCE_MS ? began + took * (1 + REST) : 0;
  });
  return () => {
    if (asked) return;
    asked = true;
    const restMs = restsUntil - performance.now();
    if (restMs > 0) setTimeout(frame, restMs);
    else frame();
  };
}
