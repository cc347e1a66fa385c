/**
 * Every test file that uses an SDK, while all objects lose their memory several times a second (evictions.mjs): what it
 * asserts has to hold all the same. `npm run chaos` does so before chaos.mjs.
 *
 *     node tests/worker/chaos_files.mjs [seed] [pattern of a file's name]
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { randomFrom } from './trials.mjs';

/**
 * `failures` is what node says of them.
 * @typedef {{
 *   files: number, passed: number, failed: number, skipped: string[], evictions: number, seconds: number,
 *   failures: string
 * }} Figures
 */

const folder = import.meta.dirname;
/** Under all names that it is installed by. */
const SDK = /^(?:@ably\/.*|ably(?:[-/].*)?|pusher(?:-js)?|socket\.io-client|mqtt)$/;
/** It brings all that this does, and more. */
const OWN = 'chaos.test.mjs';

/** By what they import, and what that imports. */
export function filesWithSdk() {
  /** @type {Map<string, boolean>} */
  const known = new Map();
  const usesSdk = (/** @type {string} */ file) => {
    if (!known.has(file)) {
      known.set(file, false);
      const text = fs.readFileSync(path.join(folder, file), 'utf8');
      const imported = [...text.matchAll(/^(?:import|\}) (?:.* from )?'([^']+)';/gm)].map(([, from]) => from);
      known.set(file, imported.some((from) => SDK.test(from) || from.startsWith('./') && usesSdk(from)));
    }
    return known.get(file);
  };
  return fs.readdirSync(folder).filter((file) => file.endsWith('.test.mjs') && file !== OWN && usesSdk(file)).sort();
}

/**
 * Runs test files while objects lose their memory.
 * @param {string[]} files
 * @param {number} seed
 * @returns {Promise<Figures>}
 */
export async function evictUnder(files, seed) {
  const began = performance.now();
  const kept = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-chaos-'));
  const [tap, notes] = ['report.tap', 'evictions'].map((name) => path.join(kept, name));
  fs.writeFileSync(notes, '');
  // A test that runs tests is taken for a part of itself, unless it hides that it is one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, [
    '--test', '--test-timeout=400000', `--test-concurrency=${Math.max(3, os.availableParallelism())}`,
    '--test-reporter=tap', `--test-reporter-destination=${tap}`, '--test-reporter=spec', '--test-reporter-destination=stdout',
    ...files.map((file) => path.join(folder, file)),
  ], { env: { ...env, EVICT_SEED: `${seed}`, EVICT_NOTES: notes }, stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => { output += text; });
  const code = await new Promise((resolve) => child.on('close', resolve));
  const report = fs.readFileSync(tap, 'utf8');
  const last = (/** @type {string} */ what) => Number(report.match(new RegExp(`.*^# ${what} (\\d+)$`, 'ms'))?.[1] ?? 0);
  const [, failures = ''] = output.split('failing tests:');
  const figures = {
    files: files.length,
    passed: last('pass'),
    failed: Math.max(last('fail') + last('cancelled'), Number(code !== 0)),
    skipped: [...report.matchAll(/^\s*ok \d+ - (.*) # SKIP (.*)$/gm)].map(([, test, reason]) => `${test}: ${reason}`),
    evictions: fs.readFileSync(notes, 'utf8').split('\n').reduce((sum, line) => sum + Number(line), 0),
    seconds: (performance.now() - began) / 1_000,
    failures,
  };
  fs.rmSync(kept, { recursive: true });
  return figures;
}

/**
 * One file after another, in an order that the seed decides, until the time is over.
 * @param {{ seconds: number, seed: number, say?: (text: string) => void }} options
 */
export async function evictFor({ seconds, seed, say = () => {} }) {
  const [began, random] = [performance.now(), randomFrom(seed)];
  const files = filesWithSdk();
  /** @type {Figures} */
  const sum = { files: 0, passed: 0, failed: 0, skipped: [], evictions: 0, seconds: 0, failures: '' };
  do {
    const [file] = files.splice(Math.floor(random() * files.length), 1);
    const figures = await evictUnder([file], seed);
    for (const key of /** @type {const} */ (['files', 'passed', 'failed', 'evictions', 'seconds'])) sum[key] += figures[key];
    sum.skipped.push(...figures.skipped);
    sum.failures += figures.failures;
    say(`${file}: ${report(figures)}`);
  } while (files.length > 0 && performance.now() - began < seconds * 1_000);
  return sum;
}

/** @param {Figures} figures */
export function report({ files, passed, failed, skipped, evictions, seconds }) {
  return `${evictions} evictions in ${seconds.toFixed(0)} s, under ${passed + failed} tests of ${files} files: ${passed} passed,`
    + ` ${failed} failed, ${skipped.length} were skipped`;
}

if (process.argv[1] === import.meta.filename) {
  const [seed = Math.floor(Math.random() * 2 ** 32), pattern = ''] = process.argv.slice(2);
  console.log(`files under evictions: seed ${seed}`);
  const figures = await evictUnder(filesWithSdk().filter((file) => file.match(pattern)), Number(seed));
  for (const skipped of figures.skipped) console.log(`skipped: ${skipped}`);
  console.log(figures.failures);
  console.log(report(figures));
  process.exit(figures.failed > 0 ? 1 : 0);
}
