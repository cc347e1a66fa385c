/** A Caddy in front of a server, with the Caddyfile of deploy/, where there is one. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { freePort } from '../worker/nginx.mjs';
import { folder } from './served.mjs';

export const skip = spawnSync('caddy', ['version']).error ? 'no caddy here: apt-get install caddy' : false;

const site = fs.readFileSync(path.resolve(import.meta.dirname, '../../deploy/Caddyfile'), 'utf8');

/**
 * Ended with the test. Gives what a client needs.
 * @param {import('node:test').TestContext} t
 * @param {{ port: number }} served
 */
export async function caddyBefore(t, served) {
  const [port, home] = [await freePort(), folder(t)];
  const config = path.join(home, 'Caddyfile');
  // Nothing but this test reaches it: no admin socket, and no certificate for a name on this machine.
  fs.writeFileSync(config, `{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\n${site.replace('courtside:8787', `127.0.0.1:${served.port}`)}`);
  const env = { ...process.env, HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home, DOMAIN: `http://:${port}` };
  const args = ['run', '--adapter', 'caddyfile', '--config', config];
  const child = spawn('caddy', args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  let log = '';
  for await (const line of readline.createInterface({ input: child.stderr })) {
    log += `${line}\n`;
    if (line.includes('serving initial configuration')) break;
  }
  if (!log.includes('serving initial configuration')) throw new Error(`Caddy ended: ${log}`);
  child.stderr.resume();
  return { url: `http://127.0.0.1:${port}`, port, clientOptions: { endpoint: '127.0.0.1', port, tls: false } };
}
