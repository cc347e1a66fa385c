/**
 * Set-up and build, for a fresh clone with rustup and any Node ≥ 20.
 *
 * Each step looks first and acts only on what is missing, so running this again costs well under a second. It needs no
 * npm package itself, because it is what installs them. It leaves everything inside the clone: packages in
 * `node_modules`, build tools in `target/tools`, the worker in `build`.
 *
 *     node scripts/setup.mjs          set up, then build the worker
 *     node scripts/setup.mjs tools    set up what does not depend on the source
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorsPage } from './errors_page.mjs';

export const root = path.resolve(import.meta.dirname ?? path.dirname(fileURLToPath(import.meta.url)), '..');
const at = (/** @type {string[]} */ ...parts) => path.join(root, ...parts);
const tools = at('target/tools');
/** The program that writes the JavaScript around the worker, and a hash of its sources. */
const glue = path.join(tools, 'bin/courtside-glue');
const glueStamp = path.join(tools, 'glue-inputs');
/** What the worker is compiled for. */
export const wasm = 'wasm32-unknown-unknown';
const cargoHome = process.env.CARGO_HOME ?? path.join(os.homedir(), '.cargo');

/** The environment every step and child runs in: our packages' tools first, then the user's. */
export const env = {
  ...process.env,
  PATH: [at('node_modules/.bin'), process.env.PATH, path.join(cargoHome, 'bin')].join(path.delimiter),
  // Its macros would otherwise write code for a crate without js-sys.
  WASM_BINDGEN_USE_JS_SYS: '1',
  WRANGLER_SEND_METRICS: 'false',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
};

/** Installs what is missing, all at the same time, and meanwhile compiles the worker, which is to be bundled by it. */
export async function setUp() {
  const packages = npmPackages();
  await wasmTarget();
  const lacksGlue = read(glueStamp) !== glueInputs();
  if (lacksGlue) linker();
  // Of two compilers that begin at once and both make this, one may fail.
  fs.mkdirSync(tools, { recursive: true });
  await Promise.all([packages, lacksGlue && compileGlue(), lacksGlue && fs.existsSync(at('src')) && compile()]);
}

/**
 * Builds the worker into `build/`, the page of errors, and the page's copies of the SDK and its plugin, unless they are
 * up to date.
 */
export async function build() {
  for (const file of ['ably.min.js', 'liveobjects.umd.min.js']) {
    copyIfChanged(at('node_modules/ably/build', file), at('www/vendor', file));
  }
  const errors = read(at('docs/errors.md'));
  // A package has the page, and not what it is made of.
  if (errors) fs.writeFileSync(at('www/errors.html'), errorsPage(errors));
  const stamp = at('build/.inputs');
  const files = ['Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', 'package-lock.json', 'scripts/setup.mjs'];
  const inputs = `${hash([...files, ...sources('src')])} ${glueInputs()} ${doors()}`;
  if (read(stamp) === inputs && fs.existsSync(at('build/index.js'))) return;
  await compile();
  await bundle();
  fs.writeFileSync(stamp, inputs);
}

