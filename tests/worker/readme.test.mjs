/**
 * Every snippet of the README, of the documents that go on from it, and of the greeting works as it stands, with
 * nothing changed but the port and placeholders.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';
import { greeting } from '../../scripts/greeting.mjs';
import { launch, skip as noBrowser } from './browser.mjs';
import { rest } from './clients.mjs';
import { unlessKilled } from './kills.mjs';
import { startRuntime } from './runtime.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const runtime = await startRuntime();
after(() => runtime.stop());

/** Blocks between fences, and indented ones, also those of a list. @param {string} markdown */
function snippetsOf(markdown) {
  const blocks = markdown.matchAll(/^```\w+\n([^]*?)^```$|(?<=\n\n)((?: {4}.*\n)+)/gm);
  return [...blocks].map(([, fenced, indented]) => fenced ?? indented.replace(/^ +/gm, ''));
}

const documents = ['README.md', 'docs/without-an-sdk.md', 'docs/operating.md'];
const snippets = documents.flatMap((file) => snippetsOf(fs.readFileSync(path.join(root, file), 'utf8')));

/** What each snippet begins with. */
const known = {
  start: 'npm start', node: 'node --input-type', page: '<script src', socket: 'const socket =',
  curl: "curl -u demo.key1:local-only -H 'content-type: application/json' -d",
  webhook: "curl -u demo.key1:local-only -H 'content-type: application/json' -H", package: 'npm pack',
  python: 'import asyncio', websocat: 'websocat', events: 'const events =', stream: 'curl -N \'', filter: 'curl -NG', form: 'curl -u demo.key1:local-only -d',
  apps: 'echo \'{"apps"', create: 'curl -d \'{"keys"', rotate: 'curl -X POST -d', layout: 'src/ ',
};

/** The snippet as a reader has it, but for where the server is. @param {keyof typeof known} name */
function snippet(name) {
  const found = snippets.find((text) => text.startsWith(known[name]));
  assert.ok(found, `no snippet begins with ${known[name]}`);
  return found.replaceAll('127.0.0.1:8787', `127.0.0.1:${runtime.port}`).replaceAll('port: 8787', `port: ${runtime.port}`);
}

/**
 * What it prints until that is enough; ends it then.
 * @param {string[]} command
 * @param {RegExp} enough
 * @param {Record<string, string>} [env]
 */
