/** The results as markdown. */
import { Cell } from './figures.mjs';

/**
 * @typedef {import('./figures.mjs').Case} Case
 * @typedef {import('./figures.mjs').Run} Run
 * @typedef {import('./figures.mjs').Spread} Spread
 */

/** @param {number} value */
export function short(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e4) return `${Math.round(value / 1e3)} k`;
  if (value >= 100) return String(Math.round(value));
  return value === 0 ? '0' : value.toPrecision(value < 10 ? 2 : 3);
}

/** @param {Case} of @returns {string[]} in two lines, as under a bar */
export function caseLines({ subscribers, bytes, inFlight, rate }) {
  const load = rate > 0 ? [`${rate} message/s`] : inFlight > 0 ? [`${inFlight} in flight`] : [];
  return [`${subscribers} × ${bytes} B`, ...load];
}

/** @param {Case} of */
export function caseName(of) {
  return caseLines(of).join(', ');
}

/** @param {Spread | undefined} spread @param {(value: number) => string} [show] */
function cell(spread, show = short) {
  return spread ? show(spread.middle) : '–';
}

/** @param {Spread | undefined} spread @param {(value: number) => string} [show] */
export function cellWithSpread(spread, show = short) {
  if (!spread) return '–';
  return spread.low === spread.high ? show(spread.middle) : `${show(spread.middle)} (${show(spread.low)}–${show(spread.high)})`;
}

/**
 * @param {string[]} head
 * @param {string[][]} rows
 */
export function markdown(head, rows) {
  const widths = head.map((text, column) => Math.max(text.length, ...rows.map((row) => row[column].length)));
  const line = (/** @type {string[]} */ row) => `| ${row.map((text, column) => text.padEnd(widths[column])).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

const columns = ['case', 'peer', 'deliveries/s', '×', 'p50 ms', '×', 'p99 ms', 'p99.9 ms',
  'messages/frame', 'bytes/delivery', 'CPU µs/delivery', 'CPU µs/frame', 'KB/subscriber', 'connects/s', 'again', 'server cores', 'generator cores', 'other cores'];

/**
 * @param {Run[]} runs
 * @param {Case[]} cases
 * @param {{ name: string, title: string }[]} contestants
 * @param {string} baseline the contestant to compare with
 */
export function fanoutTable(runs, cases, contestants, baseline) {
  return markdown(columns, cases.flatMap((of) => contestants.map(({ name, title }) => {
    const measured = new Cell(runs, of, name);
    const base = new Cell(runs, of, baseline);
    const figure = (/** @type {string} */ path, show = short) => cell(measured.spread(path), show);
    return [
      caseName(of), title + failures(measured),
      cellWithSpread(measured.spread('deliveries_per_second')),
      cellWithSpread(measured.ratio('deliveries_per_second', base)),
      cellWithSpread(measured.spread('latency.p50_ms')),
      cellWithSpread(measured.ratio('latency.p50_ms', base)),
      figure('latency.p99_ms'), figure('latency.p999_ms'), figure('messages_per_frame'), figure('bytes_per_delivery'),
      figure('server_cpu_us_per_delivery'), figure('server_cpu_us_per_frame'),
      figure('server_bytes_per_subscriber', (bytes) => short(bytes / 1024)),
      figure('connects_per_second'), figure('connects_again_per_second'), figure('server_cpu_cores'), figure('generator_cpu_cores'),
      figure('others_cpu_cores'),
    ];
  })));
}

/**
 * Figures of each storm, a path in the report and what it is divided by.
 * @type {Record<string, [string, string, number?][]>}
 */
const stormColumns = {
  resume: [['clients', 'clients'], ['all whole s', 'all_whole_seconds'], ['p50 ms', 'whole.p50_ms'], ['p99 ms', 'whole.p99_ms'],
    ['connections resumed', 'connections_resumed'], ['channels resumed', 'channels_resumed'], ['retries', 'retries']],
  storm: [['clients', 'clients'], ['stayers', 'stayers'], ['within s', 'within_seconds'], ['messages/s', 'rate'],
    ['all served s', 'all_served_seconds'], ['served p50 ms', 'served.p50_ms'], ['served p99 ms', 'served.p99_ms'],
    ['refused for now', 'refusals'], ['interrupted', 'interruptions'], ['stayers\' p99 ms before', 'before.p99_ms'], ['during', 'during.p99_ms'], ['×', 'p99_ratio'],
    ['after', 'after.p99_ms'], ['polls', 'polls']],
};

/**
 * @param {string} scenario
 * @param {Run[]} runs
 * @param {Case} of
 * @param {{ name: string, title: string }[]} contestants
 */
export function stormTable(scenario, runs, of, contestants) {
  const columns = [...stormColumns[scenario], ['server CPU s', 'server_cpu_seconds'], ['server peak MB', 'server_peak_bytes', 1e6],
    ['generator CPU s', 'generator_cpu_seconds']];
  return markdown(['peer', ...columns.map(([head]) => String(head))], contestants.map(({ name, title }) => {
    const measured = new Cell(runs, of, name);
    const figure = (/** @type {any[]} */ [, path, unit = 1]) => cellWithSpread(measured.spread(path), (value) => short(value / unit));
    return [title + failures(measured), ...columns.map(figure)];
  }));
}

/** @param {Cell} measured */
function failures({ failures, runs }) {
  return failures.length > 0 ? ` (${failures.length} of ${runs.length} failed)` : '';
}
