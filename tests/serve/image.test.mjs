/**
 * The steps of the Docker image, where no container can be run: its second stage, as deploy/Dockerfile has it, in a
 * Debian made by debootstrap. `IMAGE=1 node --test tests/serve/image.test.mjs`, as root; it takes a minute or two.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import test from 'node:test';

const root = path.resolve(import.meta.dirname, '../..');
const has = (/** @type {string} */ command) => !spawnSync(command, ['--version']).error;
const lacks = [
  ...(process.env.IMAGE ? [] : ['it takes minutes: set IMAGE=1']),
  ...(process.getuid?.() === 0 ? [] : ['it needs root']),
  ...(has('debootstrap') ? [] : ['debootstrap is missing']),
];

/** The instructions of the last stage, lines that go on joined. */
function lastStage() {
  const file = fs.readFileSync(path.join(root, 'deploy/Dockerfile'), 'utf8').replace(/\\\n\s*/g, ' ');
  const lines = file.split('\n').filter((line) => /^[A-Z]/.test(line));
  return lines.slice(lines.findLastIndex((line) => line.startsWith('FROM')) + 1).map((line) => {
    const [, name = '', rest = ''] = line.match(/^(\S+)\s+(.*)$/) ?? [];
    return { name, rest };
  });
}

/** Whom the image trusts, by a package that it installs itself. */
const authorities = 'etc/ssl/certs/ca-certificates.crt';
/** Whom this machine trusts: it may reach its registry through a proxy of its own. */
const authoritiesHere = '/opt/authorities-here.crt';

/** A Debian with Node and npm in /usr/local and a user `node`, as the image begins with. @param {string} chroot */
function makeBase(chroot) {
  execFileSync('debootstrap', ['--variant=minbase', 'bookworm', chroot], { stdio: 'ignore' });
  const global = execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim();
  fs.cpSync(fs.realpathSync(process.execPath), path.join(chroot, 'usr/local/bin/node'));
  fs.cpSync(path.join(global, 'npm'), path.join(chroot, 'usr/local/lib/node_modules/npm'), { recursive: true });
  fs.symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', path.join(chroot, 'usr/local/bin/npm'));
  execFileSync('chroot', [chroot, 'useradd', '--create-home', 'node']);
  for (const name of ['resolv.conf', 'hosts', 'apt/apt.conf.d']) {
    if (fs.existsSync(path.join('/etc', name))) fs.cpSync(path.join('/etc', name), path.join(chroot, 'etc', name), { recursive: true });
  }
  if (fs.existsSync(path.join('/', authorities))) fs.cpSync(path.join('/', authorities), path.join(chroot, authoritiesHere));
  for (const device of ['null', 'urandom', 'random']) spawnSync('cp', ['-a', `/dev/${device}`, path.join(chroot, 'dev/')]);
}

test('the image serves, as a user with no rights, and is healthy', { skip: lacks.join('; ') || false, timeout: 600_000 }, async (t) => {
  const chroot = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-image-'));
  t.after(() => {
    child?.kill('SIGKILL');
    spawnSync('umount', ['--lazy', path.join(chroot, 'proc')]);
    fs.rmSync(chroot, { recursive: true, force: true });
  });
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let child;
  fs.chmodSync(chroot, 0o755);
  makeBase(chroot);
  execFileSync('mount', ['-t', 'proc', 'proc', path.join(chroot, 'proc')]);
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', path.join(chroot, 'tmp')], { cwd: root });
  const [archive] = fs.readdirSync(path.join(chroot, 'tmp'));
  fs.renameSync(path.join(chroot, 'tmp', archive), path.join(chroot, 'tmp/courtside.tgz'));

  /** @type {NodeJS.ProcessEnv} */
  let env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };
  let user = 'root';
  let workdir = '/';
  /** @type {Record<string, string>} */
  const said = {};
  const inside = (/** @type {string[]} */ command) => ['chroot', `--userspec=${user}`, chroot, 'env', '-C', workdir, ...command];
  for (const { name, rest } of lastStage()) {
    if (name === 'WORKDIR') {
      workdir = rest;
      fs.mkdirSync(path.join(chroot, rest), { recursive: true });
    } else if (name === 'RUN') {
      const [file, ...args] = inside(['sh', '-ec', rest]);
      const here = { npm_config_registry: registry(), NODE_EXTRA_CA_CERTS: authoritiesHere, DEBIAN_FRONTEND: 'noninteractive' };
      execFileSync(file, args, { env: { ...env, ...here }, stdio: ['ignore', 'ignore', 'inherit'] });
    } else if (name === 'USER') {
      user = rest;
    } else if (name === 'ENV') {
      env = { ...env, ...Object.fromEntries(rest.split(' ').map((pair) => pair.split('='))), HOME: '/home/node' };
    } else if (name !== 'COPY') {
      said[name] = rest;
    }
  }
  assert.equal(user, 'node');
  assert.match(fs.readFileSync(path.join(chroot, authorities), 'utf8'), /BEGIN CERTIFICATE/, 'webhooks and pushes go over TLS');
  env.COURTSIDE_PORT = '0';
  env.COURTSIDE_APPS = '{"apps":[{"id":"own","keys":[{"name":"main","secret":"a-secret-of-our-own"}]}]}';
  const [file, ...args] = inside([...JSON.parse(said.ENTRYPOINT), ...JSON.parse(said.CMD)]);
  const served = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  child = served;
  let port;
  for await (const line of readline.createInterface({ input: served.stdout })) {
    const { event, url } = JSON.parse(line);
    if (event !== 'ready') continue;
    port = new URL(url).port;
    break;
  }
  assert.ok(port, 'it serves');
  const health = inside(JSON.parse(said.HEALTHCHECK.replace(/^.*?CMD /, '')));
  const check = (/** @type {string | undefined} */ at) => spawnSync(health[0], health.slice(1), { env: { ...env, COURTSIDE_PORT: at }, stdio: 'inherit' }).status;
  assert.equal(check(port), 0, 'healthy');
  assert.equal(check('1'), 1, 'and unhealthy when nothing answers');
  const body = JSON.stringify({ name: 'a', data: 'in the image' });
  const published = await fetch(`http://127.0.0.1:${port}/channels/x/messages?key=own.main:a-secret-of-our-own`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body,
  });
  assert.equal(published.status, 201);
  const outside = spawnSync(inside(['touch'])[0], [...inside(['touch', '/opt/courtside/x']).slice(1)], { env });
  assert.notEqual(outside.status, 0, 'only /data is its own');
  const ended = once(served, 'exit');
  served.kill(/** @type {NodeJS.Signals} */ (said.STOPSIGNAL));
  assert.deepEqual(await ended, [0, null]);
});

/** The one that this machine is set up with. */
function registry() {
  return execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
}
