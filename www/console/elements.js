/** Elements of a page, made by hand: text is text, whatever it says. */

/**
 * @param {string} tag @param {Record<string, any>} [properties]
 * @param {...(Node | string | number | undefined)} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== 'list') /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined).map((child) => child instanceof Node ? child : `${child}`));
  return element;
}

/** @param {string} title @param {...(Node | string | undefined)} children */
export const card = (title, ...children) => make('section', { className: 'card' }, make('h3', {}, title), ...children);

/** @param {[string, string | number][]} pairs */
export const tiles = (pairs) => make('dl', { className: 'tiles' },
  ...pairs.map(([name, value]) => make('div', { className: 'card' }, make('dt', {}, name), make('dd', {}, value))));

/**
 * A table whose rows stack on a phone.
 * @param {string[]} heads @param {(Node | string | number)[][]} rows @param {string} empty
 */
export function table(heads, rows, empty) {
  if (rows.length === 0) return make('p', { className: 'quiet' }, empty);
  const head = make('tr', {}, ...heads.map((head) => make('th', { scope: 'col' }, head)));
  const cells = (/** @type {(Node | string | number)[]} */ row) =>
    row.map((cell, index) => make('td', { 'data-label': heads[index] }, cell));
  return make('table', { className: 'stacks' }, make('thead', {}, head),
    make('tbody', {}, ...rows.map((row) => make('tr', {}, ...cells(row)))));
}

/** What a row is of. @param {Element} row */
const subject = (row) => (row.querySelector('code') ?? row.firstElementChild)?.textContent;

/**
 * What has the keyboard, or its like in a row that is of the same; else the page's content.
 * @param {HTMLElement} place @param {HTMLElement} held @param {Element | null} row where it was
 */
function like(place, held, row) {
  if (held.isConnected) return held;
  const same = [...place.querySelectorAll('tr')].find((other) => row && subject(other) === subject(row));
  const controls = /** @type {HTMLElement[]} */ ([...same?.querySelectorAll(held.tagName) ?? []]);
  return controls.find(({ textContent }) => textContent === held.textContent) ?? document.getElementById('main');
}

/**
 * Shows in a place what is so now. Rows that say the same stay as they are, open or not, and what has the keyboard
 * keeps it.
 * @param {HTMLElement} place @param {...(Node | string)} fresh
 */
export function renew(place, ...fresh) {
  const active = /** @type {HTMLElement | null} */ (document.activeElement);
  const [held, row] = active && place.contains(active) ? [active, active.closest('tr')] : [];
  const before = new Map([...place.querySelectorAll('tbody tr')].map((row) => [row.textContent, row]));
  const now = make('div', {}, ...fresh);
  for (const row of now.querySelectorAll('tbody tr')) {
    const same = before.get(row.textContent);
    before.delete(row.textContent);
    if (same) row.replaceWith(same);
  }
  place.replaceChildren(...now.childNodes);
  if (held && document.activeElement !== held) like(place, held, row ?? null)?.focus({ preventScroll: true });
}

/** The most rows that a table has. */
export const ROWS_MAX = 100;

/** Said below a table that has no room for more. @param {unknown[]} rows */
export const bounded = (rows) => rows.length < ROWS_MAX ? ''
  : make('p', { className: 'quiet' }, `These are the first ${ROWS_MAX}.`);

/** @param {number} count @param {string} noun */
export const counted = (count, noun) => `${new Intl.NumberFormat().format(count)} ${noun}${count === 1 ? '' : 's'}`;

/** @param {string} label @param {Record<string, any>} properties */
export const field = (label, properties) => make('label', {}, label, make('input', { autocomplete: 'off', ...properties }));

/** @param {string} text @param {() => Promise<void> | void} press @param {string} [className] */
export const button = (text, press, className = '') => make('button', { type: 'button', className, onclick: press }, text);

/**
 * One that stands in each row of a table: who hears it and does not see it is told of which row it is.
 * @param {string} text @param {string} row @param {() => Promise<void> | void} press @param {string} [className]
 */
export function rowButton(text, row, press, className) {
  const made = button(text, press, className);
  made.setAttribute('aria-label', `${text}: ${row}`);
  return made;
}

/**
 * Two lines over time, with what they reach and how far back they go.
 * @param {number[]} into @param {number[]} out @param {string} what they are of @param {string} since
 */
export function sparkline(into, out, what, since) {
  const [mostIn, mostOut] = [into, out].map((values) => Math.max(0, ...values));
  const most = Math.max(1, mostIn, mostOut);
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 600 100');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('class', 'spark');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `${what}: at most ${mostIn} in, ${mostOut} out`);
  for (const [name, values] of /** @type {[string, number[]][]} */ ([['out', out], ['in', into]])) {
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
    const step = 600 / Math.max(1, values.length - 1);
    line.setAttribute('points', values.map((value, index) => `${index * step},${98 - (value / most) * 96}`).join(' '));
    line.setAttribute('class', name);
    svg.append(line);
  }
  const number = new Intl.NumberFormat();
  const reach = `most: ${number.format(mostIn)} in, ${number.format(mostOut)} out`;
  return make('figure', {}, svg, make('figcaption', {}, ...[since, reach, 'now'].map((text) => make('span', {}, text))));
}

/**
 * Answers may overtake each other: of those that one place shows, the one that was asked for last is shown. What this
 * gives is called when something is asked for. What that gives is called with the answer at hand, and says whether none
 * is shown that was asked for later.
 */
export function inOrder() {
  let [asked, shown] = [0, 0];
  return () => {
    const turn = ++asked;
    return () => {
      shown = Math.max(shown, turn);
      return shown === turn;
    };
  };
}

/** What somebody else wrote, however long. @param {string} text */
export const written = (text) => make('div', { className: 'written' }, text);

/** @param {unknown} data */
export const shown = (data) => typeof data === 'string' ? data : JSON.stringify(data) ?? '';
