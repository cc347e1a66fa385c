/** The processes of this machine, as Linux's `/proc` shows them; none where there is no `/proc`. */
import fs from 'node:fs';

/** @param {number} pid */
export function children(pid) {
  return read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number);
}

/** @param {number} pid */
export function command(pid) {
  return read(`/proc/${pid}/comm`).trim();
}

/** @param {string} file */
function read(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
