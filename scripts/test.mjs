/**
 * `npm test`: set up, build, and check everything. Its last line is `N passed, N failed`.
 *
 * Each suite prints as it likes and is counted from its own summary, or is one test when it has none. One that fails
 * without naming a failed test (it did not compile, or crashed) counts as a failure, so that the last line never calls
 * a red run green.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { build, env, lintTools, root, say, setUp, wasm } from './setup.mjs';

/** @typedef {{ passed: number, failed: number }} Counts */

await setUp();
await build();
lintTools();

const tap = path.join(root, 'target/worker-tests.tap');
fs.rmSync(tap, { force: true });

const strict = ['-D', 'warnings'];
const suites = [
  await suite('JavaScript: types', 'tsc', ['-p', 'tests']),
  await suite('Rust: formatting', 'cargo', ['fmt', '--check']),
  await suite('Rust: lints', 'cargo', ['clippy', '--quiet', '--all-targets', '--', ...strict]),
  await suite('Rust: lints of the worker', 'cargo', ['clippy', '--quiet', '--lib', '--target', wasm, '--', ...strict]),
  await suite('Rust: lints of the worker without doors', 'cargo',
    ['clippy', '--quiet', '--lib', '--no-default-features', '--target', wasm, '--', ...strict]),
  await suite('Rust: links in comments', 'cargo',
    ['doc', '--quiet', '--lib', '--no-deps', '--document-private-items', '--target', wasm]),
  await native(),
  // Its files wait more than they work, and take a quarter of a core each: four at once, at least.
  await suite('The worker in its runtime', 'node', ['--test', '--test-timeout=600000', '--import', './tests/under_way.mjs',
    `--test-concurrency=${Math.max(4, os.availableParallelism())}`,
    '--test-reporter=spec', '--test-reporter-destination=stdout',
    '--test-reporter=tap', `--test-reporter-destination=${tap}`,
    'tests/worker/*.test.mjs', 'tests/serve/*.test.mjs'], nodeCounts),
  await suite('Deployment: a dry run', 'wrangler', ['deploy', '--dry-run', '--outdir', 'target/deploy']),
];
const sum = (/** @type {keyof Counts} */ key) => suites.reduce((total, counts) => total + counts[key], 0);
console.log(`\n${sum('passed')} passed, ${sum('failed')} failed`);
process.exit(sum('failed') === 0 ? 0 : 1);

/**
 * Runs one suite; without a count of its own it is one test.
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {(output: string) => Counts} [count]
 * @returns {Promise<Counts>}
 */
async function suite(title, command, args, count) {
  say(title);
  const { ok, output } = await run(command, args);
  if (!count) return { passed: Number(ok), failed: Number(!ok) };
  const { passed, failed } = count(output);
  return { passed, failed: ok ? failed : Math.max(failed, 1) };
}

/**
 * All of Rust's tests, as `cargo test` would run them but two files at a time: many are one long test on one thread.
 * @returns {Promise<Counts>}
 */
async function native() {
  say('Rust: the core');
  const built = await run('cargo', ['test', '--quiet', '--no-run', '--message-format=json-render-diagnostics'], false);
  const messages = built.output.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  const files = messages.flatMap(({ executable, profile }) => (executable && profile.test ? [executable] : []));
  const counts = { passed: 0, failed: Number(!built.ok) };
  const waiting = files.values();
  const worker = async () => {
    for (const file of waiting) {
      const { ok, output } = await run(file, ['--quiet'], false);
      const { passed, failed } = cargoCounts(output);
      console.log(`${path.basename(file)}\n${output}`);
      counts.passed += passed;
      counts.failed += ok ? failed : Math.max(failed, 1);
    }
  };
  await Promise.all([worker(), worker()]);
  return counts;
}

/**
 * Runs a command, and collects its standard output.
 * @param {string} command
 * @param {string[]} args
 * @param {boolean} [isShown] whether its output is ours as it comes
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
function run(command, args, isShown = true) {
  const color = process.stdout.isTTY ? { FORCE_COLOR: '1', CARGO_TERM_COLOR: 'always' } : {};
  const child = spawn(command, args, { cwd: root, env: { ...env, ...color }, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    if (isShown) process.stdout.write(text);
  });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ ok: false, output: error.message }));
    child.on('close', (code) => resolve({ ok: code === 0, output: stripVTControlCharacters(output) }));
  });
}

/** cargo prints one summary for each test binary. */
function cargoCounts(/** @type {string} */ output) {
  const counts = { passed: 0, failed: 0 };
  for (const [, passed, failed] of output.matchAll(/^test result: .*? (\d+) passed; (\d+) failed;/gm)) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
  }
  return counts;
}

/** Node ends its TAP report with the totals; a line like them, earlier, is what some test printed. */
function nodeCounts() {
  const report = fs.existsSync(tap) ? fs.readFileSync(tap, 'utf8') : '';
  const last = (/** @type {string} */ what) => Number(report.match(new RegExp(`.*^# ${what} (\\d+)$`, 'ms'))?.[1] ?? 0);
  return { passed: last('pass'), failed: last('fail') + last('cancelled') };
}
