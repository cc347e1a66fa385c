/**
 * A chat on one channel: messages that are edited, deleted and reacted to, who is typing, and what the host may do
 * about it. The server keeps slow mode and muting, for every client; the page says so, and shows nothing that was said
 * by the muted before.
 */
import { button, h, perFrame } from './dom.js';
import { VirtualList } from './list.js';
import { Log } from './log.js';
import { Messages, TEXT_MAX } from './messages.js';
import { isMuted } from './moderation.js';
import { isSwitch, paced } from './pace.js';
import { text } from './strings.js';
import { Typing } from './typing.js';

/** @typedef {import('./main.js').Context} Context */
/** @typedef {import('./log.js').Entry} Entry */

/** The chat of all, as opposed to those of rooms: slow mode is for this one. */
const MAIN = 'event:chat';

/** @param {HTMLElement} element @param {Context} context @param {string} [name] */
export function chat(element, context, name = MAIN) {
  const { ably, role, me, shared } = context;
  /** @type {Entry | undefined} */
  let editing;

  const empty = h('p', { class: 'empty' }, text.chat.none);
  const draws = (/** @type {Entry} */ entry) => rows.row(entry);
  const list = new VirtualList(draws, { label: text.part.chat, latest: text.chat.latest });
  const typing = new Typing(ably, name, (clientId) => clientId === me.clientId || isMuted(shared, clientId));
  const slow = () => (name === MAIN ? shared.now.slow ?? 0 : 0);
  const composer = new Composer({ context, slow, send, cancel: () => edit(undefined), typed: () => typing.tell() });
  element.classList.add('chat');
  list.element.append(empty);
  element.append(list.element, typing.element, composer.element);
  if (role === 'host' && name === MAIN) element.prepend(slowControl(context));

  const draw = perFrame(() => {
    const said = paced(log.entries.filter(isShown), slow());
    const heard = said.filter(({ clientId }) => role === 'host' || !isMuted(shared, clientId));
    empty.hidden = heard.length > 0;
    list.show(heard);
  });
  const log = new Log(ably.channels.get(name), (_, entry) => {
    if (entry && entry.clientId !== me.clientId) typing.stopped(entry.clientId);
    draw();
  });
  const rows = new Messages(context, log.channel, edit);
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
    const muted = isMuted(shared, me.clientId);
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
