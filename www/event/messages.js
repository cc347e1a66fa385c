/** How a message of a chat looks, and what may be done with it. */
import { h, icon, linked, person, rowButton, rowLabel } from './dom.js';
import { isMuted, muteButton } from './moderation.js';
import { isSwitch } from './pace.js';
import { hueOf, isHost } from './people.js';
import { text, timeOfDay } from './strings.js';

/** @typedef {import('./main.js').Context} Context */
/** @typedef {import('./log.js').Entry} Entry */

/** Drawn by the page, as not every screen has emoji. */
const KINDS = /** @type {const} */ (['like', 'ball', 'heart']);
const REACTION = 'reaction:distinct.v1';
export const TEXT_MAX = 500;

export class Messages {
  #context;
  #channel;
  #edit;

  /**
   * @param {Context} context @param {import('ably').RealtimeChannel} channel
   * @param {(entry: Entry) => void} edit begins to edit a message
   */
  constructor(context, channel, edit) {
    this.#context = context;
    this.#channel = channel;
    this.#edit = edit;
  }

  /** @param {Entry} entry */
  row(entry) {
    const serial = { 'data-serial': entry.key };
    if (isSwitch(entry)) return h('p', { class: 'notice', ...serial }, text.chat.slowIs(entry.data.seconds));
    const mine = entry.clientId !== '' && entry.clientId === this.#context.me.clientId;
    const muted = isMuted(this.#context.shared, entry.clientId);
    return h('article', { class: `message${mine ? ' mine' : ''}${muted ? ' muted' : ''}`, 'data-hue': hueOf(entry.clientId), ...serial },
      this.#heading(entry, mine), body(entry),
      !entry.deleted && h('footer', {}, this.#reactions(entry), this.#actions(entry, mine)));
  }

  /** @param {Entry} entry */
  #reactions(entry) {
    const summary = entry.summary[REACTION] ?? {};
    return h('div', { class: 'reactions' }, ...KINDS.map((kind) => this.#reaction(entry, kind, summary[kind] ?? {})));
  }

  /**
   * @param {Entry} entry @param {typeof KINDS[number]} kind
   * @param {{ total?: number, clientIds?: string[], clipped?: boolean }} summary
   */
  #reaction(entry, kind, summary) {
    const { me, taking, given } = this.#context;
    const { total = 0 } = summary;
    const isMine = given.isIn(summary, me.clientId, { serial: entry.key, type: REACTION, name: kind });
    const { annotations } = this.#channel;
    const annotation = { type: REACTION, name: kind };
    const toggle = () => taking(() => {
      const others = given.of(entry.key, REACTION).filter((name) => name !== kind);
      return given.change(entry.key, REACTION, isMine ? others : [...others, kind],
        () => (isMine ? annotations.delete(entry.key, annotation) : annotations.publish(entry.key, annotation)));
    }, `${kind} ${!isMine} ${entry.key}`);
    return h('button', { type: 'button', class: 'reaction', 'aria-pressed': String(isMine), 'data-total': total,
      'data-does': kind,
      'aria-label': rowLabel(text.chat.react(text.chat.reactions[kind], total), this.#name(entry)), onclick: toggle },
    icon(kind), total > 0 && h('span', {}, String(total)));
  }

  /** @param {Entry} entry @param {boolean} mine */
  #actions(entry, mine) {
    const { role, attempt } = this.#context;
    const remove = () => attempt(() => this.#channel.deleteMessage({ serial: entry.key, data: {} }),
      `remove ${entry.key}`);
    const row = this.#name(entry);
    return h('div', { class: 'actions' }, mine && rowButton(text.chat.edit, row, () => this.#edit(entry),
      { class: 'link', 'data-does': 'edit' }),
      (mine || role === 'host') && rowButton(text.chat.remove, row, remove, { class: 'link', 'data-does': 'remove' }),
      muteButton(this.#context, entry.clientId, row));
  }

  /** @param {Entry} entry */
  #name(entry) {
    return text.of(this.#context.names.of(entry.clientId), entry.data.text);
  }

  /** @param {Entry} entry @param {boolean} mine */
  #heading(entry, mine) {
    return h('header', {}, person(this.#context.names.of(entry.clientId)),
      isHost(entry.clientId) && h('span', { class: 'badge' }, text.hostBadge),
      mine && h('span', { class: 'badge faint' }, text.you),
      isMuted(this.#context.shared, entry.clientId) && h('span', { class: 'badge faint' }, text.chat.isMuted),
      h('time', { datetime: new Date(entry.at).toISOString() }, timeOfDay(entry.at)),
      entry.edited && h('span', { class: 'faint' }, text.chat.edited));
  }
}

/** @param {Entry} entry */
function body(entry) {
  if (entry.deleted) return h('p', { class: 'gone' }, text.chat.deleted);
  return h('p', { class: 'said', dir: 'auto' }, ...linked(entry.data.text.slice(0, TEXT_MAX)));
}
