/**
 * The commands of the documents for whoever runs a server, as they stand but for places, names and secrets. Those of
 * the README and of what goes on from it are tried in tests/worker/readme.test.mjs, the cookbook has its own, and
 * documents_of_doors.test.mjs says where all others are.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import readline from 'node:readline';
import test from 'node:test';
import { rest } from '../worker/clients.mjs';
import { block, inShell, line, ours, read, root } from './documented.mjs';
import { Served, folder } from './served.mjs';

const demoKey = 'demo.key1:local-only';

test('start: a listener goes on through a crash of the server', async (t) => {
  const served = await Served.start(t);
  const here = (/** @type {string} */ text) => text.replaceAll('8787', String(served.port));
  const [, program] = block('start.md', 'listen.mjs').match(/^cat > listen.mjs <<'EOF'\n([^]*?)^EOF$/m) ?? [];
  const listener = spawn(process.execPath, ['--input-type=module', '-e', here(String(program))], {
    cwd: root, stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => listener.kill('SIGKILL'));
  const said = readline.createInterface({ input: listener.stdout })[Symbol.asyncIterator]();
  const until = async (/** @type {RegExp} */ wanted) => {
    for (;;) {
      const { value, done } = await said.next();
      assert.ok(!done, `it ended without ${wanted}`);
      if (wanted.test(value)) return value;
    }
  };
  await until(/^connected$/);
  const publish = () => JSON.parse(inShell(here(block('start.md', 'curl'))));
  const { serials: [serial] } = publish();
  assert.equal(await until(/Hello/), `${serial} somebody Hello`);
  assert.match(block('start.md', 'pkill'), /^pkill -9 -f courtside.capnp$/m);
  // Other servers of this machine have such a file, too.
  inShell(block('start.md', 'pkill').replace('courtside.capnp', path.join(served.data, 'run/courtside.capnp')));
  await until(/^disconnected$/);
  await until(/^connected$/);
  publish();
  await until(/Hello/);
});

