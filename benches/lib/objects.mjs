/** Peers that are one small JavaScript Durable Object each. */
import path from 'node:path';
import { startWorkerd } from './workerd.mjs';

const objects = path.resolve(import.meta.dirname, '../peers/objects');

/**
 * @param {string} file in `peers/objects`
 * @returns {(directory: string) => Promise<import('./peer.mjs').Server>}
 */
export function objectIn(file) {
  return (directory) => startWorkerd(directory, {
    modulesRoot: objects,
    modules: [{ type: 'ESModule', path: path.join(objects, file) }],
    durableObjects: { ROOM: { className: 'Room', useSQLite: true } },
  });
}
