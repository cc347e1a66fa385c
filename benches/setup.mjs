/**
 * Installs the peers that are servers of their own, from npm and from Debian: `node benches/setup.mjs`.
 *
 * All of it goes into `target/peers`: it needs no root and changes nothing of the system, apt's lists included. What is
 * there already is left alone.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(import.meta.dirname, '..');
const peers = path.join(root, 'target/peers');
const packages = ['nginx', 'libnginx-mod-nchan', 'nats-server'];

export function setUpPeers() {
  fs.mkdirSync(peers, { recursive: true });
  fromNpm();
  fromDebian();
}

/** Socket.IO and ws, in the versions of their lock file. */
function fromNpm() {
  const files = ['package.json', 'package-lock.json'];
  const from = path.join(root, 'benches/peers/servers');
  const digest = createHash('sha256');
  for (const file of files) digest.update(fs.readFileSync(path.join(from, file)));
  once('npm', digest.digest('hex'), () => {
    for (const file of files) fs.copyFileSync(path.join(from, file), path.join(peers, file));
    // What is native among them comes prebuilt; nothing needs to run at install time.
    run('npm', ['ci', '--ignore-scripts', '--no-fund', '--no-audit', '--loglevel=error'], peers);
  });
}

/** nginx with Nchan, and NATS, unpacked and not installed, with whatever they need that this system lacks. */
function fromDebian() {
  once('debian', packages.join(' '), () => {
    const lists = path.join(peers, 'apt');
    const archives = path.join(lists, 'archives');
    fs.mkdirSync(path.join(lists, 'partial'), { recursive: true });
    fs.mkdirSync(archives, { recursive: true });
    const own = ['-q', '-o', `Dir::State::lists=${lists}`, '-o', `Dir::Cache=${lists}`, '-o', 'APT::Sandbox::User=root'];
    const apt = (/** @type {string[]} */ ...args) => run('apt-get', [...own, ...args], archives);
    apt('update');
    const plan = apt('install', '--simulate', '--no-install-recommends', ...packages);
    const lacking = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name);
    apt('download', ...new Set([...packages, ...lacking]));
    for (const archive of fs.readdirSync(archives).filter((file) => file.endsWith('.deb'))) {
      run('dpkg', ['--extract', path.join(archives, archive), path.join(peers, 'debian')], archives);
    }
    fs.rmSync(lists, { recursive: true });
  });
}

/** @param {string} what @param {string} version @param {() => void} install */
function once(what, version, install) {
  const stamp = path.join(peers, `${what}.stamp`);
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === version) return;
  console.error(`Installing peers from ${what}, into target/peers`);
  install();
  fs.writeFileSync(stamp, version);
}

/** @param {string} command @param {string[]} args @param {string} cwd */
function run(command, args, cwd) {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { code, stderr } = /** @type {any} */ (error);
    const hint = code === 'ENOENT' ? `${command} is missing; choose with --peers what needs no Debian` : stderr;
    throw new Error(`${command} ${args.at(-1)}: ${hint}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setUpPeers();
