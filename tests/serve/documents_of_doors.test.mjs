/**
 * What the documents say of other clients' doors, of push, webhooks, tokens and upgrades runs as it stands, on one
 * server whose app has all that they tell to set up; and each block of each document is taken by a test.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import test, { after } from 'node:test';
import Ably from 'ably';
import mqtt from 'mqtt';
import PusherServer from 'pusher';
import PusherClient from 'pusher-js';
import { io } from 'socket.io-client';
import { block, blocks, inShell, line, ours, read, root } from './documented.mjs';
import { Served, folder } from './served.mjs';

const secret = 'a-secret-of-our-own';
const adminToken = 'an-admin-token-of-ours';
const key = `live.main:${secret}`;
const filled = (/** @type {string} */ text) => JSON.parse(text.replaceAll('"…"', JSON.stringify(secret)));

const [, pusherKey = ''] = read('migrating.md').match(/`(\{"name":\s+"web"[^`]*\})`/) ?? [];
const pem = (/** @type {import('node:crypto').KeyObject} */ of) => of.export({ type: 'pkcs8', format: 'pem' });
const { push } = filled(`{${block('push.md', '"apns"')}}`);
push.apns.key = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
push.fcm.serviceAccount.private_key = pem(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
const { apps: [hooked] } = filled(block('webhooks.md', '"webhooks"'));
const app = { ...hooked, push, keys: [filled(block('tokens.md', 'revocableTokens')), filled(pusherKey)] };

const served = await Served.start({ after }, { args: ['--apps', JSON.stringify({ apps: [app] }), '--admin-token', adminToken] });
const client = new Ably.Rest({ key, ...served.clientOptions });
const environment = { ...process.env, KEY: key, ADMIN_TOKEN: adminToken, COURTSIDE_URL: served.url,
  COURTSIDE_KEY: key };

const Running = /** @type {FunctionConstructor} */ ((async () => {}).constructor);

/** Runs a snippet on the server here. @param {string} text @param {Record<string, unknown>} given what it uses */
function runs(text, given) {
  const here = text.replaceAll('…', secret).replaceAll('courtside.example.com', `127.0.0.1:${served.port}`)
    .replace('https://', 'http://').replaceAll('wss://', 'ws://');
  return Running(...Object.keys(given), here)(...Object.values(given));
}

test('migrating: Pusher Channels, in a browser and on a server', { timeout: 60_000 }, async (t) => {
  const text = block('migrating.md', 'new Pusher').replace(/ {2,}\/\/.*$/gm, '');
  const [inBrowser = '', onServer = ''] = text.split(/(?=^new Pusher\(\{)/m);
  const where = ["wsHost: 'courtside.example.com', forceTLS: true", `wsHost: '127.0.0.1', wsPort: ${served.port}`];
  assert.ok(inBrowser.includes(String(where[0])));
  const listener = await runs(`return ${inBrowser.replace(String(where[0]), `${where[1]}, forceTLS: false`)}`,
    { Pusher: PusherClient });
  t.after(() => listener.disconnect());
  const place = `host: '127.0.0.1', port: '${served.port}', useTLS: false`;
  assert.match(onServer, /host: 'courtside\.example\.com', useTLS: true/);
  // By the key that may publish: the name in the document is that of the app's key for Pusher's clients.
  const server = await runs(`return ${onServer.replace(/host: .*?, useTLS: true/, place)}`, { Pusher: PusherServer });
  const channel = listener.subscribe('open');
  await new Promise((resolve) => channel.bind('pusher:subscription_succeeded', resolve));
  const heard = new Promise((resolve) => channel.bind('event', resolve));
  await server.trigger('open', 'event', { home: 15 });
  assert.deepEqual(await heard, { home: 15 });
});

test('migrating: MQTT, with a key and with a token', { timeout: 60_000 }, async (t) => {
  const { token } = await client.auth.requestToken({ clientId: 'ann' });
  const [at, ...connections] = block('migrating.md', 'mqtt.connect').replace(/ *\/\/ .*$/gm, '').trim().split('\n');
  assert.equal(connections.length, 2);
  for (const text of connections) {
    const connection = await runs(`${at}\nreturn ${text}`, { mqtt, token });
    t.after(() => connection.end(true));
    await once(connection, 'connect');
  }
});

test('migrating: Socket.IO, and what its server published by REST', { timeout: 60_000 }, async (t) => {
  const fetchToken = async () => (await client.auth.requestToken({ clientId: 'ann' })).token;
  /** @type {(data: unknown) => void} */
  let show = () => {};
  const snippet = `${block('migrating.md', 'const socket = io')}\nreturn { socket, error, serial };`;
  const { socket, error, serial } = await runs(snippet,
    { io, fetchToken, show: (/** @type {unknown} */ data) => show(data) });
  t.after(() => socket.disconnect());
  assert.deepEqual([error ?? null, typeof serial], [null, 'string']);
  const shown = new Promise((resolve) => { show = resolve; });
  await client.channels.get('scores').publish('score', { home: 30 });
  assert.deepEqual(await shown, { home: 30 });

  const room = io(`${served.url}/room`, { auth: { token: await fetchToken() } });
  t.after(() => room.disconnect());
  await new Promise((/** @type {(value?: unknown) => void} */ resolve) => room.on('connect', resolve));
  const moved = new Promise((resolve) => room.on('moved', (...args) => resolve(args.slice(0, 2))));
  const text = block('migrating.md', 'curl -u "$KEY"').replace('https://courtside.example.com', served.url);
  assert.match(inShell(text, { env: environment }), /"serials"/);
  assert.deepEqual(await moved, [1, 2]);
});

test('push: a device that a server registers', async () => {
  await runs(block('push.md', 'deviceRegistrations.save'), { client });
  assert.equal((await client.push.admin.deviceRegistrations.get('phone-1')).clientId, 'ann');
});

test('webhooks: what is troubled, and what was given up', () => {
  for (const text of [block('webhooks.md', '/webhooks\n'), block('webhooks.md', '/dead-letters')]) {
    const here = text.replace('https://<your endpoint>', served.url).replace('curl ', 'curl -sf ');
    assert.ok(JSON.parse(inShell(here, { env: environment })), text);
  }
});

test('tokens: a client is sent away', () => {
  inShell(ours(block('tokens.md', 'courtside kick').trim()), { env: environment });
});

test('upgrading: a copy before, the way back, and commands that there are', () => {
  const home = folder({ after });
  const within = (/** @type {string} */ text, /** @type {string} */ data) =>
    ours(text.trim().replace('sudo -u courtside node_modules/.bin/', '')).replaceAll('/backup/', `${home}/`)
      .replace('/var/lib/courtside', data);
  inShell(within(line('upgrading.md', 'courtside backup'), served.data));
  inShell(within(line('upgrading.md', 'courtside restore'), `${home}/restored`));
  assert.ok(fs.existsSync(path.join(home, 'restored')));
  for (const what of ['courtside backup', 'courtside restore']) {
    execFileSync('bash', ['-n'], { input: block('upgrading.md', what) });
  }
  execFileSync('bash', ['-n'], { input: block('upgrading.md', 'npx wrangler') });
});

/** Documents all of whose blocks are taken by the test of this name, which says so itself. */
const whole = {
  'cookbook.md': 'worker/cookbook.test.mjs', 'without-an-sdk.md': 'worker/readme.test.mjs',
  'operating.md': 'worker/readme.test.mjs', 'measurements.md': 'serve/documents.test.mjs',
  'command-line.md': 'serve/command_line.test.mjs', 'how-it-works.md': 'a picture',
};

/** Blocks that are taken by what stands in them, in tests that read a document in another way. */
const others = [
  ['tokens.md', "authUrl: '/token'", 'serve/tokens.test.mjs'], ['tokens.md', 'authCallback', 'serve/tokens.test.mjs'],
  ['tokens.md', 'createHmac', 'serve/tokens.test.mjs'], ['tokens.md', 'base64.urlsafe', 'serve/tokens.test.mjs'],
  ['tokens.md', '<?php', 'serve/tokens.test.mjs'], ['webhooks.md', 'timingSafeEqual', 'worker/hooks.test.mjs'],
  ['webhooks.md', 'hmac.compare_digest', 'worker/hooks.test.mjs'], ['webhooks.md', '"items"', 'worker/hooks.test.mjs'],
  ['push.md', '/channels/match:7', 'serve/documents.test.mjs'], ['push.md', '/push/publish', 'serve/documents.test.mjs'],
  ['push.md', 'self.addEventListener', 'worker/browser_push.test.mjs'],
  ['push.md', 'push.activate()', 'worker/browser_push.test.mjs'], ['start.md', 'npm start', 'worker/readme.test.mjs'],
  ['start.md', 'listen.mjs', 'serve/documents.test.mjs'], ['self-hosting.md', 'npm pack', 'serve/package.test.mjs'],
  ['self-hosting.md', 'systemctl enable', 'serve/documents.test.mjs'],
  ['self-hosting.md', 'docker build', 'serve/documents.test.mjs'],
  ['self-hosting.md', 'docker compose', 'serve/documents.test.mjs'],
  // For a service that is not here; what its columns are is tried.
  ['operations/README.md', 'INTERVAL', 'worker/analytics.test.mjs'],
];

test('each block of each document is taken by a test', () => {
  const tests = ['documents.test.mjs', path.basename(import.meta.filename)]
    .map((file) => fs.readFileSync(path.join(import.meta.dirname, file), 'utf8')).join('\n');
  const taken = [...tests.matchAll(/\b(?:block|line)\('([\w/.-]+)', '((?:[^'\\]|\\.)*)'\)/g)]
    .map(([, document, part]) => [document, String(part).replace('\\n', '\n').replace(/\\'/g, "'")]);
  for (const [, , file] of others) assert.ok(fs.existsSync(path.join(root, 'tests', String(file))), file);
  const documents = fs.readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md') && !(file in whole));
  const left = documents.flatMap((document) => blocks(document)
    .filter((text) => ![...taken, ...others].some(([of, part]) => of === document && text.includes(String(part))))
    .map((text) => `${document}: ${text.split('\n')[0]}`));
  assert.deepEqual(left, []);
});