/** The compiled worker with its glue, small, and its entry, in one file each. */
async function bundle() {
  const staging = at('target/bundle');
  fs.rmSync(staging, { recursive: true, force: true });
  const compiled = at('target', wasm, 'release/courtside.wasm');
  await step('Writing its glue', glue, [compiled, staging]);
  // What rustc and wasm-bindgen use, and nothing that the runtime may not know. Sorted by name, copies of one generic
  // function stand together and compress better. Then the names go, a sixth of the bundle: a panic says its file and
  // line.
  const features = ['bulk-memory', 'exception-handling', 'multivalue', 'mutable-globals', 'nontrapping-float-to-int',
    'reference-types', 'sign-ext'].map((name) => `--enable-${name}`);
  // Optimized again, it would be an eighth larger when compressed, and take a minute more.
  const passes = ['--reorder-functions-by-name', '--strip-debug'];
  fs.rmSync(at('build'), { recursive: true, force: true });
  fs.mkdirSync(at('build'));
  const small = [path.join(staging, 'index_bg.wasm'), '-o', at('build/index_bg.wasm')];
  await step('Making it smaller', 'wasm-opt', [...features, ...passes, ...small]);
  fs.copyFileSync(at('src/shell/entry.js'), path.join(staging, 'entry.js'));
  const externals = ['./index_bg.wasm', 'cloudflare:workers'].map((name) => `--external:${name}`);
  const whole = ['--bundle', '--minify', '--format=esm', ...externals, `--outfile=${at('build/index.js')}`];
  await step('Bundling it', 'esbuild', ['--log-level=warning', path.join(staging, 'entry.js'), ...whole]);
  // The compiler's own way to import a module is not the runtime's.
  const text = fs.readFileSync(at('build/index.js'), 'utf8');
  fs.writeFileSync(at('build/index.js'), text.replace(/\bimport source /g, 'import '));
}

/** One line per step, so that a newcomer sees what is being done to the machine. */
export function say(/** @type {string} */ text) {
  console.log(`\x1b[1m▸ ${text}\x1b[0m`);
}

async function npmPackages() {
  const stamp = at('node_modules/.lock-hash');
  const lock = hash(['package-lock.json']);
  if (read(stamp) === lock) return;
  const args = ['ci', '--no-fund', '--no-audit', '--loglevel=error'];
  await step('Installing npm packages from package-lock.json', 'npm', args, { isPatient: true });
  // wrangler wants Node ≥ 22.12, which the `node` package brings; where install scripts are off, it needs a push.
  if (!fs.existsSync(at('node_modules/node/bin/node'))) {
    const options = { cwd: at('node_modules/node') };
    await step('Installing a Node for wrangler', process.execPath, ['installArchSpecificPackage.js'], options);
  }
  fs.writeFileSync(stamp, lock);
}

async function wasmTarget() {
  if (spawnSync('rustup', ['--version'], { env }).error) fail('Rust is missing. Install it from https://rustup.rs');
  const channel = read(at('rust-toolchain.toml'))?.match(/channel = "(.*)"/)?.[1] ?? fail('rust-toolchain.toml names no channel');
  const listed = spawnSync('rustup', ['target', 'list', '--installed', '--toolchain', channel], { env, encoding: 'utf8' });
  if (listed.status === 0 && listed.stdout.includes(wasm)) return;
  const args = ['toolchain', 'install', channel, '--profile', 'minimal', '--target', wasm, '--no-self-update'];
  await step(`Installing Rust ${channel} for ${wasm}`, 'rustup', args);
}

/**
 * What checks the Rust code besides its compiler. Only tests need it, so without a network it is the lints that fail,
 * and nothing else.
 */
export function lintTools() {
  const parts = ['clippy', 'rustfmt'];
  const listed = spawnSync('rustup', ['component', 'list', '--installed'], { cwd: root, env, encoding: 'utf8' });
  if (listed.status === 0 && parts.every((part) => listed.stdout.includes(part))) return;
  say(`Installing ${parts.join(' and ')}`);
  spawnSync('rustup', ['component', 'add', ...parts], { cwd: root, env, stdio: 'inherit' });
}

/** A hash of the sources of that program. Fails unless it has the worker's version of wasm-bindgen. */
function glueInputs() {
  const version = lockedVersion('wasm-bindgen', 'Cargo.lock');
  const inputs = ['Cargo.toml', 'Cargo.lock', 'src/main.rs'].map((name) => `scripts/glue/${name}`);
  if (lockedVersion('wasm-bindgen-cli-support', inputs[1]) === version) return hash(inputs);
  return fail(`${inputs[0]} must name wasm-bindgen-cli-support ${version}, which is the wasm-bindgen of Cargo.lock`);
}

