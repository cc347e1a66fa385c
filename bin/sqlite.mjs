/** Copies of SQLite files that may be in use: by Node's own SQLite (from 22.5 on), else by the command `sqlite3`. */
import { spawnSync } from 'node:child_process';

/**
 * @typedef {(from: string, to: string) => void} Copy one file as it was at one instant; fails when it cannot be read
 */

/** How long a copy waits for a writer, who never takes this long. */
const BUSY_MS = 10_000;

/** Fails when there is neither. @returns {Promise<Copy>} */
export async function sqliteCopy() {
  const quoted = (/** @type {string} */ path) => `'${path.replaceAll("'", "''")}'`;
  const sqlite = await nodeSqlite();
  if (sqlite) {
    return (from, to) => {
      const database = new sqlite.DatabaseSync(from, { readOnly: true });
      try {
        database.exec(`PRAGMA busy_timeout = ${BUSY_MS}; VACUUM INTO ${quoted(to)}`);
      } finally {
        database.close();
      }
    };
  }
  if (spawnSync('sqlite3', ['--version']).error) {
    throw new Error('a backup needs Node 22.5 or later, or the command sqlite3 (Debian: apt-get install sqlite3)');
  }
  return (from, to) => {
    const args = ['-readonly', '-bail', '-cmd', `.timeout ${BUSY_MS}`, from, `VACUUM INTO ${quoted(to)}`];
    const { status, stderr } = spawnSync('sqlite3', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr.trim());
  };
}

/** Node says that it is experimental, once, on standard error; what is used of it is a query of SQLite's own. */
async function nodeSqlite() {
  const warn = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return await import('node:sqlite');
  } catch {
    return undefined;
  } finally {
    process.emitWarning = warn;
  }
}
