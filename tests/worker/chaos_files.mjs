/**
 * Every test file that uses an SDK, first while all objects lose their memory several times a second
 * (evictions.mjs), then while the runtime is killed every other second (kills.mjs): what it asserts has to hold all
 * the same. `npm run chaos` does so before chaos.mjs.
 *
 *     node tests/worker/chaos_files.mjs [seed] [pattern of a file's name] [evictions or kills, not both]
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { SPARED } from './kills.mjs';
import { randomFrom } from './trials.mjs';

/** @typedef {keyof typeof weathers} Weather */
/**
 * `strikes` are evictions or kills; `failures` is what node says of them, and of tests that were under way for long.
 * @typedef {{
 *   files: number, passed: number, failed: number, skipped: string[], strikes: number, seconds: number,
 *   failures: string
 * }} Figures
 */

/** Variables for the seed of a weather, and for the file in which its strikes are noted. */
export const weathers = {
  evictions: { seed: 'EVICT_SEED', notes: 'EVICT_NOTES' },
  kills: { seed: 'KILL_SEED', notes: 'KILL_NOTES' },
};

const folder = import.meta.dirname;
/** Under all names that it is installed by. */
const SDK = /^(?:@ably\/.*|ably(?:[-/].*)?|pusher(?:-js)?|socket\.io-client|mqtt)$/;
/** It brings all that this does, and more. */
const OWN = 'chaos.test.mjs';
const COUNTS = 'what a process has counted and not told yet goes with it';
const BREAKS = 'what was broken on purpose is whole in the next process';
const ACKS = 'clients of Socket.IO give up what they emitted when their connection goes';
const WIRE = 'a connection that is spoken by hand does not come back';
/** Files in which nothing is killed, and why. @type {Record<string, string>} */
const SPARED_FILES = Object.fromEntries(Object.entries({
  analytics: COUNTS, console: COUNTS, console_of_an_operator: COUNTS, cost: COUNTS, doors: COUNTS, hooks: COUNTS,
  metachannels: COUNTS, operator_tokens: COUNTS, stats: COUNTS,
  admin: 'what an operator does to a connection needs it to be there', browser_socketio: ACKS, socketio: ACKS,
  boundary: BREAKS, faults: BREAKS, panic: BREAKS,
  comet: WIRE, flow: WIRE, heartbeats: WIRE, sse: WIRE,
  pusher: 'clients of Pusher are never told what they missed',
  storms: 'it kills by itself', torture: 'it kills by itself',
}).map(([name, reason]) => [`${name}.test.mjs`, reason]));

/** Files that import an SDK, or something that does. @param {Weather} weather */
export function filesWithSdk(weather) {
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
  return fs.readdirSync(folder).filter((file) => file.endsWith('.test.mjs') && file !== OWN && usesSdk(file))
    .filter((file) => weather !== 'kills' || !(file in SPARED_FILES)).sort();
}

/**
 * Runs test files in a weather.
 * @param {Weather} weather
 * @param {string[]} files
 * @param {number} seed
 * @returns {Promise<Figures>}
 */
export async function strike(weather, files, seed) {
  const began = performance.now();
  const kept = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-chaos-'));
  const [tap, notes] = ['report.tap', 'notes'].map((name) => path.join(kept, name));
  fs.writeFileSync(notes, '');
  // A test that runs tests is taken for a part of itself, unless it hides that it is one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, [
    '--test', '--test-timeout=400000', '--import', path.resolve(folder, '../under_way.mjs'), `--test-concurrency=${Math.max(3, os.availableParallelism())}`,
    '--test-reporter=tap', `--test-reporter-destination=${tap}`, '--test-reporter=spec', '--test-reporter-destination=stdout',
    ...files.map((file) => path.join(folder, file)),
  ], { env: { ...env, [weathers[weather].seed]: `${seed}`, [weathers[weather].notes]: notes }, stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => { output += text; });
  const code = await new Promise((resolve) => child.on('close', resolve));
  const report = fs.readFileSync(tap, 'utf8');
  const noted = fs.readFileSync(notes, 'utf8').split('\n');
  const last = (/** @type {string} */ what) => Number(report.match(new RegExp(`.*^# ${what} (\\d+)$`, 'ms'))?.[1] ?? 0);
  const [, failures = ''] = output.split('failing tests:');
  const long = output.match(/^under way for .*$/gm) ?? [];
  const figures = {
    files: files.length,
    passed: last('pass'),
    failed: Math.max(last('fail') + last('cancelled'), Number(code !== 0)),
    skipped: [
      ...[...report.matchAll(/^\s*ok \d+ - (.*) # SKIP (.*)$/gm)].map(([, test, reason]) => `${test}: ${reason}`),
      ...noted.filter((line) => line.startsWith(SPARED)).map((line) => line.slice(SPARED.length)),
    ],
    strikes: noted.reduce((sum, line) => sum + (Number(line) || 0), 0),
    seconds: (performance.now() - began) / 1_000,
    failures: failures && [...long, failures].join('\n'),
  };
  fs.rmSync(kept, { recursive: true });
  return figures;
}

/**
 * One file after another, in an order that the seed decides, until the time is over.
 * @param {Weather} weather
 * @param {{ files?: string[], seconds: number, seed: number, say?: (text: string) => void }} options
 */
export async function strikeFor(weather, { files = filesWithSdk(weather), seconds, seed, say = () => {} }) {
  const [began, random] = [performance.now(), randomFrom(seed)];
  /** @type {Figures} */
  const sum = { files: 0, passed: 0, failed: 0, skipped: [], strikes: 0, seconds: 0, failures: '' };
  do {
    const [file] = files.splice(Math.floor(random() * files.length), 1);
    const figures = await strike(weather, [file], seed);
    for (const key of /** @type {const} */ (['files', 'passed', 'failed', 'strikes', 'seconds'])) sum[key] += figures[key];
    sum.skipped.push(...figures.skipped);
    sum.failures += figures.failures;
    say(`${file}: ${report(weather, figures)}`);
  } while (files.length > 0 && (sum.strikes === 0 || performance.now() - began < seconds * 1_000));
  return sum;
}

/** @param {Weather} weather @param {Figures} figures */
export function report(weather, { files, passed, failed, skipped, strikes, seconds }) {
  return `${strikes} ${weather} in ${seconds.toFixed(0)} s, under ${passed + failed} tests of ${files} files: ${passed} passed,`
    + ` ${failed} failed, ${skipped.length} were skipped or spared`;
}

if (process.argv[1] === import.meta.filename) {
  const [seed = Math.floor(Math.random() * 2 ** 32), pattern = '', only] = process.argv.slice(2);
  console.log(`files in chaos: seed ${seed}`);
  let failed = 0;
  for (const weather of /** @type {Weather[]} */ (Object.keys(weathers))) {
    if (only && weather !== only) continue;
    const figures = await strike(weather, filesWithSdk(weather).filter((file) => file.match(pattern)), Number(seed));
    if (weather === 'kills') for (const [file, reason] of Object.entries(SPARED_FILES)) console.log(`spared: ${file}: ${reason}`);
    for (const skipped of figures.skipped) console.log(`skipped: ${skipped}`);
    console.log(figures.failures);
    console.log(report(weather, figures));
    failed += figures.failed;
  }
  process.exit(failed > 0 ? 1 : 0);
}
