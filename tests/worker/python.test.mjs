/** The published SDK for Python in both formats: realtime and REST, changed messages, annotations, presence. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import path from 'node:path';
import test, { after } from 'node:test';
import { promisify } from 'node:util';
import { rest } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

const folder = path.resolve(import.meta.dirname, '../../target/venv-ably');

/** A Python that has `ably`, made when there is none; else why there is none. */
function findPython() {
  const python = path.join(folder, 'bin/python');
  const done = (/** @type {string} */ file, /** @type {string[]} */ ...args) => spawnSync(file, args, { timeout: 120_000 }).status === 0;
  if (done(python, '-c', 'import ably')) return { python };
  const made = done('python3', '-m', 'venv', folder) && done(python, '-m', 'pip', 'install', '--quiet', 'ably==3.1.2');
  return made ? { python } : { missing: 'no Python, or the package ably cannot be installed here' };
}

test('a program that uses the package for Python', { timeout: 400_000 }, async (t) => {
  const { python, missing } = findPython();
  if (!python) return t.skip(missing);
  const runtime = await startRuntime();
  after(() => runtime.stop());
  const { token } = await rest(runtime).auth.requestToken({ clientId: 'ann' });
  const args = [path.join(import.meta.dirname, 'python_sdk.py'), String(runtime.port), 'mutable:python', token];
  const { stdout } = await promisify(execFile)(python, args);
  const [create, update, deletion, summary, append] = [0, 1, 2, 4, 5];
  const told = {
    heard: [[create, { set: 1 }], [update, '30'], [append, '-0'], [summary, null], [deletion, '']],
    annotations: [['reaction:distinct.v1', 'clap', 'ann']],
    members: [['ann', 'here']],
    now: [deletion, ''],
    versions: [create, update, update, deletion],
  };
  const read = { history: [['score', '15'], ['a', 'one']], active: true };
  assert.deepEqual(JSON.parse(stdout), { realtime: [told, told], rest: [read, read] });
});
