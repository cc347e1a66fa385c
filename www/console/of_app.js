/** Pages of one app: that of the key, or the one that an operator chooses. Then their addresses name it. */
import { json, signed } from './api.js';
import { card, make, table } from './elements.js';

/** @typedef {import('./console.js').Shown} Shown */

/** The app of the key, if one signed in. */
const own = () => signed()?.key?.split('.')[0];

/** The address of a page of an app. @param {string} page @param {string} app @param {string} [rest] */
export const linkTo = (page, app, rest) =>
  ['#', page, ...own() ? [] : [app], ...rest === undefined ? [] : [encodeURIComponent(rest)]].join('/');

/**
 * The app that a page is of, and what else its address names.
 * @param {string} rest @returns {[app: string, rest: string]}
 */
export function named(rest) {
  const app = own();
  if (app) return [app, rest];
  const [first, ...others] = rest.split('/');
  return [first, others.join('/')];
}

/**
 * Where an operator has not said of which app.
 * @param {HTMLElement} place @param {string} page @returns {Promise<Shown>}
 */
async function choose(place, page) {
  const all = await json('/apps');
  const link = (/** @type {any} */ { id }) => [make('a', { href: linkTo(page, id) }, id)];
  place.append(card('Of which app?', table(['App'], all.map(link), 'There are no apps.')));
  return {};
}

/**
 * A page of one app.
 * @param {string} title @param {string} page
 * @param {(place: HTMLElement, at: string, say: (text: unknown) => void, app: string) => Promise<Shown>} draw
 */
export const ofApp = (title, page, draw) => async (/** @type {HTMLElement} */ place, /** @type {string} */ rest) => {
  place.replaceChildren(make('h2', {}, title));
  const [app] = named(rest);
  if (!app) return choose(place, page);
  if (!own()) place.replaceChildren(make('h2', {}, title, ' / ', make('a', { href: linkTo('app', app) }, app)));
  const state = make('p', { role: 'status', className: 'quiet' });
  place.append(state);
  const say = (/** @type {unknown} */ text) => { state.textContent = text instanceof Error ? text.message : `${text}`; };
  return { app, ...await draw(place, `/apps/${app}`, say, app) };
};
