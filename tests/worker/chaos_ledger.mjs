/** What the writers of a round of chaos.mjs did: what was acknowledged, and what perhaps happened all the same. */
import { Counts } from './trials.mjs';

/**
 * What somebody did with a message; `version` is that of its acknowledgement.
 * @typedef {{ kind: 'update' | 'append' | 'delete', data: string, version?: string }} Operation
 */
/**
 * @typedef {{
 *   serial: string, name: string, data: string, operations: Operation[], mayBeDeleted: boolean, counts: Counts
 * }} Written
 */

/** Every text of a round has a mark of its own, so that it is known wherever it turns up. */
const MARK = /<\d+>/g;

/** @param {unknown} text @returns {string[]} */
export const marksIn = (text) => typeof text === 'string' ? text.match(MARK) ?? [] : [];

export class Ledger {
  /** The acknowledged messages, in the order of their acknowledgements. @type {Written[]} */
  written = [];
  /** What was published and not acknowledged. @type {Set<string>} */
  unsure = new Set();
  /** By name: what the member last said, or null when it left. @type {Map<string, string | null>} */
  members = new Map();
  /** Members of which nobody knows whether their last word was heard. @type {Set<string>} */
  unsureMembers = new Set();
  /** What was added to the counter, and what was perhaps. */
  hits = { sure: 0, perhaps: 0 };
  done = 0;
  again = 0;
  #marks = 0;

  /** A text that was never said before. @param {string} [text] */
  say(text = '') {
    return `<${this.#marks++}>${text}`;
  }

  /** @param {string} serial @param {string} name @param {string} data */
  wrote(serial, name, data) {
    this.written.push({ serial, name, data, operations: [], mayBeDeleted: this.written.length % 4 === 0, counts: new Counts() });
  }

  /**
   * One of the last messages, if there is any of that kind.
   * @param {() => number} random
   * @param {boolean} [mayBeDeleted]
   */
  recent(random, mayBeDeleted) {
    const fit = this.written.slice(-60).filter((written) => mayBeDeleted === undefined || written.mayBeDeleted === mayBeDeleted);
    return fit.at(Math.floor(random() * fit.length));
  }
}

/** Whether all that was done to a message is known. @param {Written} written */
export const isSure = ({ operations }) => operations.every(({ version }) => version);

/** What a message comes to, if all that was done to it is known. @param {Written} written */
export function latest({ serial, data, operations }) {
  const known = { data, version: serial, action: 'message.create' };
  for (const operation of inOrder(operations)) {
    known.action = operation.kind === 'delete' ? 'message.delete' : 'message.update';
    known.data = operation.kind === 'append' ? known.data + operation.data : operation.data;
    known.version = /** @type {string} */ (operation.version);
  }
  return known;
}

/** What was done to a message, by the acknowledgements. @param {Operation[]} operations */
function inOrder(operations) {
  return operations.filter(({ version }) => version).sort((one, other) => String(one.version) < String(other.version) ? -1 : 1);
}

/** The marks of what a message was before it was last deleted, if it was. @param {Written} written */
export function marksOfTheDeleted({ data, operations }) {
  const done = inOrder(operations);
  const last = done.findLastIndex(({ kind }) => kind === 'delete');
  return last < 0 ? [] : [data, ...done.slice(0, last).map((operation) => operation.data)].flatMap(marksIn);
}
