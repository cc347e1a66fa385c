/** A real nginx before a runtime, where there is one. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

// Only an administrator's path has it.
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };

export const skip = spawnSync('nginx', ['-v'], { env }).error ? 'no nginx here: apt-get install nginx-light' : false;

/** What Debian's sites include. */
const proxyParams = '/etc/nginx/proxy_params';

/** What WebSockets need besides. */
const upgrade = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;';

export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * An nginx with a site, ended with the test. Gives what a client needs.
 * @param {{ after: (done: () => unknown) => void }} scope
 * @param {(port: number) => string} site what its `http` holds, to listen on this port
 */
export async function startNginx(scope, site) {
  const [port, folder] = [await freePort(), fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-nginx-'))];
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`);
  const config = path.join(folder, 'nginx.conf');
  fs.writeFileSync(config, `
    daemon off; master_process off; pid ${folder}/pid; error_log stderr notice;
    events { worker_connections 768; }
    http { access_log off; ${temporary.join(' ')} ${site(port)} }`);
  const child = spawn('nginx', ['-p', folder, '-c', config, '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'pipe'], env });
  scope.after(async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    fs.rmSync(folder, { recursive: true });
  });
  let log = '';
  const listening = new Promise((/** @type {(value?: unknown) => void} */ resolve, reject) => {
    child.on('exit', () => reject(new Error(`nginx ended: ${log}`)));
    // It says this once its ports are open.
    child.stderr.setEncoding('utf8').on('data', (text) => {
      log += text;
      if (/using the .* event method/.test(log)) resolve();
    });
  });
  await listening;
  return { url: `http://127.0.0.1:${port}`, port, clientOptions: { endpoint: '127.0.0.1', port, tls: false } };
}

/**
 * One that passes everything on to a runtime, with the settings that Debian installs.
 * @param {{ after: (done: () => unknown) => void }} scope
 * @param {{ url: string }} runtime
 * @param {{ webSockets?: boolean }} [options]
 */
export function nginxBefore(scope, runtime, { webSockets = false } = {}) {
  return startNginx(scope, (port) => `
    sendfile on; tcp_nopush on; gzip on;
    server {
      listen 127.0.0.1:${port};
      location / {
        proxy_pass ${runtime.url};
        ${fs.existsSync(proxyParams) ? `include ${proxyParams};` : ''}
        ${webSockets ? upgrade : ''}
      }
    }`);
}
