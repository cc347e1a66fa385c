/** What commands print: for people in a terminal, and in columns with tabs between for programs. */

export const isTerminal = () => process.stdout.isTTY === true;

/** What others wrote, without the power to move a cursor. @param {string} text */
export const printable = (text) =>
  text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);

/**
 * Rows under their heads; numbers stand on the right. Without a terminal, tabs stand between them.
 * @param {string[]} heads
 * @param {(string | number)[][]} rows
 */
export function table(heads, rows) {
  const written = (/** @type {string | number} */ cell) => typeof cell === 'number' ? shown(cell) : printable(cell);
  const texts = [heads, ...rows.map((row) => row.map(written))];
  if (!isTerminal()) return texts.map((row) => `${row.join('\t')}\n`).join('');
  const widths = heads.map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)));
  const isNumber = heads.map((_, column) => rows.some((row) => typeof row[column] === 'number'));
  return texts.map((row) => `${row.map((cell, column) =>
    isNumber[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()}\n`)
    .join('');
}

/** Whole where it is large. @param {number} value */
export function shown(value) {
  if (Number.isInteger(value)) return isTerminal() ? value.toLocaleString('en') : String(value);
  return value.toFixed(value >= 100 ? 0 : value >= 1 ? 1 : 3);
}

const blocks = ' ▁▂▃▄▅▆▇█';

/** A line of bars, the highest of them full. @param {number[]} values */
export function bars(values) {
  const most = Math.max(...values, 0);
  return values.map((value) => blocks[most > 0 ? Math.ceil(value / most * 8) : 0]).join('');
}

/** Of the bar that shows how far something is. */
const BAR_COLUMNS = 20;

/** A bar that is full at 1. @param {number} part */
export function bar(part) {
  const whole = Math.floor(Math.min(1, Math.max(0, part || 0)) * BAR_COLUMNS);
  return '█'.repeat(whole) + '░'.repeat(BAR_COLUMNS - whole);
}

/**
 * Tells how far something is: by a bar in one line of a terminal, which it writes again and again, or now and then in a
 * line.
 */
export class Progress {
  #toldAt = -Infinity;
  #everyMs;

  constructor() {
    this.#everyMs = process.stderr.isTTY ? 200 : 5_000;
    // A log needs no news of short work.
    if (!process.stderr.isTTY) this.#toldAt = performance.now();
  }

  /** @param {number} part what is done, of 1 @param {() => string} what */
  tell(part, what) {
    const now = performance.now();
    if (now - this.#toldAt < this.#everyMs) return;
    this.#toldAt = now;
    process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${bar(part)} ${what()}` : `${what()}\n`);
  }

  end() {
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  }
}
