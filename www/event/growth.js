/** The line of how an audience grew, and what can be said of it in figures. Pure. */

/** @typedef {{ at: number, people: number }} Sample how many were here at a time in ms */

/** A count holds until the next one, yet no longer than this: nobody was there to count after it. */
export const HOLDS_MS = 150_000;
/** What *lately* means. */
const LATELY_MS = 300_000;

/**
 * Steps, since a count holds until it changes, with a gap where nobody counted.
 * @param {Sample[]} samples in order @param {number} now
 * @param {{ width: number, height: number, most: number }} box `most` is at its top
 * @returns {{ line: string, area: string }} paths
 */
export function growth(samples, now, { width, height, most }) {
  const from = samples[0]?.at ?? now;
  const span = Math.max(1, now - from);
  const x = (/** @type {number} */ at) => ((at - from) / span * width).toFixed(1);
  const y = (/** @type {number} */ people) => (height - 4 - people / most * (height - 12)).toFixed(1);
  const runs = counted(samples, now).map(({ steps, until }) => {
    const [first = { at: from, people: 0 }, ...others] = steps;
    const line = [`M${x(first.at)} ${y(first.people)}`, ...others.map(({ at, people }) => `H${x(at)} V${y(people)}`),
      `H${x(until)}`].join(' ');
    return { line, area: `${line} V${height} H${x(first.at)} Z` };
  });
  return { line: runs.map(({ line }) => line).join(' '), area: runs.map(({ area }) => area).join(' ') };
}

/**
 * How many more there are than five minutes ago, or than at the first count since.
 * @param {Sample[]} samples @param {number} now
 */
export function lately(samples, now) {
  const then = samples.findLast(({ at }) => at <= now - LATELY_MS) ?? samples[0];
  return (samples.at(-1)?.people ?? 0) - (then?.people ?? 0);
}

/**
 * Samples without a gap between them, and until when the last of them holds.
 * @param {Sample[]} samples @param {number} now
 */
function counted(samples, now) {
  /** @type {{ steps: Sample[], until: number }[]} */
  const runs = [];
  for (const [index, sample] of samples.entries()) {
    const next = samples[index + 1]?.at ?? now;
    const until = Math.min(next, sample.at + HOLDS_MS);
    const last = runs.at(-1);
    if (last?.until === sample.at) Object.assign(last, { steps: [...last.steps, sample], until });
    else runs.push({ steps: [sample], until });
  }
  return runs;
}
