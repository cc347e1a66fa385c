/**
 * A chat on one channel: messages that are edited, deleted and reacted to, who is typing, and what the host may do
 * about it. Slow mode and muting are kept by every page that shows the chat, so a client that ignores them is not
 * shown.
 */
import { button, h, icon, linked, perFrame, person } from './dom.js';
import { VirtualList } from './list.js';
import { Log } from './log.js';
import { isSwitch, paced } from './pace.js';
import { hueOf, isHost, markOf, nameOf } from './people.js';
import { text, timeOfDay } from './strings.js';
import { Typing } from './typing.js';

/** @typedef {import('./main.js').Context} Context */
/** @typedef {import('./log.js').Entry} Entry */

/** Drawn by the page, as not every screen has emoji. */
const KINDS = /** @type {const} */ (['like', 'ball', 'heart']);
const REACTION = 'reaction:distinct.v1';
const TEXT_MAX = 500;
/** The chat of all, as opposed to those of rooms: slow mode is for this one. */
const MAIN = 'event:chat';

/** @param {HTMLElement} element @param {Context} context @param {string} [name] */
export function chat(element, context, name = MAIN) {
  const { ably, role, me, shared, attempt } = context;
  /** @type {Entry | undefined} */
  let editing;

  const empty = h('p', { class: 'empty' }, text.chat.none);
  const list = new VirtualList(row, { label: text.part.chat, latest: text.chat.latest });
  const typing = new Typing(ably, name, me);
  const slow = () => (name === MAIN ? shared.now.slow ?? 0 : 0);
  const composer = new Composer({ context, slow, send, cancel: () => edit(undefined), typed: () => typing.tell() });
  element.classList.add('chat');
  element.append(list.element, empty, typing.element, composer.element);
  if (role === 'host' && name === MAIN) element.prepend(slowControl(context));

  const isMuted = (/** @type {string} */ clientId) => Boolean(shared.now[`muted:${markOf(clientId)}`]);
  const draw = perFrame(() => {
    const said = paced(log.entries.filter(isShown), slow());
    const rows = said.filter(({ clientId }) => role === 'host' || !isMuted(clientId));
    empty.hidden = rows.length > 0;
    list.show(rows);
  });
  const log = new Log(ably.channels.get(name), (_, entry) => {
    if (entry && entry.clientId !== me.clientId) typing.stopped(entry.clientId);
    draw();
  });
  shared.on(() => {
    composer.tell();
    // Who is muted shows in every row.
    for (const entry of log.entries) entry.version++;
    draw();
  });

  /** @param {string} written */
  async function send(written) {
    const said = written.slice(0, TEXT_MAX);
    if (editing) await log.channel.updateMessage({ serial: editing.key, data: { text: said } });
    else await log.channel.publish('message', { text: said });
    edit(undefined);
  }

  /** @param {Entry | undefined} entry */
  function edit(entry) {
    editing = entry;
    composer.edit(entry?.data.text);
  }

  /** @param {Entry} entry */
  function row(entry) {
    if (isSwitch(entry)) return h('p', { class: 'notice', 'data-serial': entry.key },
      text.chat.slowIs(entry.data.seconds));
    const mine = entry.clientId !== '' && entry.clientId === me.clientId;
    const body = entry.deleted ? h('p', { class: 'gone' }, text.chat.deleted)
      : h('p', { class: 'said', dir: 'auto' }, ...linked(entry.data.text.slice(0, TEXT_MAX)));
    return h('article', { class: mine ? 'message mine' : 'message', 'data-hue': hueOf(entry.clientId),
      'data-serial': entry.key },
      h('header', {}, person(nameOf(entry.clientId, text.anonymous)),
        isHost(entry.clientId) && h('span', { class: 'badge' }, text.hostBadge),
        mine && h('span', { class: 'badge faint' }, text.you),
        h('time', { datetime: new Date(entry.at).toISOString() }, timeOfDay(entry.at)),
        entry.edited && h('span', { class: 'faint' }, text.chat.edited)),
      body, !entry.deleted && h('footer', {}, reactions(entry), actions(entry, mine)));
  }

  /** @param {Entry} entry */
  function reactions(entry) {
    const summary = entry.summary[REACTION] ?? {};
    return h('div', { class: 'reactions' }, ...KINDS.map((kind) => {
      const { total = 0, clientIds = [] } = summary[kind] ?? {};
      const given = Boolean(clientIds.includes(me.clientId));
      const annotation = { type: REACTION, name: kind };
      const toggle = () => context.taking(() => (given ? log.channel.annotations.delete(entry.key, annotation)
        : log.channel.annotations.publish(entry.key, annotation)));
      return h('button', { type: 'button', class: 'reaction', 'aria-pressed': String(given),
        'aria-label': text.chat.react(text.chat.reactions[kind], total),
        'data-total': total, onclick: toggle }, icon(kind), total > 0 && h('span', {}, String(total)));
    }));
  }

  /** @param {Entry} entry @param {boolean} mine */
  function actions(entry, mine) {
    const mark = markOf(entry.clientId);
    const muted = isMuted(entry.clientId);
    const remove = () => attempt(() => log.channel.deleteMessage({ serial: entry.key, data: {} }));
    const mute = () => attempt(() => shared.set(`muted:${mark}`, !muted));
    return h('div', { class: 'actions' }, mine && button(text.chat.edit, () => edit(entry), { class: 'link' }),
      (mine || role === 'host') && button(text.chat.remove, remove, { class: 'link' }),
      role === 'host' && mark !== '' && button(muted ? text.chat.unmute : text.chat.mute, mute, { class: 'link' }));
  }
  draw();
}

