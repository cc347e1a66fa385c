/**
 * Polls and quizzes. A poll is a message, a vote an annotation of which each client has one at most, and the tally its
 * summary, so nobody votes twice and nobody has to be asked for it. The right option of a quiz is kept on a channel
 * that attendees may not read, until the host reveals it.
 */
import { button, h, perFrame, person } from './dom.js';
import { Log } from './log.js';
import { hueOf, nameOf } from './people.js';
import { leaders, pointsOf } from './quiz.js';
import { count, text } from './strings.js';

/** @typedef {import('./main.js').Context} Context */
/** @typedef {import('./log.js').Entry} Entry */

const VOTE = 'vote:unique.v1';
const OPTIONS_MIN = 2;
const OPTIONS_MAX = 6;
/** Polls that are shown, the newest first. */
const SHOWN = 5;
const LEADERS = 10;
/** Winners of one quiz that are kept: as many as fit in a message. */
const WINNERS_MAX = 500;
/** Votes that are read to reveal a quiz, in pages of a thousand. */
const VOTE_PAGES = 50;

/** @param {HTMLElement} element @param {Context} context */
export function polls(element, context) {
  const { ably, role, me, attempt } = context;
  const empty = h('p', { class: 'empty' }, text.polls.none);
  const list = h('div', { class: 'polls' });
  const board = h('div', { class: 'leaders' });
  const backstage = role === 'host' ? new Backstage(ably) : undefined;
  /** What this page chose and may not have been counted yet. @type {Map<string, number>} */
  const chosen = new Map();
  if (backstage) element.append(form(context, open));
  element.append(empty, list, board);

  const draw = perFrame(() => {
    const all = log.entries.filter(isPoll);
    empty.hidden = all.length > 0;
    const focused = document.activeElement?.id;
    list.replaceChildren(...all.slice(-SHOWN).reverse().map(card));
    // What is drawn anew keeps the keyboard where it was.
    if (focused && list.querySelector(`#${CSS.escape(focused)}`)) document.getElementById(focused)?.focus();
    board.replaceChildren(...leaderboard(log));
  });
  const log = new Log(ably.channels.get('event:polls'), draw);

  /** @param {{ question: string, options: string[], right?: number }} poll */
  async function open({ question, options, right }) {
    const { serials } = await log.channel.publish('poll', { question, options, quiz: right !== undefined });
    if (right !== undefined) await backstage?.keepAnswer(String(serials[0]), right);
  }

  /** @param {Entry} entry @param {number} option */
  const vote = (entry, option) => context.taking(async () => {
    chosen.set(entry.key, option);
    draw();
    try {
      await log.channel.annotations.publish(entry.key, { type: VOTE, name: String(option) });
    } catch (error) {
      chosen.delete(entry.key);
      draw();
      throw error;
    }
  });

  /** @param {Entry} entry */
  const close = (entry) => attempt(async () => {
    const tally = optionsOf(entry).map((_, option) => votesFor(entry, option));
    const right = entry.data.quiz ? await backstage?.answerOf(entry.key) : undefined;
    await log.channel.updateMessage({ serial: entry.key, data: { ...entry.data, closed: true, tally, right } });
    if (right === undefined || !backstage) return;
    const votes = await allVotes(log.channel, entry.key);
    const { version } = await log.channel.getMessage(entry.key);
    const points = pointsOf(votes, { right, askedAt: entry.at, revealedAt: Number(version?.timestamp) });
    const best = leaders([points], WINNERS_MAX);
    await backstage.keepPoints(entry.key, Object.fromEntries(best));
    await log.channel.publish('leaders', { leaders: leaders(await backstage.points(), LEADERS) });
  });

  /** @param {Entry} entry */
  function card(entry) {
    const { question, quiz, closed } = entry.data;
    const total = optionsOf(entry).reduce((sum, _, option) => sum + votesFor(entry, option), 0);
    const mine = choiceOf(entry);
    const choose = optionsOf(entry).map((label, option) => choice(entry, { label, option, total, mine }));
    const note = closed ? text.polls.final : mine !== undefined ? text.polls.voted : quiz ? text.polls.hidden : '';
    return h('article', { class: closed ? 'poll closed' : 'poll', 'data-serial': entry.key },
      h('header', {}, h('h3', { dir: 'auto' }, question), quiz && h('span', { class: 'badge' }, text.polls.quizBadge)),
      h('div', { class: 'choices', role: 'group', 'aria-label': question }, ...choose),
      h('footer', {}, h('span', { class: 'total' }, text.polls.votes(total)), h('span', { class: 'faint' }, note),
        role === 'host' && !closed && button(quiz ? text.polls.reveal : text.polls.close, () => close(entry),
          { class: 'quiet' })));
  }

  /** @param {Entry} entry @param {{ label: string, option: number, total: number, mine: number | undefined }} of */
  function choice(entry, { label, option, total, mine }) {
    const { closed, quiz, right } = entry.data;
    const votes = votesFor(entry, option);
    const part = total > 0 ? votes / total : 0;
    const shows = closed || !quiz || role === 'host';
    const bar = h('span', { class: 'bar' });
    bar.style.setProperty('--part', String(shows ? part : 0));
    return h('button', {
      type: 'button', class: closed && right === option ? 'choice right' : 'choice',
      id: `vote-${entry.key}-${option}`.replace(/[^\w-]/gu, '_'),
      'aria-pressed': String(mine === option), disabled: Boolean(closed), onclick: () => vote(entry, option),
    }, bar, h('bdi', { class: 'label' }, label),
    closed && right === option && h('span', { class: 'visually-hidden' }, text.polls.correct),
    shows && h('span', { class: 'share' }, h('span', { class: 'percent' }, `${Math.round(part * 100)} %`),
      h('span', { class: 'votes' }, count(votes))));
  }

  /** @param {Entry} entry */
  function choiceOf(entry) {
    const summary = entry.summary[VOTE] ?? {};
    const counted = Object.keys(summary).find((option) => summary[option].clientIds?.includes(me.clientId));
    return chosen.get(entry.key) ?? (counted === undefined ? undefined : Number(counted));
  }
  draw();
}

