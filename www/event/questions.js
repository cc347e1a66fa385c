/**
 * Questions and answers. An upvote is an annotation that each client has once; what the host does to a question is an
 * update of its message, which only hosts may make. Attendees do not see what the muted asked.
 */
import { h, linked, perFrame, person, redraw, rowButton } from './dom.js';
import { Log } from './log.js';
import { isMuted, muteButton } from './moderation.js';
import { Outbox } from './outbox.js';
import { hueOf, isHost } from './people.js';
import { text } from './strings.js';

/** @typedef {import('./main.js').Context} Context */
/** @typedef {import('./log.js').Entry} Entry */

const PLACE = 'event:questions';
const UPVOTE = 'upvote:flag.v1';
const TEXT_MAX = 280;
/** Questions that are shown: the ones that most want answered. */
const SHOWN = 50;

/** @param {HTMLElement} element @param {Context} context */
export function questions(element, context) {
  const { ably, role, me, names, shared, attempt, given } = context;
  const input = h('input', { name: 'question', maxlength: TEXT_MAX, autocomplete: 'off',
    'aria-label': text.questions.ask, placeholder: text.questions.ask, dir: 'auto' });
  const note = h('p', { class: 'note', role: 'status' });
  const form = h('form', { class: 'composer', onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    const asked = input.value.trim();
    if (asked === '') return;
    if (!context.joined) outbox.keep(asked);
    void context.taking(() => {
      // At once: what is sent stands there no longer, to be sent again.
      input.value = '';
      return outbox.send(letter(asked));
    });
  } }, note, input, h('button', { class: 'primary' }, text.questions.send));
  const empty = h('p', { class: 'empty' }, text.questions.none);
  const list = h('ol', { class: 'questions', tabindex: '-1' });
  const letter = (/** @type {string} */ written) => ({
    written, isKept: true, send: () => log.channel.publish('question', { text: written }), back: () => {
      if (input.value !== '') return false;
      input.value = written;
      return true;
    },
  });
  const outbox = new Outbox(context, PLACE, letter);
  element.append(form, outbox.element, empty, list);

  const draw = perFrame(() => {
    const all = log.entries.filter(({ data, deleted, clientId }) => !deleted && typeof data?.text === 'string'
      && (role === 'host' || !isMuted(shared, clientId)));
    empty.hidden = all.length > 0;
    redraw(list, () => list.replaceChildren(...all.toSorted(byUrgency).slice(0, SHOWN).map(item)));
  }, list);
  const log = new Log(ably.channels.get(PLACE), draw);

  /** What a host shows on stage comes first, and what the muted asked last. @param {Entry} entry */
  function rank(entry) {
    const { picked, answered } = marksOf(entry);
    return isMuted(shared, entry.clientId) ? 3 : picked ? 0 : answered ? 2 : 1;
  }

  /** @param {Entry} a @param {Entry} b */
  const byUrgency = (a, b) => rank(a) - rank(b) || votes(b) - votes(a) || (a.key < b.key ? -1 : 1);

  /** @param {Entry} entry @param {Record<string, boolean>} marks */
  const mark = (entry, marks) => attempt(() => log.channel.updateMessage({
    serial: entry.key, data: { text: entry.data.text, ...marksOf(entry), ...marks },
  }), `mark ${JSON.stringify(marks)} ${entry.key}`);

  /** @param {Entry} entry */
  function item(entry) {
    const { picked, answered } = marksOf(entry);
    const total = votes(entry);
    const isMine = given.isIn(entry.summary[UPVOTE], me.clientId, { serial: entry.key, type: UPVOTE, name: '' });
    const { annotations } = log.channel;
    const toggle = () => context.taking(() => given.change(entry.key, UPVOTE, isMine ? [] : [''],
      () => (isMine ? annotations.delete(entry.key, { type: UPVOTE })
        : annotations.publish(entry.key, { type: UPVOTE }))), `upvote ${!isMine} ${entry.key}`);
    const upvote = h('button', { type: 'button', class: 'upvote', 'aria-pressed': String(isMine), onclick: toggle,
      'aria-describedby': saidId(entry), 'data-does': 'upvote' }, h('span', { 'aria-hidden': 'true' }, '▲'),
    h('span', { class: 'visually-hidden' }, text.questions.upvote), h('span', { class: 'total' }, String(total)));
    const muted = isMuted(shared, entry.clientId);
    const badge = picked ? text.questions.picked : answered ? text.questions.answered : muted ? text.chat.isMuted : '';
    return h('li', { class: `question${picked ? ' picked' : ''}${answered ? ' answered' : ''}${muted ? ' muted' : ''}`,
      'data-serial': entry.key }, upvote,
      h('div', {}, badge && h('span', { class: 'badge' }, badge),
        h('p', { class: 'said', dir: 'auto', id: saidId(entry) }, ...linked(entry.data.text.slice(0, TEXT_MAX))),
        h('footer', { 'data-hue': hueOf(entry.clientId) }, person(names.of(entry.clientId)),
          actions(entry))));
  }

  /** @param {Entry} entry */
  function actions(entry) {
    const { picked, answered } = marksOf(entry);
    const row = text.of(names.of(entry.clientId), entry.data.text);
    const remove = () => attempt(() => log.channel.deleteMessage({ serial: entry.key, data: {} }),
      `remove ${entry.key}`);
    const mine = entry.clientId !== '' && entry.clientId === me.clientId;
    const host = role === 'host' && [
      !answered && rowButton(picked ? text.questions.drop : text.questions.pick, row,
        () => mark(entry, { picked: !picked }), { class: 'link', 'data-does': 'pick' }),
      rowButton(answered ? text.questions.reopen : text.questions.answer, row,
        () => mark(entry, { answered: !answered, picked: false }), { class: 'link', 'data-does': 'answer' }),
    ];
    return h('div', { class: 'actions' }, ...(host || []), (mine || role === 'host')
      && rowButton(text.questions.remove, row, remove, { class: 'link', 'data-does': 'remove' }),
    muteButton(context, entry.clientId, row));
  }
  names.on(draw);
  shared.on(() => {
    note.textContent = isMuted(shared, me.clientId) ? text.chat.muted : '';
    draw();
  });
}

/** Only what a host said of it counts: its author could have published anything. @param {Entry} entry */
function marksOf({ data, changedBy }) {
  const byHost = isHost(changedBy);
  return { picked: byHost && data.picked === true, answered: byHost && data.answered === true };
}

/** @param {Entry} entry */
const saidId = ({ key }) => `said-${key}`;

/** @param {Entry} entry @returns {number} */
const votes = ({ summary }) => summary[UPVOTE]?.total ?? 0;
