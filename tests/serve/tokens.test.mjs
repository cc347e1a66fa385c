/** What docs/tokens.md says: its backends run as they stand, and the unchanged SDK connects through them. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import test, { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import Ably from 'ably';
import { operations, roles } from '../../bin/client/capability.mjs';
import {
  CAPABILITY_MAX_BYTES, CAPABILITY_MAX_RESOURCES, CHANNEL_NAME_MAX_BYTES, CLIENT_ID_MAX_BYTES, REVOCATION_KEY_MAX_BYTES,
} from '../../bin/client/limits.mjs';
import { cli, key, serve, surroundings } from './cli.mjs';
import { folder } from './served.mjs';

const served = await serve({ after });
const text = fs.readFileSync(path.resolve(import.meta.dirname, '../../docs/tokens.md'), 'utf8');

/**
 * How each backend is started, by what its block is marked as.
 * @type {Record<string, (file: string, port: number) => string[]>}
 */
const backends = {
  js: (file) => [process.execPath, file],
  python: (file) => ['python3', file],
  php: (file, port) => ['php', '-S', `127.0.0.1:${port}`, file],
};
const endings = { js: 'mjs', python: 'py', php: 'php' };

/** @param {string} language */
function block(language) {
  const [, code] = text.match(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'm')) ?? [];
  return assert.ok(code, `docs/tokens.md has a block of ${language}`), code;
}

for (const [language, command] of Object.entries(backends)) {
  const [program = ''] = command('', 0);
  const skip = spawnSync(program, ['--version']).error ? `there is no ${program} on this machine` : false;
  test(`a backend in ${language} lets a user in, as nobody else, and renews`, { skip, timeout: 120_000 }, async (t) => {
    const port = await freePort();
    const file = path.join(folder(t), `token.${endings[/** @type {keyof typeof endings} */ (language)]}`);
    const code = block(language);
    assert.ok(code.trim().split('\n').length <= 15, 'it is short');
    fs.writeFileSync(file, code.replaceAll('3000', String(port)));
    const [run = '', ...args] = command(file, port);
    const backend = spawn(run, args, { env: { ...process.env, COURTSIDE_KEY: key }, stdio: 'ignore' });
    t.after(() => backend.kill());
    await listens(port);
    const authUrl = `http://127.0.0.1:${port}/token`;
    assert.equal((await fetch(authUrl)).status, 401);

    const ann = new Ably.Realtime({ ...served.clientOptions, authUrl, authHeaders: { 'x-user': 'ann' }, logLevel: 0 });
    t.after(() => ann.close());
    const room = ann.channels.get('chat:lobby');
    await room.presence.enter();
    await room.publish('said', 'hello');
    assert.equal((await room.history()).items[0]?.clientId, 'ann');
    await assert.rejects(ann.channels.get('scores').publish('score', '15-0'), { code: 40160 });
    await assert.rejects(ann.channels.get('other').attach(), { code: 40160 });

    const connection = ann.connection.id;
    const renewed = await ann.auth.authorize();
    assert.ok(renewed.token);
    await room.publish('said', 'again');
    assert.equal(ann.connection.id, connection, 'the connection goes on');
  });
}

test('a callback gets a token request, which is good for once', async (t) => {
  const { out } = await cli(['token', '--request', '--client-id', 'bob', '--ttl', '10m'], surroundings(served));
  const bob = new Ably.Realtime({ ...served.clientOptions, logLevel: 0,
    authCallback: (_, done) => done(null, JSON.parse(out)) });
  t.after(() => bob.close());
  await bob.connection.whenState('connected');
  assert.equal(bob.auth.clientId, 'bob');
  await assert.rejects(bob.auth.authorize(), { code: 40105 });
});

