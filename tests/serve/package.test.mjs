/** The package, as another project gets it: in an empty folder, without Rust and without this repository. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import test from 'node:test';
import { folder } from './served.mjs';

const root = path.resolve(import.meta.dirname, '../..');

/** Of what the package depends on, the copies that are here: no registry is asked. */
const architecture = process.arch === 'x64' ? '64' : process.arch;
const dependencies = ['workerd', `@cloudflare/workerd-${process.platform}-${architecture}`];

/** Packs, and unpacks it where npm would. @param {import('node:test').TestContext} t */
function installed(t) {
  const project = folder(t);
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', project], { cwd: root });
  const [archive] = fs.readdirSync(project);
  const description = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
  const { name, version, bin, dependencies: wanted } = description;
  assert.equal(archive, `${name}-${version}.tgz`);
  assert.deepEqual(Object.keys(wanted), ['workerd'], 'it depends on little');
  const modules = path.join(project, 'node_modules');
  fs.mkdirSync(path.join(modules, 'courtside'), { recursive: true });
  const unpack = ['-xzf', archive, '--strip-components=1', '-C', path.join(modules, 'courtside')];
  execFileSync('tar', unpack, { cwd: project });
  for (const dependency of dependencies) {
    fs.cpSync(path.join(root, 'node_modules', dependency), path.join(modules, dependency), { recursive: true });
  }
  fs.mkdirSync(path.join(modules, '.bin'));
  fs.symlinkSync(`../courtside/${bin.courtside}`, path.join(modules, '.bin/courtside'));
  return project;
}

/** No Rust, and nothing of this repository. @param {string} project */
const surroundings = (project) => ({
  PATH: [path.dirname(process.execPath), '/usr/bin', '/bin'].join(path.delimiter), HOME: project,
});

test('apps that a clone serves are in no package', (t) => {
  const apps = path.join(root, 'deploy/apps');
  const file = path.join(apps, 'of-a-test.json');
  const isNew = fs.mkdirSync(apps, { recursive: true }) !== undefined;
  t.after(() => fs.rmSync(isNew ? apps : file, { recursive: true }));
  fs.writeFileSync(file, '');
  const [{ files }] = JSON.parse(execFileSync('npm', ['pack', '--ignore-scripts', '--dry-run', '--json'], { cwd: root, encoding: 'utf8' }));
  const deployed = files.map((/** @type {{ path: string }} */ one) => one.path).filter((/** @type {string} */ name) => name.startsWith('deploy/'));
  assert.ok(deployed.includes('deploy/compose.yaml'));
  assert.ok(!deployed.includes('deploy/apps/of-a-test.json'));
});

test('a project installs the package, and serves from it', async (t) => {
  const project = installed(t);
  const env = surroundings(project);
  const inside = fs.readdirSync(path.join(project, 'node_modules/courtside')).sort();
  assert.deepEqual(inside.filter((name) => ['src', 'tests', 'target', 'node_modules', 'scripts'].includes(name)), []);

  // A group of its own: npx has a shell between, which passes no signal on.
  const args = ['--no-install', 'courtside', 'serve', '--ephemeral', '--port', '0', '--drain', '0'];
  const child = spawn('npx', args, { cwd: project, env, detached: true });
  const ended = once(child, 'close');
  const signal = (/** @type {NodeJS.Signals} */ name) => process.kill(-/** @type {number} */ (child.pid), name);
  t.after(() => child.exitCode ?? child.signalCode ?? signal('SIGKILL'));
  const lines = readline.createInterface({ input: child.stdout });
  let url = '';
  for await (const line of lines) {
    const said = JSON.parse(line);
    if (said.event !== 'ready') continue;
    url = said.url;
    break;
  }
  const page = await fetch(url);
  assert.match(await page.text(), /<!doctype html>/);
  assert.equal((await fetch(`${url}/vendor/ably.min.js`)).status, 200);
  const body = JSON.stringify({ name: 'a', data: 'packed' });
  const published = await fetch(`${url}/channels/x/messages?key=demo.key1:local-only`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body,
  });
  assert.equal(published.status, 201);

  const courtside = (/** @type {string[]} */ ...words) => execFileSync('npx', ['--no-install', 'courtside', ...words],
    { cwd: project, env: { ...env, COURTSIDE_URL: url, COURTSIDE_KEY: 'demo.key1:local-only' }, encoding: 'utf8' });
  assert.match(courtside('tail', 'x', '--rewind', '1', '--count', '1'), /\ta\t\tpacked\n$/);
  assert.match(courtside('token', '--role', 'viewer'), /^eyJ/);
  assert.match(courtside('load', '--viewers', '5', '--rate', '10', '--seconds', '1'), /^lost 0, repeated 0/m);
  assert.match(courtside('cost', '--viewers', '5', '--hours', '1', '--rate', '1'), /^in all/m);
  const apps = { apps: [{ id: 'own', keys: [{ name: 'main', secret: '0123456789abcdef' }] }] };
  assert.match(courtside('check-apps', JSON.stringify(apps)), /^own\t1\t0$/m);
  for (const name of ['command-line', 'tokens']) {
    assert.ok(fs.existsSync(path.join(project, `node_modules/courtside/docs/${name}.md`)), name);
  }
  signal('SIGTERM');
  await ended;
});

const program = `
  import { start } from 'courtside';
  const server = await start({ port: undefined, apps: { apps: [{ id: 'own', keys: [{ name: 'main', secret: 'short-one' }] }] } });
  const ask = async (key) => (await fetch(server.url + '/channels/x/messages?key=' + key)).status;
  const before = await ask('own.main:short-one');
  await server.reload({ apps: [{ id: 'own', keys: [{ name: 'main', secret: 'another-one' }] }] });
  const after = [await ask('own.main:short-one'), await ask('own.main:another-one')];
  await server.stop();
  const gone = await fetch(server.url).then(() => false, () => true);
  const port = server.clientOptions.port === server.port;
  console.log(JSON.stringify({ before, after, gone, key: server.key ?? null, port, isFree: server.port !== 8787 }));
`;

test('a program starts a server, gives it other apps, and stops it', (t) => {
  const project = installed(t);
  const temporary = path.join(project, 'tmp');
  fs.mkdirSync(temporary);
  const env = { ...surroundings(project), TMPDIR: temporary };
  const args = ['--input-type=module', '-e', program];
  const output = execFileSync(process.execPath, args, { cwd: project, env, encoding: 'utf8' });
  assert.deepEqual(JSON.parse(output), { before: 200, after: [401, 200], gone: true, key: null, port: true, isFree: true });
  assert.deepEqual(fs.readdirSync(temporary), [], 'nothing is left behind');
});
