/** What the messages of a run hold: whose they are, which of these, and when they were sent. */

/** @typedef {{ publisher: number, number: number, sentAt: number }} Item `sentAt` by this process's clock */

export const NAME = 'load';

/** @param {string} run @param {Item} item @param {number} bytes at least */
export function written(run, { publisher, number, sentAt }, bytes) {
  return `${run} ${publisher} ${number} ${sentAt.toFixed(2)} `.padEnd(bytes, '.');
}

/**
 * Reads frames. Viewers get the same bytes one after the other, so that the last frame is often the next one, too.
 * @param {string} run others' messages are left out
 */
export function reader(run) {
  let last = Buffer.alloc(0);
  /** @type {import('./line.mjs').Frame & { items: Item[] }} */
  let frame = { action: -1, items: [] };
  return (/** @type {Buffer} */ bytes) => {
    if (bytes.equals(last)) return frame;
    const read = JSON.parse(bytes.toString());
    frame = { ...read, items: (read.messages ?? []).flatMap((/** @type {any} */ message) => itemOf(run, message)) };
    last = Buffer.from(bytes);
    return frame;
  };
}

/** @param {string} run @param {{ name?: string, data?: unknown }} message @returns {Item[]} */
function itemOf(run, { name, data }) {
  if (name !== NAME || typeof data !== 'string') return [];
  const [of, publisher, number, sentAt] = data.split(' ', 4);
  return of === run ? [{ publisher: Number(publisher), number: Number(number), sentAt: Number(sentAt) }] : [];
}
