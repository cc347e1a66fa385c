/**
 * Backup and restore. A backup is a directory: each object's file as it was at one instant, also while the server
 * runs, and a manifest, which is written last: without it a backup is not whole. Objects are copied one after the
 * other, so they are of different instants; each knows by itself what it has, and asks the others again.
 */
import fs from 'node:fs';
import path from 'node:path';
import { BadData, objectsIn, openData } from './data.mjs';
import { sqliteCopy } from './sqlite.mjs';

/** @typedef {(part: number, what: () => string) => void} Tell how far it is, of 1 */

/** Of the manifest. */
const VERSION = 1;
const MANIFEST = 'manifest.json';

/**
 * @param {string} data
 * @param {string} destination a directory that is empty, or that is not there yet
 * @param {string} version of Courtside, for the reader of the manifest
 * @param {Tell} tell
 * @returns {Promise<{ objects: number, damaged: string[] }>}
 */
export async function backup(data, destination, version, tell) {
  const objects = objectsIn(path.resolve(data));
  if (!fs.existsSync(objects)) throw new BadData(`${data} holds no data of Courtside`);
  mustBeEmpty(destination);
  const copy = await sqliteCopy();
  const damaged = [];
  let count = 0;
  const all = databases(objects);
  for (const [index, file] of all.entries()) {
    tell(index / all.length, () => `${index} of ${all.length} objects`);
    const to = path.join(destination, 'objects', file);
    try {
      fs.mkdirSync(path.dirname(to), { recursive: true, mode: 0o700 });
      copy(path.join(objects, file), to);
      sync(to);
      count++;
    } catch (error) {
      fs.rmSync(to, { force: true });
      if (isOfDestination(error)) throw notWritten(destination, error);
      // Objects may go meanwhile.
      if (fs.existsSync(path.join(objects, file))) damaged.push(`${file}: ${/** @type {Error} */ (error).message}`);
    }
  }
  const manifest = { version: VERSION, courtside: version, time: new Date().toISOString(), objects: count, damaged };
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  const file = path.join(destination, MANIFEST);
  try {
    fs.writeFileSync(file, text, { mode: 0o600, flush: true });
  } catch (error) {
    fs.rmSync(file, { force: true });
    throw notWritten(destination, error);
  }
  return manifest;
}

/** Of SQLite's errors those of who writes, as a copy does at its destination alone: FULL, and four kinds of IOERR. */
const WRITE_ERRORS = [13, 778, 1034, 1290, 1546];

/** Whether a copy failed by where it goes: what it is of is read by SQLite alone. @param {any} error */
const isOfDestination = ({ syscall, errcode, message }) =>
  syscall !== undefined || WRITE_ERRORS.includes(errcode) || message.includes('disk is full');

/** @param {string} destination @param {any} error */
const notWritten = (destination, { message }) =>
  new BadData(`${destination} cannot be written (${message}); what is there is not a whole backup`);

/**
 * @param {string} data a data directory that is empty, or that is not there yet
 * @param {string} source
 * @param {Tell} tell
 * @returns {Promise<{ objects: number, damaged: string[] }>} `damaged`: what could not be read for the backup
 */
export async function restore(data, source, tell) {
  let manifest;
  try {
    manifest = JSON.parse(fs.readFileSync(path.join(source, MANIFEST), 'utf8'));
  } catch {
    throw new BadData(`${source} is not a whole backup: it has no ${MANIFEST}`);
  }
  if (manifest.version !== VERSION) {
    throw new BadData(`${source} is of another version (${manifest.version}); this build reads ${VERSION}`);
  }
  const resolved = path.resolve(data);
  const lock = await openData(resolved);
  try {
    const objects = objectsIn(resolved);
    if (fs.readdirSync(objects).length > 0) {
      throw new BadData(`${data} holds data already: restore into an empty directory`);
    }
    // Moved into its place when it is whole, so that an interrupted restore leaves none.
    const half = `${objects}.half`;
    fs.rmSync(half, { recursive: true, force: true });
    copyPrivately(path.join(source, 'objects'), half);
    const files = databases(half);
    if (files.length !== manifest.objects) {
      throw new BadData(`${source} should have ${manifest.objects} objects, and has ${files.length}`);
    }
    for (const [index, file] of files.entries()) {
      tell(index / files.length, () => `${index} of ${files.length} objects`);
      sync(path.join(half, file));
    }
    fs.rmdirSync(objects);
    fs.renameSync(half, objects);
    sync(resolved);
    return { objects: files.length, damaged: manifest.damaged };
  } finally {
    fs.closeSync(lock);
  }
}

/**
 * The objects' files first, and then the indexes of alarms: a stored alarm may come too early, but must not lack.
 * @param {string} folder
 */
function databases(folder) {
  const all = fs.readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const files = all.filter((file) => file.endsWith('.sqlite'));
  const isIndex = (/** @type {string} */ file) => Number(path.basename(file) === 'metadata.sqlite');
  return files.sort((one, other) => isIndex(one) - isIndex(other) || (one < other ? -1 : 1));
}

/**
 * Copies a folder so that nobody else on the machine reads the copy, whatever modes a backup got on its way here.
 * @param {string} from @param {string} to
 */
function copyPrivately(from, to) {
  const found = fs.lstatSync(from);
  if (found.isFile()) {
    fs.copyFileSync(from, to);
    fs.chmodSync(to, 0o600);
  } else if (found.isDirectory()) {
    fs.mkdirSync(to, { mode: 0o700 });
    fs.readdirSync(from).forEach((name) => copyPrivately(path.join(from, name), path.join(to, name)));
  } else {
    throw new BadData(`${from} is no file and no directory, and a backup has nothing else`);
  }
}

/** @param {string} folder */
function mustBeEmpty(folder) {
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (fs.readdirSync(folder).length === 0) return;
  throw new BadData(`${folder} is not empty: a backup has a directory of its own`);
}

/** @param {string} file */
function sync(file) {
  const descriptor = fs.openSync(file, 'r');
  fs.fsyncSync(descriptor);
  fs.closeSync(descriptor);
}