/** A debug build: it only drives the build, and compiles in half the time. */
async function compileGlue() {
  const target = path.join(tools, 'build');
  const args = ['build', '--quiet', '--locked', '--manifest-path', 'scripts/glue/Cargo.toml', '--target-dir', target];
  await step('Compiling what writes its glue (once)', 'cargo', args, { isPatient: true });
  fs.mkdirSync(path.dirname(glue), { recursive: true });
  fs.copyFileSync(path.join(target, 'debug', path.basename(glue)), glue);
  fs.rmSync(target, { recursive: true });
  fs.writeFileSync(glueStamp, glueInputs());
}

/** With nothing to do it takes a second. */
async function compile() {
  const args = ['build', '--quiet', '--lib', '--release', '--target', wasm, '--target-dir', at('target'), ...doors()];
  await step('Compiling the worker', 'cargo', args);
}

/** Doors of other protocols that go into the build: all of them, unless `DOORS` lists those that are wanted. */
function doors() {
  const wanted = process.env.DOORS;
  return wanted === undefined ? [] : ['--no-default-features', '--features', wanted];
}

/** What Rust links with. Say so at once rather than in the middle of a compilation. */
function linker() {
  if (process.platform !== 'linux' || !spawnSync('cc', ['--version']).error) return;
  const install = 'apt-get install -y --no-install-recommends build-essential';
  if (process.getuid?.() !== 0 || spawnSync('apt-get', ['--version']).error) {
    fail(`A C compiler is missing. On Debian: sudo ${install}`);
  }
  say('Installing a C compiler');
  const script = `apt-get update -q && DEBIAN_FRONTEND=noninteractive ${install}`;
  if (spawnSync('sh', ['-c', script], { stdio: 'inherit' }).status !== 0) fail(`This failed: ${install}`);
}

/** @param {string} crate @param {string} file */
function lockedVersion(crate, file) {
  const version = read(at(file))?.match(new RegExp(`name = "${crate}"\nversion = "(.*)"`))?.[1];
  return version ?? fail(`${file} does not hold ${crate}`);
}

/** What is being done. @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/**
 * Runs a command to its end, its output on ours, and says when it begins and ends. Ends this process when it fails.
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, isPatient?: boolean }} [options] `isPatient` lets what takes longest go first
 */
async function step(title, command, args, { cwd = root, isPatient = false } = {}) {
  say(title);
  const began = Date.now();
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] });
  running.add(child);
  if (isPatient && child.pid) os.setPriority(child.pid, Math.max(os.getPriority(), os.constants.priority.PRIORITY_BELOW_NORMAL));
  const failure = await new Promise((resolve) => {
    child.on('error', ({ message }) => resolve(message));
    child.on('exit', (code, signal) => resolve(code === 0 ? undefined : signal ?? `exit status ${code}`));
  });
  running.delete(child);
  if (failure) fail(`${command} ${args.join(' ')}: ${failure}`);
  say(`${title}: done in ${Math.round((Date.now() - began) / 1_000)} s`);
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(message);
  running.forEach((child) => child.kill());
  process.exit(1);
}

function read(/** @type {string} */ file) {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined;
}

/** @param {string} from @param {string} to */
function copyIfChanged(from, to) {
  if (read(from) === read(to)) return;
  fs.mkdirSync(path.dirname(to), { recursive: true });
  fs.copyFileSync(from, to);
}

/** @returns {string[]} every file below, relative to the root, in a stable order */
function sources(/** @type {string} */ folder) {
  const files = fs.readdirSync(at(folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map((entry) => path.relative(root, path.join(entry.parentPath ?? entry.path, entry.name))).sort();
}

function hash(/** @type {string[]} */ files) {
  const digest = createHash('sha256');
  for (const file of files) digest.update(`${file}\n`).update(fs.readFileSync(at(file)));
  return digest.digest('hex');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await setUp();
  if (process.argv[2] !== 'tools') await build();
}
