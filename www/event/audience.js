/**
 * How many are here, and how that grew. The count is the channel's occupancy; the stage notes it now and then on the
 * channel itself, so that who comes late sees the whole line.
 */
import { h, perFrame } from './dom.js';
import { Log } from './log.js';
import { text, timeOfDay } from './strings.js';

/** @typedef {import('./main.js').Context} Context */

/** How often the stage notes a count that changed. */
const NOTE_EVERY_MS = 15_000;
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
  let people = 0;
  const now = h('p', { class: 'now' });
  const peak = h('p', { class: 'faint' });
  const chart = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  chart.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  chart.setAttribute('role', 'img');
  chart.setAttribute('class', 'growth');
  element.append(now, chart, peak);

  const draw = perFrame(() => {
    const noted = log.entries.filter(({ name, data }) => name === 'people' && Number.isFinite(data?.people))
      .map(({ data, at }) => ({ at, people: Number(data.people) }));
    const line = [...noted, ...samples].sort((a, b) => a.at - b.at).slice(-SAMPLES_MAX);
    now.textContent = text.audience.now(people);
    if (counter) counter.textContent = text.audience.now(people);
    const most = Math.max(1, ...line.map((sample) => sample.people));
    peak.textContent = line[0] ? `${text.audience.peak(most)} ${text.audience.since(timeOfDay(line[0].at))}` : '';
    chart.setAttribute('aria-label', `${text.audience.growth}: ${peak.textContent}`);
    chart.replaceChildren(...paths(line, most));
  });

  const channel = ably.channels.get('event:audience', { params: { occupancy: 'metrics' } });
  const log = new Log(channel, draw);
  channel.subscribe('[meta]occupancy', ({ data }) => {
    people = Number(data?.metrics?.subscribers ?? 0);
    samples = [...samples, { at: Date.now(), people }].slice(-SAMPLES_MAX);
    if (role === 'host' && Date.now() - notedAt > NOTE_EVERY_MS) {
      notedAt = Date.now();
      channel.publish('people', { people }).catch(() => {});
    }
    draw();
  }).catch(() => {});
}

/**
 * A line and the area below it: steps, since a count holds until it changes.
 * @param {{ at: number, people: number }[]} line
 * @param {number} most
 */
function paths(line, most) {
  const first = line[0];
  if (!first) return [];
  const to = Math.max(Date.now(), first.at + 1);
  const x = (/** @type {number} */ at) => ((at - first.at) / (to - first.at) * WIDTH).toFixed(1);
  const y = (/** @type {number} */ people) => (HEIGHT - 4 - people / most * (HEIGHT - 12)).toFixed(1);
  const steps = line.map(({ at, people }, index) => (index === 0 ? `M${x(at)} ${y(people)}`
    : `H${x(at)} V${y(people)}`)).join(' ');
  const outline = `${steps} H${WIDTH}`;
  return [['area', `${outline} V${HEIGHT} H0 Z`], ['line', outline]].map(([name, d]) => {
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    path.setAttribute('class', name ?? '');
    path.setAttribute('d', d ?? '');
    return path;
  });
}