test('start: an app of one\'s own', async (t) => {
  const home = folder(t);
  fs.writeFileSync(path.join(home, 'apps.json'), block('start.md', '"mine"'));
  const [, ...args] = `${line('start.md', 'serve --apps')} --port 0 --drain 0`.split(' ');
  const child = spawn(process.execPath, [path.join(root, String(args.shift())), ...args], { cwd: home, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  for await (const text of readline.createInterface({ input: child.stdout })) {
    const { url } = JSON.parse(text);
    if (!url) continue;
    const status = async (/** @type {string} */ key) => (await fetch(`${url}/channels/chat:x/messages?key=${key}`)).status;
    assert.deepEqual([await status('mine.main:at-least-16-characters'), await status(demoKey)], [200, 401]);
    break;
  }
});

test('self-hosting: serve with apps of one\'s own, back it up, and restore it', async (t) => {
  const home = folder(t);
  const within = (/** @type {string} */ text) => ours(text).replaceAll(/\/(var\/lib|etc|backup)\//g, `${home}/$1/`);
  const apps = { apps: [{ id: 'own', keys: [{ name: 'main', secret: 'a-secret-of-our-own' }] }] };
  fs.mkdirSync(path.join(home, 'etc/courtside'), { recursive: true });
  fs.mkdirSync(path.join(home, 'var/lib'), { recursive: true });
  fs.writeFileSync(path.join(home, 'etc/courtside/apps.json'), JSON.stringify(apps));
  assert.match(inShell(ours(line('self-hosting.md', 'serve --help'))), /--memory MB/);

  const [file, ...args] = `${within(line('self-hosting.md', '--host 0.0.0.0'))} --port 0 --drain 0`.split(' ');
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let url;
  for await (const said of readline.createInterface({ input: child.stdout })) {
    url = JSON.parse(said).url;
    if (url) break;
  }
  const body = JSON.stringify({ name: 'a', data: 'kept' });
  const headers = { 'content-type': 'application/json' };
  const at = `${url}/channels/persisted:x/messages?key=own.main:a-secret-of-our-own`;
  assert.equal((await fetch(at, { method: 'POST', headers, body })).status, 201);
  const [backup, restore] = block('self-hosting.md', 'courtside restore').trim().split('\n').map(within);
  inShell(backup);
  inShell(restore);
  assert.ok(fs.existsSync(path.join(home, 'var/lib/courtside-new')));
});

test('self-hosting: a server in tests of other projects', () => {
  const snippet = `import Ably from 'ably';\n${block('self-hosting.md', 'import { start }')}\nably.close();`;
  execFileSync(process.execPath, ['--input-type=module'], { cwd: root, input: snippet, timeout: 60_000 });
});

test('self-hosting: what Docker and systemd are told is a shell\'s, and names files that there are', () => {
  for (const part of ['systemctl enable', 'docker build', 'docker compose']) {
    const text = block('self-hosting.md', part);
    execFileSync('bash', ['-n'], { input: text });
    for (const [named] of text.matchAll(/deploy\/[\w.]+\w/g)) {
      if (named !== 'deploy/apps') assert.ok(fs.existsSync(path.join(root, named)), named);
    }
  }
});

test('self-hosting: systemd reads the units without a complaint, and finds little that it might do', (t) => {
  if (spawnSync('systemd-analyze', ['--version']).error) return t.skip('there is no systemd here');
  const where = folder(t);
  const [file, socket] = ['courtside.service', 'courtside.socket'].map((name) => path.join(where, name));
  fs.copyFileSync(path.join(root, 'deploy/courtside.socket'), socket);
  const unit = fs.readFileSync(path.join(root, 'deploy/courtside.service'), 'utf8');
  // It is not installed here.
  fs.writeFileSync(file, unit.replace(/^ExecStart=.*$/m, 'ExecStart=/bin/true'));
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', file, socket], { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [0, '']);
  // Of 100, in tenths.
  execFileSync('systemd-analyze', ['security', '--offline=true', '--threshold=30', file], { stdio: 'pipe' });
});

test('push: an app, a push with a message, and one to a client', async (t) => {
  const secrets = ['a-secret-of-the-server', 'a-secret-of-the-page'];
  const apps = block('push.md', '"pushEnabled"').replaceAll('\n', '').replace(/"…"/g, () => `"${secrets.shift()}"`);
  const served = await Served.start(t, { args: ['--apps', apps] });
  for (const [part, status] of /** @type {const} */ ([['/channels/match:7', 201], ['/push/publish', 204]])) {
    const text = block('push.md', part).replace('live.main:…', 'live.main:a-secret-of-the-server')
      .replace('https://<your endpoint>', served.url).replace('curl ', 'curl -s -o /dev/null -w "%{http_code}" ');
    assert.equal(inShell(text), String(status));
  }
});

test('event day: what was said is exported', async (t) => {
  const served = await Served.start(t);
  await rest(served).channels.get('event:chat').publish('message', 'Welcome!');
  const [text] = read('event-day.md').match(/curl -u KEY '[^']*'/) ?? [];
  const exported = inShell(String(text).replace('KEY', demoKey).replace('https://ENDPOINT', served.url));
  assert.deepEqual(JSON.parse(exported).map((/** @type {any} */ { data }) => data), ['Welcome!']);
});

test('event day: a rehearsal with the hosts\' key, and a copy of what is kept', { timeout: 60_000 }, async (t) => {
  const { apps: [{ id, keys, namespaces }] } = JSON.parse(fs.readFileSync(path.join(root, 'bin/demo.json'), 'utf8'));
  const secret = 'a-secret-of-a-host';
  const apps = { apps: [{ id, namespaces, keys: [{ ...keys.find((/** @type {any} */ { name }) => name === 'host'), secret }] }] };
  const served = await Served.start(t, { args: ['--apps', JSON.stringify(apps)] });
  const told = (/** @type {RegExp} */ command) => ours(String(read('event-day.md').match(command)?.[1]));
  const load = told(/`(courtside load [^`]*)`/).replace('https://ENDPOINT', served.url).replace(' KEY ', ` ${id}.host:${secret} `);
  assert.match(inShell(`${load.replace('--viewers 500', '--viewers 5')} --seconds 1`), /^lost 0, /m);
  const backup = told(/`(courtside backup [^`]*)`/).replace('/var/lib/courtside', served.data);
  assert.match(inShell(backup.replace('/backup/', `${folder(t)}/`)), /objects copied/);
});

test('operations: Prometheus reads what it is given', (t) => {
  if (spawnSync('promtool', ['--version']).error) return t.skip('there is no promtool: install Debian\'s prometheus');
  const file = path.join(folder(t), 'prometheus.yml');
  fs.writeFileSync(file, block('operations/README.md', 'scrape_configs').replace('<the admin token>', 'a-token'));
  execFileSync('promtool', ['check', 'config', file], { stdio: 'pipe' });
});

test('migrating: the SDK with another endpoint', async (t) => {
  const served = await Served.start(t);
  const backend = http.createServer(async (_, response) => {
    const request = await rest(served).auth.createTokenRequest({ clientId: 'ann' });
    response.setHeader('content-type', 'application/json').end(JSON.stringify(request));
  }).listen(0, '127.0.0.1');
  t.after(() => backend.close());
  await once(backend, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (backend.address());
  const { endpoint, ...where } = served.clientOptions;
  const snippet = block('migrating.md', 'authUrl: \'/token\'')
    .replace('\'/token\'', `'http://127.0.0.1:${port}/token'`)
    .replace(/endpoint: '.*?'/, `endpoint: '${endpoint}', ${JSON.stringify(where).slice(1, -1)}`);
  const program = `import Ably from 'ably';\n${snippet}\nawait ably.connection.once('connected');
    console.log(ably.auth.clientId);\nably.close();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const { value } = await readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  assert.equal(value, 'ann');
});

test('measurements: each command that printed a figure is there', () => {
  const { scripts } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
  const text = ['measurements.md', 'how-it-works.md', '../benches/README.md'].map(read).join('\n');
  const named = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name);
  assert.ok(named.length > 5);
  for (const name of named) assert.ok(scripts[name], `npm run ${name}`);
  for (const [file] of text.matchAll(/benches\/\w+\.mjs/g)) assert.ok(fs.existsSync(path.join(root, file)), file);
});
