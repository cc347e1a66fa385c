/**
 * How long starts take: `npx node benches/starts.mjs [clone]`. `courtside serve` starts on an empty directory, and
 * again on what is then there; `npm start` starts when everything is built. With `clone`, it also starts in a fresh
 * clone of what is committed, with what this machine has cached. A start is over when a request is answered.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { build, setUp } from '../scripts/setup.mjs';
import { freePort } from '../tests/worker/nginx.mjs';

const root = path.resolve(import.meta.dirname, '..');
const CHANNELS = Number(process.env.CHANNELS ?? 1_000);
/** Channels of one batch request, which takes no more. */
const AT_ONCE = 100;
const key = 'demo.key1:local-only';
/** Between two looks whether it answers. */
const LOOK_MS = 5;

await setUp();
await build();
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-starts-'));
try {
  const serve = ['node', path.join(root, 'bin/courtside.mjs'), 'serve', '--drain', '0', '--data', path.join(temporary, 'data')];
  await timed('courtside serve, on an empty directory', serve, root, fill);
  await timed(`courtside serve, with ${CHANNELS} channels`, serve, root);
  await timed('npm start, when everything is built', ['npm', 'start'], root);
  if (process.argv[2] === 'clone') {
    const clone = path.join(temporary, 'clone');
    execFileSync('git', ['clone', '--quiet', root, clone]);
    await timed('npm start, in a fresh clone', ['npm', 'start'], clone);
  }
} finally {
  fs.rmSync(temporary, { recursive: true });
}

/**
 * @param {string} what
 * @param {string[]} command
 * @param {string} cwd
 * @param {(url: string) => Promise<void>} [act] what is then done with it
 */
async function timed(what, [file, ...args], cwd, act = async () => {}) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const began = performance.now();
  const env = { ...process.env, PORT: String(port), COURTSIDE_PORT: String(port) };
  const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  try {
    while (!await fetch(`${url}/health`).then((answer) => answer.ok, () => false)) {
      if (child.exitCode !== null) throw new Error(`${what}: it ended`);
      await pause(LOOK_MS);
    }
    console.log(`${what}: ${((performance.now() - began) / 1_000).toFixed(2)} s`);
    await act(url);
  } finally {
    // Its group: npm stands between.
    process.kill(-Number(child.pid), 'SIGTERM');
    await ended;
  }
}

/** @param {string} url */
async function fill(url) {
  const headers = { 'content-type': 'application/json', authorization: `Basic ${btoa(key)}` };
  for (let from = 0; from < CHANNELS; from += AT_ONCE) {
    const channels = Array.from({ length: Math.min(AT_ONCE, CHANNELS - from) }, (_, index) => `persisted:${from + index}`);
    const body = JSON.stringify({ channels, messages: { data: 'kept' } });
    const answer = await fetch(`${url}/messages`, { method: 'POST', headers, body });
    if (!answer.ok) throw new Error(await answer.text());
  }
}
