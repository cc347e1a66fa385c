/** The examples do what their READMEs say, with nothing changed but where the server is. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { launch, skip } from './browser.mjs';
import { Inbox, connected, demoKey, rest } from './clients.mjs';
import { unlessKilled } from './kills.mjs';
import { startRuntime } from './runtime.mjs';

const run = promisify(execFile);
const examples = path.resolve(import.meta.dirname, '../../examples');
const runtime = await startRuntime();
after(() => runtime.stop());
const env = { ...process.env, ENDPOINT_PORT: String(runtime.port), SERVER: runtime.url };

test('each example has a README, and is tried here', () => {
  const folders = fs.readdirSync(examples);
  assert.deepEqual(folders.toSorted(), ['python-publisher', 'react', 'scores-feed', 'token-route', 'vanilla']);
  for (const folder of folders) assert.ok(fs.existsSync(path.join(examples, folder, 'README.md')), folder);
});

test('plain JavaScript: one page claps, the other hears it', { skip, timeout: 120_000 }, async (t) => {
  const folder = temporary(t);
  const page = fs.readFileSync(path.join(examples, 'vanilla/index.html'), 'utf8').replaceAll('8787',
    String(runtime.port));
  fs.writeFileSync(path.join(folder, 'index.html'), page);
  const browser = await launch();
  t.after(() => browser.close());
  const [one, other] = [await browser.newPage(), await browser.newPage()];
  for (const tab of [one, other]) await tab.goto(`file://${folder}/index.html#${demoKey}`);
  await one.waitForFunction(() => document.getElementById('clap')?.onclick);
  await one.getByRole('button', { name: 'Clap' }).click();
  await other.locator('#claps').getByText('1').waitFor();
});

test('React: two people see each other, and what they write', { skip, timeout: 120_000 }, async (t) => {
  const folder = temporary(t);
  fs.copyFileSync(path.join(examples, 'react/index.html'), path.join(folder, 'index.html'));
  await build({ entryPoints: [path.join(examples, 'react/app.jsx')], bundle: true, jsx: 'automatic',
    outfile: path.join(folder, 'app.js'), logLevel: 'silent' });
  const browser = await launch();
  t.after(() => browser.close());
  const open = async (/** @type {string} */ name) => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`file://${folder}/index.html?port=${runtime.port}&name=${name}#${demoKey}`);
    return page;
  };
  const [ann, bob] = [await open('ann'), await open('bob')];
  for (const page of [ann, bob]) await page.getByText('2 here').waitFor();
  await ann.getByLabel('Message').fill('Hello');
  await ann.getByRole('button', { name: 'Send' }).click();
  await bob.getByText('Hello').waitFor();
});

test('the token route lets a user in, as nobody else, and to nothing else', { timeout: 60_000 }, async (t) => {
  const server = spawn(process.execPath, [path.join(examples, 'token-route/server.mjs')],
    { env: { ...env, PORT: '0' } });
  t.after(() => server.kill());
  const [said] = await once(server.stdout.setEncoding('utf8'), 'data');
  const url = String(said).trim();
  assert.equal((await fetch(url)).status, 401);
  const client = await connected(t, runtime, { key: undefined, authUrl: url, authHeaders: { 'x-user': 'ann' } });
  assert.equal(client.auth.clientId, 'ann');
  const inbox = await Inbox.of(client.channels.get('chat:lobby'));
  await client.channels.get('chat:lobby').publish('a', 'b');
  await inbox.until(1);
  await assert.rejects(client.channels.get('scores').publish('a', 'b'), { code: 40160 });
  const named = { key: undefined, clientId: 'ann', authUrl: url, authHeaders: { 'x-user': 'ann' } };
  assert.equal((await connected(t, runtime, named)).auth.clientId, 'ann');
  if (skip) return t.diagnostic(`not from a page: ${skip}`);
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.addScriptTag({ path: path.resolve('www/vendor/ably.min.js') });
  const options = { ...runtime.clientOptions, authUrl: url, authHeaders: { 'x-user': 'ann' } };
  const name = await page.evaluate(async (given) => {
    const ably = new (/** @type {any} */ (window).Ably.Realtime)(given);
    await ably.connection.once('connected');
    return ably.auth.clientId;
  }, options);
  assert.equal(name, 'ann');
});

test('the publisher in Python publishes once what has one id', { timeout: 60_000 }, async () => {
  const publish = () => run('python3',
    [path.join(examples, 'python-publisher/publish.py'), 'python:scores', 'score', '30-0', 'point-2'], { env });
  await publish();
  await publish();
  const said = async (/** @type {string} */ name) => (await rest(runtime).channels.get(name).history()).items;
  assert.deepEqual((await said('python:scores')).map(({ name, data, id }) => [name, data, id]),
    [['score', '30-0', 'point-2']]);
  const [commands = ''] = commandsOf('python-publisher');
  await run('bash', ['-ec', commands], { env, cwd: path.join(examples, 'python-publisher') });
  assert.deepEqual((await said('scores')).map(({ data }) => data), ['30-0', '15-0']);
});

test('the feed publishes each row once, however often it is started', { timeout: 60_000 }, async () => {
  const feed = () => run(process.execPath, [path.join(examples, 'scores-feed/feed.mjs')], { env });
  const { stdout } = await feed();
  await feed();
  const { items } = await rest(runtime).channels.get('persisted:scores').history({ direction: 'forwards' });
  assert.equal(stdout.trim().split('\n').length, 5);
  assert.deepEqual(items.map(({ data }) => `${data.match} ${data.minute}`),
    ['RED-BLU 12', 'GRN-YEL 15', 'RED-BLU 44', 'GRN-YEL 71', 'RED-BLU 90']);
});

test('the feed is read as its README says, whole and by match', { timeout: 60_000, ...unlessKilled('curl does not come back') }, async () => {
  const [all = '', match = ''] = commandsOf('scores-feed');
  const last = /minute[\\":]+90/u;
  assert.match(await printed(all, last), /GRN-YEL[^]*minute/u);
  assert.doesNotMatch(await printed(match, last), /GRN-YEL/u);
});

/** The commands of an example's README, by block, for the server here. @param {string} example */
function commandsOf(example) {
  const text = fs.readFileSync(path.join(examples, example, 'README.md'), 'utf8');
  return [...text.matchAll(/(?<=\n\n)((?: {4}.*\n)+)/gu)].map(([block]) => block.replaceAll('127.0.0.1:8787',
    `127.0.0.1:${runtime.port}`));
}

/**
 * What they print until that is enough; readers of a stream are ended then.
 * @param {string} commands @param {RegExp} enough
 */
async function printed(commands, enough) {
  const child = spawn('bash', ['-ec', commands], { env, cwd: path.join(examples, 'scores-feed'), detached: true,
    stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    if (enough.test(output)) process.kill(-Number(child.pid), 'SIGKILL');
  });
  await once(child, 'close');
  return output;
}

/** @param {import('node:test').TestContext} t */
function temporary(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-example-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  return folder;
}
