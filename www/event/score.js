/**
 * The live score. A message holds the whole score after its point, so the last one is the score, and all of them are
 * the timeline. Any host may keep score.
 */
import { button, h, perFrame, person } from './dom.js';
import { Log } from './log.js';
import { text, timeOfDay } from './strings.js';
import { call, isScore, love, players, point, pointNames } from './tennis.js';

/** @typedef {import('./tennis.js').Score} Score */
/** @typedef {import('./main.js').Context} Context */

/** How far back the last score is looked for, in pages, behind what else was published here. */
const PAGES = 20;
/** Entries of the timeline that are shown, until the reader asks for more. */
const SHOWN = 8;

/** @param {HTMLElement} element @param {Context} context */
export function score(element, { ably, role, attempt }) {
  const board = h('div', { class: 'board' });
  const said = h('p', { class: 'call', 'aria-live': 'polite' }, text.score.none);
  const timeline = h('ol', { class: 'timeline' });
  const earlier = button(text.score.earlier, () => {
    shown += 20;
    return log.hasEarlier ? attempt(() => log.earlier(), 'earlier') : draw();
  }, { class: 'quiet' });
  const umpire = h('div', { class: 'umpire', role: 'group', 'aria-label': text.score.umpire,
    hidden: role !== 'host' }, h('p', {}, text.score.umpire));
  const heading = h('h3', { hidden: true }, text.score.timeline);
  element.append(board, said, umpire, heading, timeline, earlier);

  let shown = SHOWN;
  /** The score that the next point is added to: ahead of what has come back while a point is under way. */
  let next = love;
  let underWay = 0;
  let searched = 0;

  const draw = perFrame(() => {
    const scores = scoresOf(log);
    // A channel that others published much on: the score may be pages back.
    if (scores.length === 0 && log.hasEarlier && searched++ < PAGES) void log.earlier().catch(() => {});
    const latest = scores.at(-1);
    const now = latest?.score ?? love;
    if (underWay === 0) next = now;
    board.replaceChildren(table(now));
    // By itself: in a line that goes from right to left, 40–30 would read 30–40.
    said.replaceChildren(h('bdi', {}, latest ? call(now) : text.score.none));
    timeline.replaceChildren(...scores.slice(-shown).reverse().map(moment));
    heading.hidden = scores.length === 0;
    earlier.hidden = scores.length <= shown && !log.hasEarlier;
  });
  const log = new Log(ably.channels.get('event:score'), draw);

  /** @param {0 | 1 | null} side */
  const give = (side) => attempt(async () => {
    if (side !== null && next.winner !== null) throw new Error(text.score.over);
    next = side === null ? love : point(next, side);
    underWay++;
    try {
      await log.channel.publish('score', { score: next });
    } finally {
      underWay--;
    }
  });
  umpire.append(...players.map((player, side) => button(player, () => give(side === 0 ? 0 : 1), { class: 'primary' })),
    button(text.score.again, () => give(null), { class: 'quiet' }));
  draw();
}

/** Only hosts may publish here; what they publish may yet be something else. @param {Log} log */
function scoresOf(log) {
  const valid = log.entries.filter(({ data, deleted }) => !deleted && isScore(data?.score));
  return valid.map(({ data, at, key }) => ({ score: /** @type {Score} */ (data.score), at, key }));
}

/** @param {{ score: Score, at: number, key: string }} moment */
function moment({ score, at, key }) {
  const sets = score.sets.map((set) => set.join('–')).join('  ');
  return h('li', { 'data-serial': key }, h('time', { datetime: new Date(at).toISOString() }, timeOfDay(at)),
    h('bdi', { class: 'what' }, call(score)), h('bdi', { class: 'sets' }, sets));
}

/** @param {Score} score */
function table(score) {
  const points = pointNames(score);
  const head = h('tr', {}, h('th', { scope: 'col' }, h('span', { class: 'visually-hidden' }, text.score.player)),
    ...[1, 2, 3].map((set) => h('th', { scope: 'col' }, text.score.set(set))),
      h('th', { scope: 'col' }, text.score.points));
  const rows = players.map((player, side) => {
    const serves = score.winner === null && score.serving === side;
    const won = score.winner === side ? text.score.won : '';
    return h('tr', {}, h('th', { scope: 'row' }, person(player), serves
      && h('span', { class: 'serves', title: text.score.serving },
      h('span', { class: 'visually-hidden' }, text.score.serving))),
      ...[0, 1, 2].map((set) => h('td', { class: set === score.sets.length - 1 ? 'current' : '' },
        String(score.sets[set]?.[side] ?? '·'))),
      h('td', { class: 'points' }, score.winner === null ? points[side] ?? '' : won));
  });
  return h('table', {}, h('caption', {}, text.score.match), h('thead', {}, head), h('tbody', {}, ...rows));
}
