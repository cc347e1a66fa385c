/**
 * The console: signs in, shows one page at a time, and asks for what it shows again when the page's channels say that
 * something has changed. Where they cannot be heard it asks every five seconds. A tab in the background does neither.
 */
import { app, audit, bans, connections } from './admin.js';
import { ask, json, Refused, signed, signIn, signOut } from './api.js';
import { channel } from './channel.js';
import { field, inOrder, make } from './elements.js';
import { hangUp, hear } from './live.js';
import { apps, channels, errors, overview } from './pages.js';

/**
 * A page: draws itself into its place, and gives how to ask again, what says when, over which app's connection, and
 * what to do at its end. Asking may give after how many milliseconds to ask again though nothing is heard. What is of
 * no app is of all that who signed in may see.
 * @typedef {{
 *   again?: () => Promise<number | void>, hears?: () => import('./live.js').Source[], app?: string, end?: () => void
 * }} Shown
 */
/** @type {Record<string, (place: HTMLElement, rest: string) => Promise<Shown>>} */
const pages = { '': overview, channels, channel, connections, bans, apps, app, audit, errors };

const againMs = 5_000;
/** The least between two times that a page asks because it heard something. */
const newsMs = 1_000;
const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const ui = { main: find('main'), nav: find('nav'), who: find('who'), name: find('name'), pace: find('pace'), notice: find('notice') };

/** @type {Shown} */
let current = {};
let showing = 0;
/** Asks every five seconds. @type {ReturnType<typeof setInterval> | undefined} */
let timer;
/** Asks soon. @type {ReturnType<typeof setTimeout> | undefined} */
let due;
let dueMs = Infinity;
let askedMs = 0;
let deafen = () => {};
const asks = inOrder();

find('leave').addEventListener('click', () => {
  signOut();
  show();
});
addEventListener('hashchange', show);
document.addEventListener('visibilitychange', look);
show();

/** @param {unknown} [error] */
function notice(error) {
  ui.notice.hidden = error === undefined;
  ui.notice.textContent = error instanceof Error ? error.message : '';
}

async function again() {
  if (document.hidden || !current.again) return;
  const page = current;
  const isNewest = asks();
  askedMs = Date.now();
  try {
    const afterMs = await current.again();
    if (page !== current || !isNewest()) return;
    if (afterMs) soon(afterMs);
    notice();
  } catch (error) {
    if (page === current && isNewest()) notice(error);
  }
}

/** Asks once, however much is heard before that. */
function soon(afterMs = 0) {
  // To ask about all apps costs each of them something, and there is always one that has news.
  const isOfAll = !signed()?.key && !current.app;
  const atMs = Math.max(Date.now() + afterMs, askedMs + (isOfAll ? againMs : newsMs));
  if (atMs >= dueMs) return;
  clearTimeout(due);
  dueMs = atMs;
  due = setTimeout(() => {
    dueMs = Infinity;
    again();
  }, atMs - Date.now());
}

/** Whether the page hears of what changes, or has to ask. @param {boolean} isLive */
function pace(isLive) {
  clearInterval(timer);
  if (!isLive) timer = setInterval(again, againMs);
  ui.pace.textContent = isLive ? 'Live' : `Every ${againMs / 1_000} s`;
}

/** Nobody looks at the page any more. */
function pause() {
  deafen();
  deafen = () => {};
  clearInterval(timer);
  clearTimeout(due);
  dueMs = Infinity;
  ui.pace.textContent = '';
}

/** Somebody looks at the page, who saw it last as it was drawn. */
function follow() {
  pause();
  if (document.hidden || !current.again) return;
  if (!current.hears) return pace(false);
  // Until it is known whether it can be heard.
  timer = setInterval(again, againMs);
  deafen = hear(current.hears, current.app, () => soon(), pace);
}

function look() {
  follow();
  if (document.hidden) hangUp();
  else again();
}

async function show() {
  const turn = ++showing;
  pause();
  current.end?.();
  current = {};
  notice();
  const who = signed();
  ui.nav.hidden = ui.who.hidden = !who;
  if (!who) {
    hangUp();
    ui.main.replaceChildren(door());
    return ui.main.querySelector('input')?.focus();
  }
  ui.name.textContent = who.key ? who.key.split(':')[0] : 'operator';
  const [, name, ...rest] = location.hash.split('/');
  for (const link of ui.nav.querySelectorAll('a')) {
    const isHere = link.hash.slice(2) === (/** @type {Record<string, string>} */ ({ channel: 'channels', app: 'apps' })[name] ?? name ?? '');
    if (isHere) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const place = make('div');
  ui.main.replaceChildren(place);
  try {
    const shown = await (Object.hasOwn(pages, name ?? '') ? pages[name ?? ''] : overview)(place, decodeURIComponent(rest.join('/')));
    if (turn !== showing) return shown.end?.();
    current = shown;
    follow();
  } catch (error) {
    if (turn === showing) notice(error);
  }
  if (turn === showing) ui.main.focus({ preventScroll: true });
}

function door() {
  const secret = field('API key, or the admin token', { name: 'secret', type: 'password', required: true, spellcheck: false });
  return make('section', { className: 'card' },
    make('h2', {}, 'Sign in'),
    make('form', { onsubmit: enter }, secret, make('button', { className: 'main' }, 'Sign in')),
    make('p', { className: 'quiet' }, 'A key shows its own app, as far as its capability allows: “stats” for numbers, ',
      '“channel-metadata” for channels, “admin” on all channels for the rest, and “subscribe” on [meta]* to see changes at once. ',
      'The admin token shows what all apps do together, and the channels of each. ',
      'Either is kept in this tab only, and gone when it closes.'));
}

/** Why what does not look like a key will not do. @param {unknown} error */
function noSecret(error) {
  const code = error instanceof Refused ? error.code : 0;
  const why = { 40101: 'and it is not the admin token of this server', 40400: 'and this server has no admin token' }[code];
  return why ? new Refused(code, `This is no key, which looks like APP.KEY:SECRET, ${why}`) : error;
}

/** @param {SubmitEvent} event */
async function enter(event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  signIn(/** @type {string} */ (new FormData(form).get('secret')).trim());
  try {
    // A key may not see statistics, and may sign in all the same.
    if (signed()?.key) await json('/stats?limit=1').catch((error) => { if (error.code !== 40160) throw error; });
    else await ask('/apps').catch((error) => { throw noSecret(error); });
    show();
  } catch (error) {
    signOut();
    notice(error);
    form.querySelector('input')?.select();
  }
}