/** @param {Entry} entry */
function isPoll({ name, data, deleted }) {
  return name === 'poll' && !deleted && typeof data?.question === 'string' && Array.isArray(data.options)
    && data.options.length <= OPTIONS_MAX
      && data.options.every((/** @type {unknown} */ option) => typeof option === 'string');
}

/** @param {Entry} entry @returns {string[]} */
const optionsOf = ({ data }) => data.options;

/** As it is, or as it was when the poll was closed. @param {Entry} entry @param {number} option @returns {number} */
function votesFor({ data, summary }, option) {
  return data.tally?.[option] ?? summary[VOTE]?.[option]?.total ?? 0;
}

/** @param {import('ably').RealtimeChannel} channel @param {string} serial */
async function allVotes(channel, serial) {
  /** @type {import('./quiz.js').Vote[]} */
  const votes = [];
  /** @type {import('ably').PaginatedResult<import('ably').Annotation> | null} */
  let page = await channel.annotations.get(serial, { limit: 1_000 });
  for (let pages = 0; page && pages < VOTE_PAGES; pages++) {
    votes.push(...page.items.filter(({ type }) => type === VOTE));
    page = page.hasNext() ? await page.next() : null;
  }
  return votes;
}

/** @param {Log} log */
function leaderboard(log) {
  const best = log.entries.filter(({ name }) => name === 'leaders').at(-1)?.data?.leaders;
  if (!Array.isArray(best) || best.length === 0) return [];
  const rows = best.slice(0, LEADERS).map(([clientId, points]) => h('li', { 'data-hue': hueOf(String(clientId)) },
    person(nameOf(String(clientId), text.anonymous)),
      h('span', { class: 'points' }, text.polls.points(Number(points)))));
  return [h('h3', {}, text.polls.leaders), h('ol', {}, ...rows)];
}

/** What only hosts may read: right answers, and the points of each quiz. */
class Backstage {
  #channel;

  /** @param {import('ably').Realtime} ably */
  constructor(ably) {
    this.#channel = ably.channels.get('event:backstage');
  }

  /** @param {string} poll @param {number} right */
  async keepAnswer(poll, right) {
    await this.#channel.publish('answer', { poll, right });
  }

  /** @param {string} poll @param {Record<string, number>} points */
  async keepPoints(poll, points) {
    await this.#channel.publish('points', { poll, points });
  }

  /** @param {string} poll @returns {Promise<number | undefined>} */
  async answerOf(poll) {
    const all = await this.#all();
    return all.find(({ name, data }) => name === 'answer' && data?.poll === poll)?.data.right;
  }

  /** Of each quiz once, though two hosts revealed it. */
  async points() {
    const all = (await this.#all()).filter(({ name }) => name === 'points');
    return [...new Map(all.map(({ data }) => [data.poll, data.points])).values()];
  }

  async #all() {
    const { items } = await this.#channel.history({ limit: 1_000 });
    return items;
  }
}

/**
 * @param {Context} context
 * @param {(poll: { question: string, options: string[], right?: number }) => Promise<void>} open
 */
function form({ attempt }, open) {
  const question = h('input', { id: 'poll-question', required: true, maxlength: 140 });
  const options = h('textarea', { id: 'poll-options', rows: 3, required: true });
  const isQuiz = h('input', { id: 'poll-quiz', type: 'checkbox' });
  const right = h('input', { id: 'poll-right', type: 'number', min: 1, max: OPTIONS_MAX });
  const rightRow = h('div', { class: 'field', hidden: true }, h('label', { for: 'poll-right' }, text.polls.right),
    right);
  isQuiz.addEventListener('change', () => { rightRow.hidden = !isQuiz.checked; });
  const element = h('form', { class: 'panel' },
    h('div', { class: 'field' }, h('label', { for: 'poll-question' }, text.polls.ask), question),
    h('div', { class: 'field' }, h('label', { for: 'poll-options' }, text.polls.options), options),
    h('div', { class: 'row' }, isQuiz, h('label', { for: 'poll-quiz' }, text.polls.quiz)), rightRow,
    h('button', { class: 'primary' }, text.polls.open));
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    void attempt(async () => {
      const lines = options.value.split('\n').map((line) => line.trim().slice(0, 80)).filter(Boolean);
      if (lines.length < OPTIONS_MIN || lines.length > OPTIONS_MAX) throw new Error(text.polls.two);
      const index = isQuiz.checked ? Number(right.value) - 1 : undefined;
      if (index !== undefined && !lines[index]) throw new Error(text.polls.pick);
      await open({ question: question.value.trim(), options: lines, right: index });
      element.reset();
      rightRow.hidden = true;
    });
  });
  return element;
}
