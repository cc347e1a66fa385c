/** How a poll looks: its options, the tally as far as it may be seen, and the choice of this client. */
import { h, rowButton } from './dom.js';
import { count, text } from './strings.js';

/** @typedef {import('./main.js').Context} Context */
/** @typedef {import('./log.js').Entry} Entry */
/** @typedef {{ option: number, isSent: boolean }} Chosen by this client; sent, once the server has acknowledged it */
/** @typedef {{ label: string, option: number, total: number, isMine: boolean }} Choice */

/** A vote: an annotation of which each client has one. */
export const VOTE = 'vote:unique.v1';
export const OPTIONS_MAX = 6;

export class PollCards {
  #context;
  #chosen;
  #does;

  /**
   * @param {Context} context @param {Map<string, Chosen>} chosen what this page chose, by poll
   * @param {{ vote: (entry: Entry, option: number) => void, close: (entry: Entry) => void }} does
   */
  constructor(context, chosen, does) {
    this.#context = context;
    this.#chosen = chosen;
    this.#does = does;
  }

  /** @param {Entry} entry */
  card(entry) {
    const { question, quiz, closed } = entry.data;
    const total = optionsOf(entry).reduce((sum, _, option) => sum + votesFor(entry, option), 0);
    const mine = this.#choiceOf(entry);
    const choices = optionsOf(entry).map((label, option) => this.#choice(entry,
      { label, option, total, isMine: mine?.option === option }));
    const note = closed ? text.polls.final : mine ? mine.isSent ? text.polls.voted : text.polls.sending
      : quiz ? text.polls.hidden : '';
    return h('article', { class: closed ? 'poll closed' : 'poll', 'data-serial': entry.key },
      h('header', {}, h('h3', { dir: 'auto' }, question), quiz && h('span', { class: 'badge' }, text.polls.quizBadge)),
      h('div', { class: 'choices', role: 'group', 'aria-label': question }, ...choices),
      h('footer', {}, h('span', { class: 'total' }, text.polls.votes(total)), h('span', { class: 'faint' }, note),
        this.#context.role === 'host' && !closed && this.#closing(entry)));
  }

  /** @param {Entry} entry */
  #closing(entry) {
    const label = entry.data.quiz ? text.polls.reveal : text.polls.close;
    return rowButton(label, entry.data.question, () => this.#does.close(entry),
      { class: 'quiet', 'data-does': 'close' });
  }

  /** @param {Entry} entry @param {Choice} choice */
  #choice(entry, { label, option, total, isMine }) {
    const { closed, quiz, right } = entry.data;
    const votes = votesFor(entry, option);
    const part = total > 0 ? votes / total : 0;
    const shows = closed || !quiz || this.#context.role === 'host';
    const isRight = closed && right === option;
    return h('button', {
      type: 'button', class: isRight ? 'choice right' : 'choice', 'aria-pressed': String(isMine),
      'data-does': `vote ${option}`, disabled: Boolean(closed),
      onclick: () => this.#does.vote(entry, option),
    }, bar(shows ? part : 0), h('bdi', { class: 'label' }, label),
    isRight && h('span', { class: 'visually-hidden' }, text.polls.correct), shows && share(part, votes));
  }

  /** @param {Entry} entry @returns {Chosen | undefined} */
  #choiceOf(entry) {
    const summary = entry.summary[VOTE] ?? {};
    const { given, me: { clientId } } = this.#context;
    const chosen = this.#chosen.get(entry.key);
    // What this page knows by itself proves nothing before it is acknowledged.
    const isMine = (/** @type {string} */ option) => (chosen && !chosen.isSent
      ? summary[option]?.clientIds?.includes(clientId)
      : given.isIn(summary[option], clientId, { serial: entry.key, type: VOTE, name: option }));
    const counted = Object.keys(summary).find(isMine);
    // From here on what is counted says it, which another tab may change.
    if (chosen && String(chosen.option) === counted) this.#chosen.delete(entry.key);
    const isCounted = counted !== undefined && (!chosen || String(chosen.option) === counted);
    return isCounted ? { option: Number(counted), isSent: true } : chosen;
  }
}

/** @param {number} part */
function bar(part) {
  const element = h('span', { class: 'bar' });
  element.style.setProperty('--part', String(part));
  return element;
}

/** @param {number} part @param {number} votes */
const share = (part, votes) => h('span', { class: 'share' },
  h('span', { class: 'percent' }, `${Math.round(part * 100)} %`), h('span', { class: 'votes' }, count(votes)));

/** @param {Entry} entry */
export function isPoll({ name, data, deleted }) {
  return name === 'poll' && !deleted && typeof data?.question === 'string' && Array.isArray(data.options)
    && data.options.length <= OPTIONS_MAX
      && data.options.every((/** @type {unknown} */ option) => typeof option === 'string');
}

/** @param {Entry} entry @returns {string[]} */
export const optionsOf = ({ data }) => data.options;

/** As it is, or as it was when the poll was closed. @param {Entry} entry @param {number} option @returns {number} */
export function votesFor({ data, summary }, option) {
  return data.tally?.[option] ?? summary[VOTE]?.[option]?.total ?? 0;
}
