/** What Courtside aims for against its peers, judged by the same run. An aim whose peers didn't run isn't told. */
import { Cell } from './figures.mjs';
import { cellWithSpread } from './tables.mjs';

/**
 * @typedef {object} Aim
 * @property {string} figure a path in the generator's report
 * @property {string} name what it is called
 * @property {string} against a contestant
 * @property {number} inFlight where it holds
 * @property {number} [atLeast] the ratio aimed for
 * @property {number} [atMost]
 */

/** For 100 subscribers and 100 bytes. @type {Aim[]} */
const aims = [
  { figure: 'deliveries_per_second', name: 'deliveries/s', against: 'plain-object', inFlight: 200, atLeast: 15 },
  { figure: 'latency.p50_ms', name: 'p50', against: 'plain-object', inFlight: 1, atMost: 3 },
  { figure: 'latency.p50_ms', name: 'p50', against: 'storing-object', inFlight: 1, atMost: 1.5 },
  { figure: 'server_cpu_us_per_frame', name: 'CPU per frame', against: 'plain-object', inFlight: 1, atMost: 1.1 },
];

/**
 * One line for each aim and each way to run Courtside.
 * @param {import('./figures.mjs').Run[]} runs
 * @param {{ name: string, title: string, peer: import('./peer.mjs').Peer }[]} contestants
 * @returns {string[]}
 */
export function judge(runs, contestants) {
  const ours = contestants.filter(({ peer }) => peer.name.startsWith('courtside'));
  return aims.flatMap((aim) => ours.flatMap(({ name, title }) => {
    const of = { subscribers: 100, bytes: 100, inFlight: aim.inFlight };
    const ratio = new Cell(runs, of, name).ratio(aim.figure, new Cell(runs, of, aim.against));
    if (!ratio) return [];
    const met = aim.atLeast === undefined ? ratio.middle <= (aim.atMost ?? Infinity) : ratio.middle >= aim.atLeast;
    const bound = aim.atLeast === undefined ? `at most ${aim.atMost}` : `at least ${aim.atLeast}`;
    return [`${met ? 'met  ' : 'SHORT'} ${title}: ${aim.name} at ${aim.inFlight} in flight is `
      + `${cellWithSpread(ratio, (value) => value.toFixed(2))} × ${aim.against}, aim ${bound}`];
  }));
}