test('a token that has as much as it may is taken', async () => {
  const channel = `[*]${'x'.repeat(2_045)}`;
  const many = Array.from({ length: 100 }, (_, index) => ['--channel', `n${index}`]).flat();
  const most = [
    ['--client-id', 'é'.repeat(127), '--revocation-key', 'a\n'.repeat(127), '--role', 'viewer', '--channel', channel],
    ['--capability', JSON.stringify(Object.fromEntries(many.filter((_, at) => at % 2).map((name) => [name, ['*']])))],
    ['--capability', JSON.stringify({ ['x'.repeat(2_000)]: ['*'], ['y'.repeat(2_048)]: ['subscribe', 'history'] })],
  ];
  for (const args of most) {
    const { out, err } = await cli(['token', ...args], surroundings(served));
    assert.equal(err, '');
    const headers = { authorization: `Bearer ${out.trim()}` };
    const answer = await fetch(`${served.url}/channels/elsewhere/messages`, { headers });
    // The token is good, for other channels.
    assert.equal(answer.headers.get('x-ably-errorcode'), '40160', args.join(' ').slice(0, 100));
  }
});

test('what a token may name is bounded as by the server', () => {
  const root = path.resolve(import.meta.dirname, '../..');
  const source = ['mod', 'credentials'].map((name) => fs.readFileSync(`${root}/src/limits/${name}.rs`, 'utf8')).join('');
  const bounds = { CLIENT_ID_MAX_BYTES, REVOCATION_KEY_MAX_BYTES, CHANNEL_NAME_MAX_BYTES, CAPABILITY_MAX_RESOURCES };
  for (const [name, bound] of Object.entries(bounds)) {
    const [, stated = ''] = source.match(new RegExp(`pub const ${name}: usize = ([\\d_]+);`)) ?? [];
    assert.equal(bound, Number(stated.replaceAll('_', '')), name);
  }
  assert.match(source, /CAPABILITY_MAX_BYTES: usize = 4 \* 1024;/);
  assert.equal(CAPABILITY_MAX_BYTES, 4 * 1024);
});

test('a token ends when its client is kicked, and a later one does not', { timeout: 60_000 }, async (t) => {
  const environment = surroundings(served);
  const sign = async () => (await cli(['token', '--client-id', 'rowdy', '--role', 'chatter'], environment)).out.trim();
  const first = await sign();
  const rowdy = new Ably.Realtime({ ...served.clientOptions, token: first, logLevel: 0 });
  t.after(() => rowdy.close());
  await rowdy.connection.whenState('connected');
  const ended = new Promise((resolve) => rowdy.connection.once('failed', resolve));
  assert.equal((await cli(['kick', '--client-id', 'rowdy'], environment)).code, 0);
  await ended;
  const asked = async (/** @type {string} */ token) => {
    const answer = await fetch(`${served.url}/channels/x/messages`, { headers: { authorization: `Bearer ${token}` } });
    return answer.headers.get('x-ably-errorcode');
  };
  assert.equal(await asked(first), '40141');
  // A JWT says its time in whole seconds, and this second is not over yet.
  while (await asked(await sign()) !== null);
});

test('a route that answers 403 ends its client', async (t) => {
  const route = http.createServer((_, response) => response.writeHead(403).end()).listen(0, '127.0.0.1');
  await once(route, 'listening');
  t.after(() => route.close());
  const { port } = /** @type {net.AddressInfo} */ (route.address());
  const ann = new Ably.Realtime({ ...served.clientOptions, authUrl: `http://127.0.0.1:${port}/`, logLevel: 0 });
  t.after(() => ann.close());
  const { reason } = await new Promise((resolve) => ann.connection.once('failed', resolve));
  assert.equal(reason.code, 80019);
});

test('the document lists each operation and each role as they are', () => {
  const [, table = ''] = text.match(/^\| operation \| allows \|\n\|---\|---\|\n([^]*?)\n\n/m) ?? [];
  const cells = table.split('\n').map((row) => row.split('|')[1] ?? '');
  const names = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  assert.deepEqual(names.toSorted(), ['*', ...operations].toSorted());
  /** @type {string[]} */
  const may = [];
  for (const [role, all] of Object.entries(roles)) {
    const [, row = ''] = text.match(new RegExp(`^\\| \`${role}\` \\| (.*) \\|$`, 'm')) ?? [];
    may.push(...[...row.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ''));
    assert.deepEqual(may.toSorted(), all.toSorted(), role);
  }
});

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Until somebody does; the test's own time limits it. @param {number} port */
async function listens(port) {
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    const isThere = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (isThere) return;
    await pause(50);
  }
}
