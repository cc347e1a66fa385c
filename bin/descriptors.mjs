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
  // Since Linux 6.2 the directory's size is how many there are: to list them would take long when it matters.
  const open = await fs.promises.stat(`/proc/${pid}/fd`).then(({ size }) => size, () => 0);
  const limits = await fs.promises.readFile(`/proc/${pid}/limits`, 'utf8').catch(() => '');
  const allowed = Number(limits.match(/^Max open files +(\d+)/m)?.[1]);
  return allowed > 0 ? { open, allowed } : undefined;
}
