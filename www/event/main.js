/**
 * The event page, for attendees (the venue), hosts (the stage) and others' pages (embedded parts): connects, and puts
 * each part into the section of the page that asks for it.
 */
import { audience } from './audience.js';
import { chat } from './chat.js';
import { crowd } from './crowd.js';
import { byId, button, h, icon } from './dom.js';
import { Moderation } from './moderation.js';
import { Names } from './names.js';
import { network } from './network.js';
import { Notices } from './notices.js';
import { nameFrom } from './people.js';
import { polls } from './polls.js';
import { questions } from './questions.js';
import { rooms } from './rooms.js';
import { score } from './score.js';
import { chooseName, chosenName, connect, given, hostKey, hostName, keepHostKey, keepHostName, mayHost, onNameChosen,
} from './session.js';
import { SharedState } from './shared_state.js';
import { slides } from './slides.js';
import { followStopped } from './stopped.js';
import { text } from './strings.js';

/**
 * What has a name is done once at a time: a second press while it is under way is none. What comes may show before it
 * is answered, and be undone: that has another name. Its first word says what kind it is of.
 * @typedef {(act: () => unknown, name?: string) => Promise<void>} Attempt
 */
/**
 * @typedef {object} Context what each part is given
 * @property {import('ably').Realtime} ably
 * @property {'attendee' | 'host'} role
 * @property {{ name: string, key?: string }} who
 * @property {{ readonly clientId: string }} me
 * @property {Names} names what everyone is called now
 * @property {boolean} joined whether a name was chosen, so that one may take part
 * @property {import('./given.js').Given} given
 * @property {SharedState} shared
 * @property {Moderation} [moderation] what a host has
 * @property {Attempt} attempt does it, and says when it fails
 * @property {Attempt} taking the same, once a name was chosen
 * @property {(what: string) => void} tell says something to everyone who looks or listens
 */

const parts = { score, slides, polls, questions, chat, rooms, network, crowd };
/**
 * Answers that no second try will change: a wrong name or key, another client's token, no event. What keeps a token
 * from coming while the network is down is none of them.
 */
const FINAL = [40001, 40003, 40005, 40012, 40101, 40102, 40300, 40400];
/** How long good news stands. */
const READING_MS = 30_000;
const role = document.body.dataset.role === 'host' ? 'host' : 'attendee';

fillTexts();
followHash();
if (role === 'host') openStage();
else attend({ name: chosenName() ?? text.guest });

/** @param {{ name: string }} who */
function attend(who) {
  begin(who, connect(who));
}

function openStage() {
  const key = hostKey();
  if (!key) return askKey();
  const who = { name: hostName(), key };
  const ably = connecting(who);
  if (!ably) return;
  ably.connection.on('connected', () => {
    if (mayHost(ably)) return;
    ably.close();
    refuseKey(text.host.notHost);
  });
  begin(who, ably);
}

/** @param {{ name: string, key: string }} who */
function connecting(who) {
  try {
    return connect(who);
  } catch {
    // The SDK sees that it is no key at all.
    refuseKey(text.host.noKey);
    return undefined;
  }
}

/** @param {string} why */
function refuseKey(why) {
  keepHostKey('');
  askKey(why);
}

/** @param {string} [refusal] why the key that was given will not do */
function askKey(refusal) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('key'));
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector('form'));
  const said = /** @type {HTMLElement} */ (dialog.querySelector('.refusal'));
  said.hidden = refusal === undefined;
  said.textContent = refusal ?? '';
  byId('key-local').hidden = !['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
  form.onsubmit = () => {
    const given = new FormData(form);
    keepHostName(String(given.get('name')));
    keepHostKey(String(given.get('key')).trim());
    location.reload();
  };
  // There is no stage behind it yet.
  dialog.oncancel = (event) => event.preventDefault();
  if (!dialog.open) dialog.showModal();
}

/** @param {{ name: string, key?: string }} who @param {import('ably').Realtime} ably */
function begin(who, ably) {
  const shared = new SharedState(ably, role === 'host');
  const names = new Names(ably);
  const joined = role === 'host' || chosenName() !== undefined;
  const me = { get clientId() { return ably.auth.clientId ?? ''; } };
  const underWay = new Set();
  const notices = new Notices();
  const tell = (/** @type {string} */ what) => notices.news(what);
  /** @type {Attempt} */
  const attempt = async (act, name) => {
    if (name !== undefined) {
      if (underWay.has(name)) return;
      underWay.add(name);
    }
    const [kind = ''] = (name ?? '').split(' ');
    try {
      await act();
      notices.worked(kind);
    } catch (error) {
      notices.trouble(text.failedTo(/** @type {Error} */ (error).message), kind);
    } finally {
      if (name !== undefined) underWay.delete(name);
    }
  };
  /** @type {Attempt} */
  const taking = async (act, name) => (joined ? attempt(act, name) : askName());
  const moderation = who.key ? new Moderation(who.key) : undefined;
  /** @type {Context} */
  const context = { ably, role, who, me, names, joined, given: given(), shared, moderation, attempt, taking, tell };
  showConnection(ably);
  const showName = () => showWho(context);
  ably.connection.on('connected', showName);
  names.on(showName);
  showName();
  for (const element of document.querySelectorAll('[data-part]')) {
    const part = parts[/** @type {keyof typeof parts} */ (/** @type {HTMLElement} */ (element).dataset.part)];
    part?.(/** @type {HTMLElement} */ (element), context);
  }
  const people = document.querySelector('[data-audience]');
  if (people) audience(/** @type {HTMLElement} */ (people), context, document.getElementById('people'));
  followStopped(ably);
  if (!joined) onNameChosen(() => { if (!isWriting()) location.reload(); });
}

