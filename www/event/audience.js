/**
 * How many are here, and how that grew. The count is the channel's occupancy; the stage notes it now and then on the
 * channel itself, so that who comes late sees the whole line. While no stage is open nobody notes it, and the line has
 * a gap.
 */
import { h, perFrame } from './dom.js';
import { growth, lately } from './growth.js';
import { Log } from './log.js';
import { text, timeOfDay } from './strings.js';

/** @typedef {import('./main.js').Context} Context */

/** How often the stage notes a count that changed, and one that did not. */
const NOTE_EVERY_MS = 15_000;
const COUNT_EVERY_MS = 60_000;
/** Points of the line. */
const SAMPLES_MAX = 400;
const WIDTH = 320;
const HEIGHT = 88;

/**
 * @param {HTMLElement} element
 * @param {Context} context
 * @param {HTMLElement | null} counter where the number stands, always in sight
 */
export function audience(element, { ably, role }, counter) {
  /** @type {{ at: number, people: number }[]} */
  let samples = [];
  let notedAt = 0;
  /** @type {number | undefined} */
  let people;
  const now = h('p', { class: 'now' });
  const peak = h('p', { class: 'faint' });
  const chart = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  chart.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  chart.setAttribute('role', 'img');
  chart.setAttribute('class', 'growth');
  const [begin, change] = [h('time'), h('span')];
  const span = h('p', { class: 'span faint' }, begin, change, h('span', {}, text.audience.untilNow));
  element.append(now, chart, span, peak);

  const draw = perFrame(() => {
    const noted = log.entries.filter(({ name, data }) => name === 'people' && Number.isFinite(data?.people))
      .map(({ data, at }) => ({ at, people: Number(data.people) }));
    const line = [...noted, ...samples].sort((a, b) => a.at - b.at).slice(-SAMPLES_MAX);
    if (people === undefined) return;
    now.textContent = text.audience.now(people);
    if (counter) counter.textContent = text.audience.now(people);
    const most = Math.max(1, ...line.map((sample) => sample.people));
    const start = timeOfDay(line[0]?.at ?? Date.now());
    begin.textContent = start;
    change.textContent = text.audience.lately(lately(line, Date.now()));
    peak.textContent = `${text.audience.peak(most)} ${text.audience.since(start)}`;
    chart.setAttribute('aria-label', `${text.audience.growth}: ${peak.textContent}`);
    chart.replaceChildren(...paths(growth(line, Date.now(), { width: WIDTH, height: HEIGHT, most })));
  });

  const channel = ably.channels.get('event:audience', { params: { occupancy: 'metrics' } });
  const log = new Log(channel, draw);
  channel.subscribe('[meta]occupancy', ({ data }) => {
    people = Number(data?.metrics?.subscribers ?? 0);
    count(NOTE_EVERY_MS);
  }).catch(() => {});
  setInterval(() => ably.connection.state === 'connected' && count(COUNT_EVERY_MS / 2), COUNT_EVERY_MS);

  /** @param {number} quietMs since the last note */
  function count(quietMs) {
    if (people === undefined) return;
    samples = [...samples, { at: Date.now(), people }].slice(-SAMPLES_MAX);
    if (role === 'host' && Date.now() - notedAt > quietMs) {
      notedAt = Date.now();
      channel.publish('people', { people }).catch(() => {});
    }
    draw();
  }
}

/** @param {{ line: string, area: string }} drawn */
function paths({ line, area }) {
  return [['area', area], ['line', line]].map(([name, d]) => {
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    path.setAttribute('class', name ?? '');
    path.setAttribute('d', d ?? '');
    return path;
  });
}
