/**
 * From runs to figures. A figure is the median of its repeats; a ratio is taken within each repeat, where both sides
 * ran minutes apart at most, and then its median and spread are told.
 *
 * @typedef {{ subscribers: number, bytes: number, inFlight: number, rate: number }} Case
 *   `rate` in messages/s, 0 for no limit
 * @typedef {{ repeat: number, case: Case, contestant: string, report?: any, failure?: string }} Run
 * @typedef {{ middle: number, low: number, high: number }} Spread
 */

/**
 * @param {number[]} values
 * @returns {Spread | undefined} undefined when there are none
 */
export function spread(values) {
  const sorted = values.filter(Number.isFinite).sort((one, other) => one - other);
  if (sorted.length === 0) return undefined;
  const middle = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
  return { middle, low: sorted[0], high: sorted[sorted.length - 1] };
}

/** One contestant in one case, over all repeats. */
export class Cell {
  /**
   * @param {Run[]} runs of all contestants
   * @param {Case} of
   * @param {string} contestant
   */
  constructor(runs, of, contestant) {
    this.runs = runs.filter((run) => run.contestant === contestant && sameCase(run.case, of));
    this.failures = this.runs.flatMap(({ failure }) => failure ?? []);
  }

  /** @param {string} figure a path in the report, such as `latency.p50_ms` */
  spread(figure) {
    return spread(this.runs.map((run) => valueOf(run, figure)));
  }

  /**
   * @param {string} figure
   * @param {Cell} other the cell to compare with
   */
  ratio(figure, other) {
    return spread(this.runs.map((run) => {
      const opposite = other.runs.find(({ repeat }) => repeat === run.repeat);
      return opposite ? valueOf(run, figure) / valueOf(opposite, figure) : NaN;
    }));
  }
}

/** @param {Run} run @param {string} figure */
function valueOf(run, figure) {
  const value = figure.split('.').reduce((part, key) => part?.[key], run.report);
  return value ?? NaN;
}

/** @param {Case} one @param {Case} other */
function sameCase(one, other) {
  return one.subscribers === other.subscribers && one.bytes === other.bytes && one.inFlight === other.inFlight && one.rate === other.rate;
}
