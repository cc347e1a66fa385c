/** What Courtside aims for against its peers, judged by the same run. An aim whose peers didn't run isn't told. */
import { Cell } from './figures.mjs';
import { paced } from './plan.mjs';
import { caseName, cellWithSpread } from './tables.mjs';

/**
 * @typedef {object} Aim
 * @property {string} figure a path in the generator's report
 * @property {string} name what it is called
 * @property {string} against a contestant
 * @property {string} [by] the one contestant that it is for; every way to run Courtside where it is left out
 * @property {import('./figures.mjs').Case} of where it holds
 * @property {number} [atLeast] the ratio aimed for
 * @property {number} [atMost]
 */

const hundred = (/** @type {number} */ inFlight) => ({ subscribers: 100, bytes: 100, inFlight, rate: 0 });

/** The least that relays and channels can be: an aim that they miss, too, is beyond the runtime. */
const LEAST = 'relaying-objects';

/** A lone subscriber, and crowds. */
const [one, thousand, crowd] = [1, 1_000, 5_000].map((subscribers) => ({ ...hundred(subscribers === 1 ? 1 : 20), subscribers }));

/** Whoever tries the product sees what `npm start` serves. @type {Aim[]} */
const served = [1, 20, 200].map((inFlight) => (
  { figure: 'deliveries_per_second', name: 'deliveries/s', by: 'courtside-serve:json', against: 'courtside:json', of: hundred(inFlight), atLeast: 0.95 }
)).concat({ figure: 'connects_per_second', name: 'connects/s', by: 'courtside-serve:json', against: 'courtside:json', of: thousand, atLeast: 0.95 });

/** The last two say what is left where even the least that relays can be misses an aim before. @type {Aim[]} */
const aims = [
  ...served,
  { figure: 'latency.p50_ms', name: 'p50', by: 'courtside:json', against: 'storing-object', of: hundred(1), atMost: 1.2 },
  { figure: 'latency.p50_ms', name: 'p50', by: 'courtside-channel:json', against: 'storing-object', of: hundred(1), atMost: 1 },
  ...[hundred(20), thousand, crowd].map((of) => (
    { figure: 'deliveries_per_second', name: 'deliveries/s', against: 'nchan', of, atLeast: 1 })),
  { figure: 'deliveries_per_second', name: 'deliveries/s', against: 'nchan', of: hundred(200), atLeast: 4 },
  { figure: 'deliveries_per_second', name: 'deliveries/s', against: 'plain-object', of: hundred(200), atLeast: 25 },
  { figure: 'latency.p99_ms', name: 'p99', against: 'plain-object', of: paced, atMost: 2 },
  { figure: 'connects_per_second', name: 'connects/s', against: 'plain-object', of: thousand, atLeast: 0.6 },
  { figure: 'connects_again_per_second', name: 'connects/s again', against: 'plain-object', of: crowd, atLeast: 0.6 },
  { figure: 'server_cpu_us_per_delivery', name: 'CPU per message', against: 'plain-object', of: one, atMost: 3 },
  { figure: 'connects_per_second', name: 'connects/s', against: `${LEAST}:json`, of: thousand, atLeast: 0.6 },
  { figure: 'server_cpu_us_per_delivery', name: 'CPU per message', against: `${LEAST}:json`, of: one, atMost: 2 },
];

/**
 * One line for each aim and each way to run Courtside, and for the least that relays can be.
 * @param {import('../run.mjs').MeasuredPart[]} parts
 * @returns {string[]}
 */
export function judge(parts) {
  const runs = parts.flatMap((part) => part.runs);
  const ours = [...new Map(parts.flatMap(({ contestants }) => contestants).map((each) => [each.name, each])).values()]
    .filter(({ peer }) => peer.name.startsWith('courtside') || peer.name === LEAST);
  return aims.flatMap(({ figure, name: what, by, against, of, atLeast, atMost }) => ours.flatMap(({ name, title }) => {
    if (by && by !== name || against.startsWith(LEAST) && name.startsWith(LEAST)) return [];
    const ratio = new Cell(runs, of, name).ratio(figure, new Cell(runs, of, against));
    if (!ratio) return [];
    const met = atLeast === undefined ? ratio.middle <= (atMost ?? Infinity) : ratio.middle >= atLeast;
    const bound = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
    return [`${met ? 'met  ' : 'SHORT'} ${title}: ${what} at ${caseName(of)} is `
      + `${cellWithSpread(ratio, (value) => value.toFixed(2))} × ${against}, aim ${bound}`];
  }));
}
