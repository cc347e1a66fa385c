/** Breakout rooms: who is where is the presence of each room's channel, and the host can call everyone back. */
import { chat } from './chat.js';
import { button, h, perFrame, person, redraw, rowButton } from './dom.js';
import { hueOf } from './people.js';
import { text } from './strings.js';
import { together } from '../together.js';

/** @typedef {import('./main.js').Context} Context */

/** Names that are shown of those in a room. */
const NAMES = 12;
/** How late they are read, once for all who came meanwhile: whoever attaches hears of each that is there. */
const READ_AFTER_MS = 500;

/** @param {HTMLElement} element @param {Context} context */
export function rooms(element, context) {
  const { role, shared, attempt } = context;
  const list = h('div', { class: 'rooms', tabindex: '-1' });
  const inside = h('div', { class: 'inside', hidden: true });
  const note = h('p', { class: 'note', role: 'status' });
  element.append(h('p', { class: 'faint' }, text.rooms.intro), note, list, inside);
  if (role === 'host') {
    element.append(button(text.rooms.recall, () => attempt(() => shared.set('recall', Date.now()), 'recall'),
      { class: 'primary recall' }));
  }

  /** The room that this page is in. @type {string | undefined} */
  let here;
  let moves = Promise.resolve();
  let calledBackAt = shared.now.recall;
  const all = Object.entries(text.rooms.names).map(([id, title]) => new Room(context, { id, title }, () => draw()));
  context.names.on(() => draw());

  const draw = perFrame(() => {
    redraw(list, () => list.replaceChildren(...all.map((room) => room.card(room.id === here,
      () => context.taking(() => go(room))))));
    inside.hidden = here === undefined;
  }, list);

  /** One move after the other: in the end one is where one went last, and nowhere else. @param {Room} [room] */
  function go(room) {
    moves = moves.catch(() => {}).then(() => move(room));
    return moves;
  }

  /** @param {Room} [room] to there, or out of all */
  async function move(room) {
    if (room?.id === here) return;
    const left = all.find(({ id }) => id === here);
    here = undefined;
    if (inside.contains(document.activeElement)) list.focus({ preventScroll: true });
    inside.replaceChildren();
    draw();
    await left?.channel.presence.leave();
    if (!room) return;
    await room.channel.presence.enter();
    here = room.id;
    note.textContent = '';
    inside.replaceChildren(h('header', {}, h('h3', {}, room.title),
      button(text.rooms.leave, () => attempt(go), { class: 'quiet' })),
      room.talk(context));
    draw();
  }

  shared.on(({ recall }) => {
    const isNew = recall !== undefined && recall !== calledBackAt;
    calledBackAt = recall;
    if (!isNew) return;
    void attempt(async () => {
      // Also who is on the way in is called back.
      await moves.catch(() => {});
      if (here === undefined) return;
      note.textContent = text.rooms.recalled;
      context.tell(text.rooms.recalled);
      await go();
    });
  });
  draw();
}

class Room {
  /** @type {Set<string>} */
  #members = new Set();
  /** @type {HTMLElement | undefined} */
  #talk;
  #names;
  id;
  title;
  channel;

  /** @param {Context} context @param {{ id: string, title: string }} room @param {() => void} changed */
  constructor({ ably, names }, { id, title }, changed) {
    this.#names = names;
    this.id = id;
    this.title = title;
    this.channel = ably.channels.get(`event:room:${id}`);
    const read = async () => {
      const members = await this.channel.presence.get();
      this.#members = new Set(members.map(({ clientId }) => clientId));
      changed();
    };
    const readSoon = together(() => void read().catch(() => {}), READ_AFTER_MS);
    this.channel.presence.subscribe(readSoon).then(read).catch(() => {});
  }

  /** Its chat, made when someone first steps in. @param {Context} context */
  talk(context) {
    if (this.#talk) return this.#talk;
    this.#talk = h('div', { class: 'room-chat' });
    chat(this.#talk, context, this.channel.name);
    return this.#talk;
  }

  /** @param {boolean} isHere @param {() => void} enter */
  card(isHere, enter) {
    const size = this.#members.size;
    const names = [...this.#members].slice(0, NAMES).map((clientId) => h('li', { 'data-hue': hueOf(clientId) },
      person(this.#names.of(clientId))));
    return h('article', { class: isHere ? 'room here' : 'room', 'data-room': this.id },
      h('h3', {}, this.title), h('p', { class: 'size' }, size > 0 ? text.rooms.inside(size) : text.rooms.empty),
      h('ul', { class: 'people' }, ...names), !isHere && rowButton(text.rooms.enter, this.title, enter));
  }
}
