/** Peers that are small JavaScript Durable Objects. */
import path from 'node:path';
import { startWorkerd } from './workerd.mjs';

const objects = path.resolve(import.meta.dirname, '../peers/objects');

/**
 * @param {string} file in `peers/objects`
 * @param {Record<string, string>} [others] classes beside the room's, by their bindings
 * @returns {(directory: string) => Promise<import('./peer.mjs').Server>}
 */
export function objectIn(file, others = {}) {
  return (directory) => startWorkerd(directory, {
    modulesRoot: objects,
    modules: [{ type: 'ESModule', path: path.join(objects, file) }],
    durableObjects: Object.fromEntries(Object.entries({ ROOM: 'Room', ...others })
      .map(([binding, className]) => [binding, { className, useSQLite: true }])),
  });
}