function printed([file, ...args], enough, env) {
  const child = spawn(file, args, { cwd: root, detached: true, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  return new Promise((/** @type {(output: string) => void} */ resolve, reject) => {
    const hear = (/** @type {string} */ text) => {
      output += text;
      // The whole group: a shell may have children.
      if (enough.test(output)) process.kill(-(/** @type {number} */ (child.pid)), 'SIGKILL');
    };
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', hear);
    child.on('error', reject).on('close', () => (enough.test(output) ? resolve(output) : reject(new Error(output))));
  });
}

/** @param {string} text @param {RegExp} enough @param {Record<string, string>} [env] */
const inShell = (text, enough, env) => printed(['bash', '-c', text], enough, env);

/**
 * Publishes until it has been heard.
 * @template T
 * @param {string} name
 * @param {Promise<T>} heard
 * @param {object} [message]
 */
async function publishUntil(name, heard, message = { name: 'score', data: '40-0' }) {
  let done = false;
  const told = heard.finally(() => { done = true; });
  while (!done) await rest(runtime).channels.get(name).publish(message);
  return told;
}

test('each snippet is tried here', () => {
  const unknown = snippets.filter((text) => !Object.values(known).some((begin) => text.startsWith(begin)));
  assert.deepEqual(unknown, []);
  assert.equal(snippets.length, Object.keys(known).length);
  assert.deepEqual(snippets.find((text) => text.startsWith(known.start))?.match(/^npm( run)? \w+/gm), ['npm start', 'npm test', 'npm run dev']);
  const parts = [...snippet('layout').matchAll(/^(\S+)\/ /gm)].map(([, folder]) => folder);
  for (const part of parts) assert.ok(fs.existsSync(path.join(root, part)), part);
});

/** The Node that this machine's user has, and the newer one that wrangler runs with. */
const folders = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => !folder.includes('node_modules'));
for (const folder of [folders.find((folder) => fs.existsSync(path.join(folder, 'node'))), path.join(root, 'node_modules/node/bin')]) {
  if (!folder) continue;
  const version = execFileSync(path.join(folder, 'node'), ['--version'], { encoding: 'utf8' }).trim();
  const PATH = [folder, process.env.PATH].join(path.delimiter);

  test(`in a shell, with Node ${version}`, { timeout: 120_000 }, async () => {
    await inShell(snippet('node'), /^Game Point!$/m, { PATH });
  });

  test(`what npm start says, with Node ${version}`, { timeout: 120_000 }, async () => {
    const command = greeting(runtime.port, false).match(/^node .*^EOF$/ms)?.[0] ?? '';
    await inShell(command, /^Game Point!$/m, { PATH });
  });
}

test('with curl', { timeout: 120_000 }, async () => {
  assert.match(await inShell(snippet('curl'), /"data":"Game Point!"/), /"serials?":/);
  assert.match(await inShell(snippet('form'), /"data":"15-0"/), /"name":"score"/);
  await inShell(snippet('stream'), /15-0/);
  await inShell(snippet('webhook'), /"channel":"builds"/);
  const goal = { name: 'goal', extras: { headers: { minute: 90 } } };
  await publishUntil('scores', inShell(snippet('filter'), /"name":"goal"/), goal);
});

test('on a server of one\'s own', { timeout: 120_000 }, async (t) => {
  const { name, version, bin } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
  const [pack, install, serve] = snippet('package').split('\n').map((line) => line.split('#')[0]?.trim());
  assert.deepEqual([pack, install], ['npm pack', `npm install ./${name}-${version}.tgz`]);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-readme-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  execFileSync('sh', ['-c', snippet('apps')], { cwd: folder });
  // The package itself is tried where it is installed; on a free port, since the usual one may be taken.
  const command = serve?.replace('npx courtside', `node ${path.join(root, bin.courtside)}`);
  await inShell(`cd ${folder} && ${command} --port 0 --drain 0`, /"event":"ready"/);
});

const plain = unlessKilled('a plain WebSocket does not come back').skip;

test('in a browser', { skip: noBrowser || plain, timeout: 120_000 }, async (t) => {
  const browser = await launch();
  t.after(() => browser.close());
  /** A page, and what its console says next. @param {string} url */
  const open = async (url) => {
    const page = await browser.newPage();
    page.on('pageerror', (error) => t.diagnostic(`${error}`));
    await page.goto(url);
    return { page, said: page.waitForEvent('console', (message) => message.type() === 'log') };
  };
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-readme-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  fs.writeFileSync(path.join(folder, 'page.html'), snippet('page'));
  const own = await open(`file://${folder}/page.html`);
  assert.equal((await publishUntil('tennis-score-updates', own.said)).text(), '40-0');

  const plain = await open(`${runtime.url}/time`);
  await plain.page.addScriptTag({ content: snippet('socket') });
  await plain.page.waitForFunction('socket.readyState === 1');
  // Its rewind brings what the other snippets said.
  const said = plain.page.waitForEvent('console', (message) => message.text() === 'score 30-15');
  await plain.page.evaluate('publish("score", "30-15")');
  await said;

  const listening = await open(`${runtime.url}/time`);
  await listening.page.addScriptTag({ content: snippet('events') });
  const heard = await publishUntil('scores', listening.said);
  assert.equal((await heard.args()[0].jsonValue()).data, '40-0');
});

/** A Python that has `websockets`: the system's, or one of our own; else why there is none. */
function findPython() {
  const has = (/** @type {string} */ python) => spawnSync(python, ['-c', 'import websockets']).status === 0;
  const own = path.join(root, 'target/venv/bin/python');
  if (has('python3')) return { python: 'python3' };
  if (has(own)) return { python: own };
  const made = spawnSync('python3', ['-m', 'venv', path.join(root, 'target/venv')], { timeout: 60_000 }).status === 0
    && spawnSync(own, ['-m', 'pip', 'install', '--quiet', 'websockets==17.4'], { timeout: 60_000 }).status === 0;
  return made ? { python: own } : { missing: 'no Python with websockets here, and none could be installed' };
}

test('in Python', { timeout: 180_000 }, async (t) => {
  const { python, missing } = findPython();
  if (!python) return t.skip(missing);
  await printed([python, '-c', snippet('python')], /^score 15-0$/m, { PYTHONUNBUFFERED: '1' });
});

const noWebsocat = spawnSync('websocat', ['--version']).error ? 'no websocat here' : false;

test('with websocat', { skip: noWebsocat, timeout: 120_000 }, async () => {
  await rest(runtime).channels.get('scores').publish('score', '15-0');
  await inShell(snippet('websocat'), /15-0/);
});

test('the configuration of a deployment', { timeout: 120_000 }, async (t) => {
  const apps = JSON.parse(`${execFileSync('sh', ['-c', snippet('apps').replace('> apps.json', '')])}`);
  const [{ secret }] = apps.apps[0].keys;
  const deployed = await startRuntime(apps, { variables: { ADMIN_TOKEN: 'an-admin-token' } });
  t.after(() => deployed.stop());
  const channel = rest(deployed, { key: `live.main:${secret}` }).channels.get('chat:a');
  await channel.publish('a', 'b');
  assert.equal((await channel.history()).items[0].data, 'b');

  const made = await inShell(snippet('create').replace('https://<your endpoint>', deployed.url), /\}$/, { ADMIN_TOKEN: 'an-admin-token' });
  const { keys, namespaces } = JSON.parse(made.slice(made.indexOf('{')));
  assert.deepEqual([keys.length, keys[1].capability, namespaces[0].persisted], [2, '{"chat:*":["subscribe"]}', true]);

  const [app, key] = keys[0].keyStr.split(':')[0].split('.');
  const commands = snippet('rotate').replaceAll('https://<your endpoint>', deployed.url)
    .replaceAll('{app}', app).replaceAll('{key}', key).replaceAll(/^curl /gm, 'curl -s -o /dev/null -w "%{http_code} " ');
  assert.match(await inShell(commands, /^\d+ \d+ $/, { ADMIN_TOKEN: 'an-admin-token' }), /^201 201 |^200 201 /);
});
