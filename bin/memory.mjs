/**
 * How much memory the runtime takes. It queues what sockets leave unread and keeps objects that are awake, says
 * nothing of either, and frees what is queued only when the client's end of the connection is gone. So the process as a
 * whole is bounded: beyond, it starts anew, and clients resume.
 */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { promisify } from 'node:util';
import { MEMORY_SHARE } from './limits.mjs';

const MEBIBYTE = 1024 * 1024;

/** What a server may take of this machine, or of the container that it runs in, unless it is told. */
export function usualMemoryMax() {
  const bound = process.constrainedMemory?.() ?? 0;
  const total = os.totalmem();
  return Math.floor((bound > 0 && bound < total ? bound : total) * MEMORY_SHARE / MEBIBYTE);
}

/** Megabytes that a process has in memory; `undefined` when it has ended. @param {number} pid */
export async function memoryOf(pid) {
  if (process.platform === 'linux') return inStatus(pid);
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return inKilobytes(stdout);
}

/** @param {number} pid */
async function inStatus(pid) {
  const status = await fs.promises.readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return inKilobytes(status.match(/^VmRSS:\s+(\d+)/m)?.[1] ?? '');
}

/** @param {string} text */
const inKilobytes = (text) => (text.trim() === '' ? undefined : Number(text) / 1024);
