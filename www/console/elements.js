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

/** @param {string} label @param {Record<string, any>} properties */
export const field = (label, properties) => make('label', {}, label, make('input', { autocomplete: 'off', ...properties }));

/** @param {string} text @param {() => Promise<void> | void} press @param {string} [className] */
export const button = (text, press, className = '') => make('button', { type: 'button', className, onclick: press }, text);

/** Two lines over an hour. @param {number[]} into @param {number[]} out */
export function sparkline(into, out) {
  const most = Math.max(1, ...into, ...out);
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 600 100');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('class', 'spark');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `Messages a minute in the last hour: at most ${Math.max(...into)} in, ${Math.max(...out)} out`);
  for (const [name, values] of /** @type {[string, number[]][]} */ ([['out', out], ['in', into]])) {
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
    const step = 600 / Math.max(1, values.length - 1);
    line.setAttribute('points', values.map((value, index) => `${index * step},${98 - (value / most) * 96}`).join(' '));
    line.setAttribute('class', name);
    svg.append(line);
  }
  return svg;
}

/** @param {unknown} data */
export const shown = (data) => typeof data === 'string' ? data : JSON.stringify(data) ?? '';
