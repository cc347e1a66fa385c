/**
 * The console: signs in, shows one page at a time, and asks for what it shows again as long as somebody looks. A tab
 * in the background asks for nothing.
 */
import { app, audit, bans, connections } from './admin.js';
import { ask, json, signed, signIn, signOut } from './api.js';
import { channel } from './channel.js';
import { field, make } from './elements.js';
import { apps, channels, errors, overview } from './pages.js';

/**
 * A page: draws itself into its place, and gives what to do again every five seconds, and at its end.
 * @typedef {{ again?: () => Promise<void>, end?: () => void }} Shown
 */
/** @type {Record<string, (place: HTMLElement, rest: string) => Promise<Shown>>} */
const pages = { '': overview, channels, channel, connections, bans, apps, app, audit, errors };

const againMs = 5_000;
const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const ui = { main: find('main'), nav: find('nav'), who: find('who'), notice: find('notice') };

/** @type {Shown} */
let current = {};
let showing = 0;

find('leave').addEventListener('click', () => {
  signOut();
  show();
});
addEventListener('hashchange', show);
document.addEventListener('visibilitychange', again);
setInterval(again, againMs);
show();

/** @param {unknown} [error] */
function notice(error) {
  ui.notice.hidden = error === undefined;
  ui.notice.textContent = error instanceof Error ? error.message : '';
}

async function again() {
  if (document.hidden || !current.again) return;
  try {
    await current.again();
    notice();
  } catch (error) {
    notice(error);
  }
}

async function show() {
  const turn = ++showing;
  current.end?.();
  current = {};
  notice();
  const who = signed();
  ui.nav.hidden = ui.who.hidden = !who;
  if (!who) {
    ui.main.replaceChildren(door());
    return ui.main.querySelector('input')?.focus();
  }
  /** @type {HTMLElement} */ (ui.who.firstElementChild).textContent = who.key ? who.key.split(':')[0] : 'operator';
  const [, name, ...rest] = location.hash.split('/');
  for (const link of ui.nav.querySelectorAll('a')) {
    const isHere = link.hash.slice(2) === (/** @type {Record<string, string>} */ ({ channel: 'channels', app: 'apps' })[name] ?? name ?? '');
    if (isHere) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const place = make('div');
  ui.main.replaceChildren(place);
  try {
    const shown = await (pages[name ?? ''] ?? overview)(place, decodeURIComponent(rest.join('/')));
    if (turn === showing) current = shown;
    else shown.end?.();
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
      '“channel-metadata” for channels, “admin” on all channels for the rest. The admin token shows what all apps do together. ',
      'Either is kept in this tab only, and gone when it closes.'));
}

/** @param {SubmitEvent} event */
async function enter(event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  signIn(/** @type {string} */ (new FormData(form).get('secret')).trim());
  try {
    // A key may not see statistics, and may sign in all the same.
    if (signed()?.key) await json('/stats?limit=1').catch((error) => { if (error.code !== 40160) throw error; });
    else await ask('/metrics');
    show();
  } catch (error) {
    signOut();
    notice(error);
    form.querySelector('input')?.select();
  }
}
