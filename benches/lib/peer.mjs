/**
 * What a peer is. Each file of `peers/` exports one as `peer`; that is all it takes to be measured.
 *
 * @typedef {object} Peer
 * @property {string} name as in `--peers`, and on files
 * @property {string} title as in the table
 * @property {number} place in the order of the table
 * @property {boolean} durable whether a message is on disk before a subscriber has it
 * @property {boolean} ordered whether all subscribers see one order whoever publishes
 * @property {{ [format: string]: string }} dialects the generator's dialect for each format that the peer knows; a
 *   peer that knows no formats has the one key `any`
 * @property {string[]} [loadArguments] further arguments for the generator
 * @property {boolean} [installed] whether `setup.mjs` must have installed it; one that needs no more than what the
 *   project itself needs leaves this out, and runs unasked
 * @property {boolean} [resumes] whether it takes part in the resume storm
 * @property {(directory: string) => Promise<Server>} [startBounded] starts it with the bounds that deployments have;
 *   what can takes part in the fallback storm
 * @property {(directory: string) => Promise<Server>} start starts it on a free port of 127.0.0.1; `directory` is empty
 *   and removed afterwards
 *
 * @typedef {object} Server
 * @property {string} url where its WebSockets open, such as `ws://127.0.0.1:40123/`
 * @property {number[]} pids its processes, for CPU and memory; empty where that can't be told
 * @property {() => Promise<void>} stop ends it, and only it
 */

import fs from 'node:fs';
import path from 'node:path';

const directory = path.resolve(import.meta.dirname, '../peers');

/**
 * Every peer that has a file, in the order of the table.
 * @returns {Promise<Peer[]>}
 */
export async function allPeers() {
  const files = fs.readdirSync(directory).filter((file) => file.endsWith('.mjs'));
  const modules = await Promise.all(files.map((file) => import(path.join(directory, file))));
  return modules.map(({ peer }) => peer).sort((one, other) => one.place - other.place);
}
