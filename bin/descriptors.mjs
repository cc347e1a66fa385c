/**
 * How many descriptors the runtime has open, and may. Each connection takes two. The runtime ends when it cannot take a
 * connection for want of one, so before that no more are let in.
 */
import fs from 'node:fs';
import { ROOM_TOLD, spareDescriptors } from './limits.mjs';

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

/**
 * For how many connections there is room beyond those that were there at the look, and for how many more of clients
 * that resume, who may have a place here. The worker counts from the look on (bin/worker/front.mjs): it lets in
 * everyone below `room`, those that resume below `room + spare`, and nobody beyond. It is told where the room is tight,
 * and otherwise lets in all.
 *
 * With 1,024 allowed and 900 open, 102 are kept for objects: of the 22 that are left each connection takes two, so
 * there is room for 10, and for 25 more that resume.
 * @param {Descriptors} descriptors
 */
export function roomIn({ open, allowed }) {
  const kept = spareDescriptors(allowed);
  const room = Math.floor((allowed - kept - open) / 2);
  return { room, spare: Math.floor(kept / 4), isTight: room < ROOM_TOLD, isFull: room <= 0 };
}
