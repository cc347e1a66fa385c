/**
 * How many descriptors the runtime has open, and may. Each connection takes two. The runtime ends when it cannot take a
 * connection for want of one, so before that no more are let in.
 */
import fs from 'node:fs';

/** @typedef {{ open: number, allowed: number }} Descriptors */

/**
 * Of a process; `undefined` where the system does not say.
 * @param {number} pid
 * @returns {Promise<Descriptors | undefined>}
 */
export async function descriptorsOf(pid) {
  // Since Linux 6.2 the directory's size is how many there are. Before, they must be listed, which takes longer.
  const folder = `/proc/${pid}/fd`;
  const size = await fs.promises.stat(folder).then((found) => found.size, () => 0);
  const open = size || await fs.promises.readdir(folder).then((names) => names.length, () => 0);
  const limits = await fs.promises.readFile(`/proc/${pid}/limits`, 'utf8').catch(() => '');
  const allowed = Number(limits.match(/^Max open files +(\d+)/m)?.[1]);
  return allowed > 0 ? { open, allowed } : undefined;
}