/** @param {Entry} entry */
const isShown = (entry) => typeof entry.data?.text === 'string' || entry.deleted || isSwitch(entry);

/** The line that one writes in. */
class Composer {
  #context;
  #slow;
  #input = h('input', { name: 'text', autocomplete: 'off', maxlength: TEXT_MAX, 'aria-label': text.chat.say,
    placeholder: text.chat.say, dir: 'auto' });
  #note = h('p', { class: 'note', role: 'status' });
  #cancel;
  #send = h('button', { class: 'primary' }, text.chat.send);
  #sentAt = 0;
  element;

  /**
   * @param {{ context: Context, slow: () => number, send: (text: string) => Promise<void>, cancel: () => void,
   *   typed: () => void }} does
   */
  constructor({ context, slow, send, cancel, typed }) {
    this.#context = context;
    this.#slow = slow;
    this.#cancel = button(text.chat.cancel, cancel, { class: 'quiet', hidden: true });
    this.#input.addEventListener('input', () => context.joined && typed());
    this.element = h('form', { class: 'composer', onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.#submit(send);
    } }, this.#note, this.#input, this.#cancel, this.#send);
  }

  /** @param {(text: string) => Promise<void>} send */
  async #submit(send) {
    const written = this.#input.value.trim();
    if (written === '') return;
    const wait = this.#waitMs();
    if (wait > 0) return this.tell(text.chat.wait(Math.ceil(wait / 1_000)));
    await this.#context.taking(async () => {
      const before = this.#sentAt;
      this.#input.value = '';
      this.#sentAt = Date.now();
      try {
        await send(written);
      } catch (error) {
        this.#sentAt = before;
        this.#input.value ||= written;
        throw error;
      }
    });
    this.tell();
  }

  #waitMs() {
    return this.#context.role === 'host' ? 0 : this.#sentAt + this.#slow() * 1_000 - Date.now();
  }

  /** @param {string} [said] */
  tell(said) {
    const { me, shared } = this.#context;
    const muted = shared.now[`muted:${markOf(me.clientId)}`];
    this.#note.textContent = said ?? (muted ? text.chat.muted : this.#slow() > 0 ? text.chat.slowOf(this.#slow()) : '');
  }

  /** @param {string | undefined} written what is edited, or nothing */
  edit(written) {
    this.#cancel.hidden = written === undefined;
    this.#send.textContent = written === undefined ? text.chat.send : text.chat.save;
    if (written === undefined) return this.tell();
    this.#input.value = written;
    this.#input.focus();
    this.tell(text.chat.editing);
  }
}

/** @param {Context} context */
function slowControl({ ably, shared, attempt }) {
  const select = h('select', { id: 'slow' }, ...[0, 5, 15, 60].map((seconds) => h('option', { value: seconds },
    seconds === 0 ? text.chat.off : text.chat.slowOf(seconds))));
  select.addEventListener('change', () => attempt(async () => {
    const seconds = Number(select.value);
    await ably.channels.get(MAIN).publish('slow', { seconds, before: shared.now.slow ?? 0 });
    await shared.set('slow', seconds);
  }));
  shared.on(({ slow }) => { select.value = String(slow ?? 0); });
  return h('div', { class: 'row' }, h('label', { for: 'slow' }, text.chat.slow), select);
}