/** Whether something stands in a line that would go with the page. */
const isWriting = () => [...document.querySelectorAll('input')].some(({ value }) => value !== '');

/** @param {import('ably').Realtime} ably */
function showConnection(ably) {
  const banner = byId('banner');
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let reading;
  let last = '';
  let wasCut = false;
  ably.connection.on(({ current, reason }) => {
    document.body.dataset.connection = current;
    byId('state').textContent = text.state[current];
    const refusal = refusalOf(reason);
    if (refusal) {
      const why = (role === 'host' && text.host.refused[refusal.code]) || text.refused(refusal.message);
      show('down', why);
      ably.close();
      if (role === 'host') refuseKey(why);
    } else if (current === 'disconnected' || current === 'suspended') {
      wasCut = true;
      show('down', current === 'suspended' ? text.cutLong : text.cut);
    } else if (current === 'connected') {
      if (wasCut) show('back', ably.connection.id === last ? text.resumed : text.reloaded);
      wasCut = false;
      last = ably.connection.id ?? '';
    }
  });

  /** @param {string} kind @param {string} said */
  function show(kind, said) {
    banner.dataset.kind = kind;
    banner.textContent = said;
    banner.hidden = false;
    clearTimeout(reading);
    if (kind === 'back') reading = setTimeout(() => { banner.hidden = true; }, READING_MS);
  }
}

/**
 * Why the server will not let this page in, if that is so. A key that is wrong shows when a token is asked for, which
 * the SDK would go on to ask for.
 * @param {import('ably').ErrorInfo | undefined} reason @returns {import('ably').ErrorInfo | undefined}
 */
function refusalOf(reason) {
  const cause = /** @type {import('ably').ErrorInfo | undefined} */ (/** @type {any} */ (reason)?.cause) ?? reason;
  return cause && FINAL.includes(cause.code) ? cause : undefined;
}

/** Its button changes the name, once one was chosen. @param {Context} context */
function showWho({ joined, me, names, who, attempt }) {
  const place = document.getElementById('who');
  if (!place) return;
  if (!joined) {
    if (!place.firstChild) place.append(button(text.join.ask, askName, { class: 'primary' }));
    return;
  }
  const name = me.clientId ? names.of(me.clientId) : who.name;
  const rename = () => ask(text.rename, name, (chosen) => attempt(() => names.choose(chosen), 'rename'));
  const shown = h('button', { type: 'button', class: 'link', 'aria-label': text.rename.from(name), onclick: rename },
    h('bdi', {}, name), icon('edit'));
  const now = place.firstElementChild;
  if (!now) return place.append(shown);
  const isHeld = now.contains(document.activeElement);
  now.replaceWith(shown);
  if (isHeld) shown.focus({ preventScroll: true });
}

function askName() {
  // It was chosen in another tab.
  if (chosenName() !== undefined) return location.reload();
  ask(text.join, '', (name) => {
    chooseName(name);
    // Another client, for the SDK too.
    location.reload();
  });
}

/**
 * Asks for a name, unless that is asked already.
 * @param {{ title: string, note: string, go: string, later: string }} texts @param {string} name that stands there
 * @param {(name: string) => void} then
 */
function ask(texts, name, then) {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById('join'));
  if (!dialog || dialog.open) return;
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector('form'));
  const input = /** @type {HTMLInputElement} */ (byId('join-name'));
  for (const said of /** @type {const} */ (['title', 'note', 'go', 'later'])) {
    const element = /** @type {HTMLElement} */ (dialog.querySelector(`[data-text="join.${said}"]`));
    element.textContent = texts[said];
  }
  input.value = name;
  input.oninput = () => input.setCustomValidity(nameFrom(input.value) === '' ? text.join.noName : '');
  byId('join-later').onclick = () => dialog.close();
  form.onsubmit = () => then(nameFrom(input.value));
  dialog.showModal();
  input.select();
}

/** Texts stand in one file; the page names them. */
function fillTexts() {
  for (const element of document.querySelectorAll('[data-text]')) {
    const path = String(/** @type {HTMLElement} */ (element).dataset.text).split('.');
    element.textContent = String(path.reduce((/** @type {any} */ node, name) => node?.[name], text) ?? '');
  }
  document.title = `${text.title} · ${text.brand}`;
}

/** On a phone one part is shown at a time: the one that the address names. Elsewhere all are. */
function followHash() {
  const isPhone = window.matchMedia('(width < 48rem)');
  const follow = () => {
    const named = document.getElementById(location.hash.slice(1));
    const id = named?.matches('main section') ? named.id : 'score';
    for (const link of document.querySelectorAll('nav a')) {
      if (isPhone.matches && link.getAttribute('href') === `#${id}`) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
    for (const section of document.querySelectorAll('main section')) section.classList.toggle('shown',
      section.id === id);
  };
  window.addEventListener('hashchange', follow);
  isPhone.addEventListener('change', follow);
  follow();
}
