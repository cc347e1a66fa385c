/**
 * Polls and quizzes. A poll is a message, a vote an annotation of which each client has one at most, and the tally its
 * summary, so nobody votes twice and nobody has to be asked for it. The right option of a quiz is kept on a channel
 * that attendees may not read, until the host reveals it.
 */
import { Backstage } from './backstage.js';
import { h, perFrame, person, redraw } from './dom.js';
import { Log } from './log.js';
import { hueOf } from './people.js';
import { OPTIONS_MAX, PollCards, VOTE, isPoll, optionsOf, votesFor } from './poll_cards.js';
import { leaders, pointsOf } from './quiz.js';
import { text } from './strings.js';

/** @typedef {import('./main.js').Context} Context */
/** @typedef {import('./log.js').Entry} Entry */

const OPTIONS_MIN = 2;
/** Letters of an option. */
const OPTION_MAX = 80;
/** Polls that are shown, the newest first. */
const SHOWN = 5;
const LEADERS = 10;
/** Winners of one quiz that are kept. */
const WINNERS_MAX = 500;
/** Votes that are read to reveal a quiz, changes included, in pages of a thousand. With more it has no leaders. */
const VOTE_PAGES = 50;

/** @param {HTMLElement} element @param {Context} context */
export function polls(element, context) {
  const { ably, role, attempt } = context;
  const empty = h('p', { class: 'empty' }, text.polls.none);
  const list = h('div', { class: 'polls', tabindex: '-1' });
  const board = h('div', { class: 'leaders' });
  const backstage = role === 'host' ? new Backstage(ably) : undefined;
  /** What this page chose and may not have been counted yet. @type {Map<string, import('./poll_cards.js').Chosen>} */
  const chosen = new Map();
  if (backstage) element.append(form(context, open));
  element.append(empty, list, board);

  const draw = perFrame(() => {
    const all = log.entries.filter(isPoll);
    empty.hidden = all.length > 0;
    redraw(list, () => list.replaceChildren(...all.slice(-SHOWN).reverse().map((entry) => cards.card(entry))));
    board.replaceChildren(...leaderboard(log, context.names));
  }, list);
  const log = new Log(ably.channels.get('event:polls'), draw);
  context.names.on(draw);
  const cards = new PollCards(context, chosen, {
    vote: (entry, option) => vote(entry, option), close: (entry) => close(entry),
  });

  /** @param {{ question: string, options: string[], right?: number }} poll */
  async function open({ question, options, right }) {
    const { serials } = await log.channel.publish('poll', { question, options, quiz: right !== undefined });
    if (right !== undefined) await backstage?.keepAnswer(String(serials[0]), right);
  }

  /** @param {Entry} entry @param {number} option */
  const vote = (entry, option) => context.taking(async () => {
    const mine = { option, isSent: false };
    chosen.set(entry.key, mine);
    draw();
    try {
      await context.given.change(entry.key, VOTE, [String(option)],
        () => log.channel.annotations.publish(entry.key, { type: VOTE, name: String(option) }));
      mine.isSent = true;
    } catch (error) {
      // What was chosen since may yet be counted.
      if (chosen.get(entry.key) === mine) chosen.delete(entry.key);
      throw error;
    } finally {
      draw();
    }
  });

  /** @param {Entry} entry */
  const close = (entry) => attempt(async () => {
    const tally = optionsOf(entry).map((_, option) => votesFor(entry, option));
    const right = entry.data.quiz ? await backstage?.answerOf(entry.key) : undefined;
    await log.channel.updateMessage({ serial: entry.key, data: { ...entry.data, closed: true, tally, right } });
    if (right === undefined || !backstage) return;
    const votes = await allVotes(log.channel, entry.key);
    if (!votes) throw new Error(text.polls.tooMany);
    const { version } = await log.channel.getMessage(entry.key);
    const points = pointsOf(votes, { right, askedAt: entry.at, revealedAt: Number(version?.timestamp) });
    const best = leaders([points], WINNERS_MAX);
    await backstage.keepPoints(entry.key, Object.fromEntries(best));
    await log.channel.publish('leaders', { leaders: leaders(await backstage.points(), LEADERS) });
  }, `close ${entry.key}`);
  draw();
}

/**
 * None, if there are more than are read: a part would give points to the wrong ones.
 * @param {import('ably').RealtimeChannel} channel @param {string} serial
 */
async function allVotes(channel, serial) {
  /** @type {import('./quiz.js').Vote[]} */
  const votes = [];
  /** @type {import('ably').PaginatedResult<import('ably').Annotation> | null} */
  let page = await channel.annotations.get(serial, { limit: 1_000 });
  for (let pages = 0; page && pages < VOTE_PAGES; pages++) {
    votes.push(...page.items.filter(({ type }) => type === VOTE));
    page = page.hasNext() ? await page.next() : null;
  }
  return page ? undefined : votes;
}

/** @param {Log} log @param {Context['names']} names */
function leaderboard(log, names) {
  const best = log.entries.filter(({ name }) => name === 'leaders').at(-1)?.data?.leaders;
  if (!Array.isArray(best) || best.length === 0) return [];
  const valid = best.filter((/** @type {unknown} */ leader) => Array.isArray(leader) && Number.isFinite(leader[1]));
  const rows = valid.slice(0, LEADERS).map(([clientId, points]) => h('li', { 'data-hue': hueOf(String(clientId)) },
    person(names.of(String(clientId))), h('span', { class: 'points' }, text.polls.points(points))));
  return [h('h3', {}, text.polls.leaders), h('ol', {}, ...rows)];
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
      const lines = options.value.split('\n').map((line) => line.trim()).filter(Boolean);
      if (lines.length < OPTIONS_MIN || lines.length > OPTIONS_MAX) throw new Error(text.polls.two);
      if (lines.some((line) => line.length > OPTION_MAX)) throw new Error(text.polls.long);
      const index = isQuiz.checked ? Number(right.value) - 1 : undefined;
      if (index !== undefined && !lines[index]) throw new Error(text.polls.pick);
      await open({ question: question.value.trim(), options: lines, right: index });
      element.reset();
      rightRow.hidden = true;
    }, 'poll');
  });
  return element;
}
