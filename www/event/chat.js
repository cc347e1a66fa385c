/**
 * A chat on one channel: messages that are edited, deleted and reacted to, who is typing, and what the host may do
 * about it. The server keeps slow mode and muting, for every client; the page says so, and shows nothing that was said
 * by the muted before.
 */
import { button, h, perFrame } from './dom.js';
import { VirtualList } from './list.js';
import { Log } from './log.js';
import { Messages, TEXT_MAX } from './messages.js';
import { isMuted, mutesOf } from './moderation.js';
import { Outbox } from './outbox.js';
import { isSwitch, paced } from './pace.js';
import { text } from './strings.js';
import { Typing } from './typing.js';

/** @typedef {import('./main.js').Context} Context */
/** @typedef {import('./log.js').Entry} Entry */
/** @typedef {import('./outbox.js').Letter} Letter */

/** The chat of all, as opposed to those of rooms: slow mode is for this one. */
const MAIN = 'event:chat';

/** @param {HTMLElement} element @param {Context} context @param {string} [name] */
export function chat(element, context, name = MAIN) {
  const { ably, role, me, names, shared } = context;
  /** @type {Entry | undefined} */
  let editing;

  const empty = h('p', { class: 'empty' }, text.chat.none);
  const draws = (/** @type {Entry} */ entry) => rows.row(entry);
  const list = new VirtualList(draws, { label: text.part.chat, latest: text.chat.latest });
  const typing = new Typing(context, name, (clientId) => clientId === me.clientId || isMuted(shared, clientId));
  const slow = () => (name === MAIN ? shared.now.slow ?? 0 : 0);
  const composer = new Composer({
    context, slow, outbox: () => outbox, letter, cancel: () => edit(undefined),
    // In slow mode little of what is typed is said soon.
    typed: () => slow() === 0 && typing.tell(),
  });
  const outbox = new Outbox(context, name, letter);
  element.classList.add('chat');
  list.element.append(empty);
  element.append(list.element, typing.element, outbox.element, composer.element);
  if (role === 'host' && name === MAIN) element.prepend(slowControl(context));

  const draw = perFrame(() => {
    const said = paced(log.entries.filter(isShown), slow());
    const heard = said.filter(({ clientId }) => role === 'host' || !isMuted(shared, clientId));
    empty.hidden = heard.length > 0;
    list.show(heard);
  }, list.element);
  const log = new Log(ably.channels.get(name), (_, entry) => {
    if (entry && entry.clientId !== me.clientId) typing.stopped(entry.clientId);
    draw();
  });
  const rows = new Messages(context, log.channel, edit);
  const redrawAll = () => {
    for (const entry of log.entries) entry.version++;
    draw();
  };
  names.on(redrawAll);
  let mutes = '';
  shared.on((state) => {
    composer.tell();
    const before = mutes;
    mutes = mutesOf(state);
    // Who is muted shows in every row.
    if (mutes === before) draw();
    else redrawAll();
  });

  /** What sends a message, or the edit of one. @param {string} written @returns {import('./outbox.js').Letter} */
  function letter(written) {
    const data = { text: written.slice(0, TEXT_MAX) };
    const edited = editing;
    if (!edited) {
      return { written, isKept: true, send: () => log.channel.publish('message', data),
        back: () => composer.fill(written) };
    }
    // What is written from now on is a message of its own.
    edit(undefined);
    return { written, send: () => log.channel.updateMessage({ serial: edited.key, data }), back: () => {
      if (editing) return false;
      edit(edited, data.text);
      return true;
    } };
  }

  /** @param {Entry | undefined} entry @param {string} [written] */
  function edit(entry, written = entry?.data.text) {
    editing = entry;
    composer.edit(written);
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
  #isEditing = false;
  /** What was in the line before a message was edited there. */
  #draft = '';
  element;

  /**
   * @param {{ context: Context, slow: () => number, outbox: () => Outbox, letter: (written: string) => Letter,
   *   cancel: () => void, typed: () => unknown }} does
   */
  constructor({ context, slow, outbox, letter, cancel, typed }) {
    this.#context = context;
    this.#slow = slow;
    this.#cancel = button(text.chat.cancel, cancel, { class: 'quiet', hidden: true });
    this.#input.addEventListener('input', () => context.joined && typed());
    this.element = h('form', { class: 'composer', onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.#submit(outbox(), letter);
    } }, this.#note, this.#input, this.#cancel, this.#send);
  }

  /** @param {Outbox} outbox @param {(written: string) => Letter} letter */
  async #submit(outbox, letter) {
    const written = this.#input.value.trim();
    if (written === '') return;
    if (!this.#context.joined) outbox.keep(written);
    const wait = this.#waitMs();
    if (wait > 0) return this.tell(text.chat.wait(Math.ceil(wait / 1_000)));
    await this.#context.taking(async () => {
      const before = this.#sentAt;
      if (!this.#isEditing) this.#sentAt = Date.now();
      this.#input.value = '';
      if (!await outbox.send(letter(written))) this.#sentAt = before;
    });
    this.tell();
  }

  /** Puts a text into the line, unless something else stands there. @param {string} written */
  fill(written) {
    if (this.#isEditing || this.#input.value !== '') return false;
    this.#input.value = written;
    return true;
  }

  /** Slow mode is for new messages, and not for hosts. */
  #waitMs() {
    return this.#isEditing || this.#context.role === 'host' ? 0 : this.#sentAt + this.#slow() * 1_000 - Date.now();
  }

  /** @param {string} [said] */
  tell(said) {
    const { me, shared } = this.#context;
    const muted = isMuted(shared, me.clientId);
    const usual = this.#slow() > 0 ? text.chat.slowOf(this.#slow()) : '';
    this.#note.textContent = said ?? (muted ? text.chat.muted : this.#isEditing ? text.chat.editing : usual);
  }

  /** @param {string | undefined} written what is edited, or nothing */
  edit(written) {
    if (!this.#isEditing) this.#draft = this.#input.value;
    this.#isEditing = written !== undefined;
    this.#input.value = written ?? this.#draft;
    this.#send.textContent = this.#isEditing ? text.chat.save : text.chat.send;
    // A button that is hidden would take the keyboard with it.
    if (this.#isEditing || document.activeElement === this.#cancel) this.#input.focus();
    this.#cancel.hidden = !this.#isEditing;
    this.tell();
  }
}

/** @param {Context} context */
function slowControl({ ably, shared, attempt, moderation }) {
  const select = h('select', { id: 'slow' }, ...[0, 5, 15, 60].map((seconds) => h('option', { value: seconds },
    seconds === 0 ? text.chat.off : text.chat.slowOf(seconds))));
  select.addEventListener('change', () => attempt(async () => {
    const seconds = Number(select.value);
    await moderation?.slow(MAIN, seconds);
    await ably.channels.get(MAIN).publish('slow', { seconds, before: shared.now.slow ?? 0 });
    await shared.set('slow', seconds);
  }));
  shared.on(({ slow }) => { select.value = String(slow ?? 0); });
  return h('div', { class: 'row' }, h('label', { for: 'slow' }, text.chat.slow), select);
}
