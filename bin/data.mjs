/** The data directory: there is one process that uses it, and nobody else on the machine reads it. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { LOCK_MS, LOCK_RETRY_MS, TEMPORARY_YOUNG_MS } from './limits.mjs';

/** What is wrong with the data directory, for the person who named it. */
export class BadData extends Error {}

/** Where the runtime keeps its objects, below the data directory. @param {string} data */
export const objectsIn = (data) => path.join(data, 'objects');

/**
 * Opens the directory, and makes it when there is none. Fails with {@link BadData} when it cannot be written or another
 * process uses it. Gives the descriptor that holds the lock: who has it open holds it.
 * @param {string} data
 * @returns {Promise<number>}
 */
export async function openData(data) {
  let lock;
  try {
    makeFolder(path.resolve(objectsIn(data)));
    fs.accessSync(objectsIn(data), fs.constants.W_OK);
    lock = fs.openSync(path.join(data, 'lock'), 'a+', 0o600);
  } catch (error) {
    throw new BadData(`${data} cannot be written (${/** @type {NodeJS.ErrnoException} */ (error).code})`);
  }
  const until = Date.now() + LOCK_MS;
  while (!isLocked(lock)) {
    if (Date.now() > until) {
      const owner = fs.readFileSync(lock, 'utf8').trim();
      fs.closeSync(lock);
      throw new BadData(`${data} is in use${owner ? ` by process ${owner}` : ''}: end that, or name another directory`);
    }
    await pause(LOCK_RETRY_MS);
  }
  try {
    fs.ftruncateSync(lock);
    fs.writeSync(lock, `${process.pid}\n`);
  } catch (error) {
    // It is for who reads it: what is on a full disk is served.
    if (!isFull(error)) throw error;
  }
  return lock;
}

/** Whether a write failed since there is no room for it. @param {unknown} error */
export const isFull = (error) => ['ENOSPC', 'EDQUOT'].includes(String(/** @type {NodeJS.ErrnoException} */ (error).code));

/**
 * Writes a file anew in the room that it has: also on a full disk, if it was as large. Fails with {@link BadData}.
 * @param {string} file
 * @param {string} text
 */
export function writeOver(file, text) {
  try {
    const descriptor = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    try {
      fs.writeFileSync(descriptor, text);
      fs.ftruncateSync(descriptor, Buffer.byteLength(text));
    } finally {
      fs.closeSync(descriptor);
    }
  } catch (error) {
    throw new BadData(`${file} cannot be written (${/** @type {NodeJS.ErrnoException} */ (error).code})`);
  }
}

/**
 * Makes it, and those that it is in. Node's own recursion never ends where a folder cannot be made, as in /proc.
 * @param {string} folder its whole path
 */
function makeFolder(folder) {
  if (fs.existsSync(folder)) return;
  makeFolder(path.dirname(folder));
  fs.mkdirSync(folder, { mode: 0o700 });
}

/**
 * Takes the lock if it can be had. The kernel keeps it with the open file, so it outlives this call and ends with the
 * last process that has the file open, however that ends. Node cannot ask the kernel; `flock` is on every Debian.
 * Where it is not, the number in the file has to do.
 * @param {number} lock
 */
function isLocked(lock) {
  const stdio = /** @type {import('node:child_process').StdioOptions} */ (['ignore', 'ignore', 'ignore', lock]);
  const { status, error } = spawnSync('flock', ['--exclusive', '--nonblock', '3'], { stdio });
  if (!error) return status === 0;
  const owner = Number(fs.readFileSync(lock, 'utf8'));
  return !(owner > 0) || owner === process.pid || !isAlive(owner);
}

/**
 * A data directory that goes with this process. Those that were left by processes which were killed go now: nobody
 * holds their lock.
 */
export function temporaryData() {
  const all = os.tmpdir();
  for (const name of fs.readdirSync(all)) if (/^courtside-ephemeral-\w{6}$/.test(name)) removeLeft(path.join(all, name));
  return fs.mkdtempSync(path.join(all, 'courtside-ephemeral-'));
}

/** @param {string} folder */
function removeLeft(folder) {
  try {
    const { uid, mtimeMs } = fs.lstatSync(folder);
    // One that was just made may have no lock yet.
    if (uid !== process.getuid?.() || Date.now() - mtimeMs < TEMPORARY_YOUNG_MS) return;
    const lock = fs.openSync(path.join(folder, 'lock'), 'r+');
    if (isLocked(lock)) fs.rmSync(folder, { recursive: true });
    fs.closeSync(lock);
  } catch {
    // It has no lock, or has gone meanwhile.
  }
}

/** The file of an object, by its id. */
const OBJECT = /^[0-9a-f]{64}\.sqlite$/;
/** How a database begins. */
const DATABASE = 'SQLite format 3';
/** A database from which everything was deleted keeps its first page. */
const EMPTY_BYTES = 4_096;

/**
 * Removes the files of objects that have let go of their storage: the runtime leaves them, empty. To be called by who
 * holds the lock, while no runtime has them open. Gives how many there were.
 * @param {string} data
 */
export function removeEmpty(data) {
  let count = 0;
  for (const entry of fs.readdirSync(objectsIn(data), { recursive: true, encoding: 'utf8' })) {
    const file = path.join(objectsIn(data), entry);
    if (!OBJECT.test(path.basename(file)) || !isEmpty(file)) continue;
    for (const part of [file, `${file}-wal`, `${file}-shm`]) fs.rmSync(part, { force: true });
    count++;
  }
  return count;
}

/**
 * Whether a database has one page, which holds no table, and nothing that is yet to be written to it.
 * @param {string} file
 */
function isEmpty(file) {
  const wal = fs.statSync(`${file}-wal`, { throwIfNoEntry: false });
  if (fs.statSync(file).size !== EMPTY_BYTES || (wal && wal.size > 0)) return false;
  const header = fs.readFileSync(file);
  return header.toString('latin1', 0, DATABASE.length) === DATABASE && header.readUInt32BE(28) === 1;
}

/** The runtime's file beside the objects of a class: it says when each is to be woken. */
const INDEX = 'metadata.sqlite';

/**
 * Puts indexes of alarms aside when they are damaged, so that the runtime makes others: objects set their alarms again
 * when they are next used. Those that are visibly no databases go, or all when none is. Gives their new names.
 * @param {string} data
 */
export function setAside(data) {
  const all = fs.readdirSync(objectsIn(data)).map((name) => path.join(objectsIn(data), name, INDEX)).filter(fs.existsSync);
  const visibly = all.filter((file) => !isDatabase(file));
  return (visibly.length > 0 ? visibly : all).map((file) => {
    for (const part of [file, `${file}-wal`, `${file}-shm`]) if (fs.existsSync(part)) fs.renameSync(part, `${part}.damaged`);
    return `${file}.damaged`;
  });
}

/** Whether a file begins as databases do, or is empty. @param {string} file */
function isDatabase(file) {
  const header = fs.readFileSync(file).toString('latin1', 0, DATABASE.length);
  return header === '' || header === DATABASE;
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}
