/** How long things took, in classes that are four percent wide. */

const LEAST_MS = 0.1;
const STEP = Math.log(1.04);
/** From a tenth of a millisecond to an hour. */
const CLASSES = Math.ceil(Math.log(3_600_000 / LEAST_MS) / STEP) + 1;

export class Histogram {
  #counts = new Uint32Array(CLASSES);
  count = 0;
  most = 0;

  /** @param {number} ms */
  add(ms) {
    const at = ms <= LEAST_MS ? 0 : Math.min(CLASSES - 1, Math.ceil(Math.log(ms / LEAST_MS) / STEP));
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.count += 1;
    if (ms > this.most) this.most = ms;
  }

  /** The time that this part of all took at most; 0 of nothing. @param {number} part */
  quantile(part) {
    let left = Math.ceil(this.count * part);
    if (left === 0) return 0;
    const at = this.#counts.findIndex((count) => (left -= count) <= 0);
    return Math.min(this.most, LEAST_MS * Math.exp(at * STEP));
  }
}
