/** `courtside serve` as its users meet it: the page, clients, TLS, secrets, and one process for each data directory. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import zlib from 'node:zlib';
import { Inbox, connected, demoKey, rest } from '../worker/clients.mjs';
import { RawClient, action } from '../worker/raw_client.mjs';
import { Served, behindProxy, certify, folder, run } from './served.mjs';

const secret = 'a-secret-of-this-test-alone';
const adminToken = 'an-admin-token-of-this-test';
const apps = JSON.stringify({ apps: [{ id: 'own', keys: [{ name: 'main', secret }] }] });
const key = `own.main:${secret}`;

test('without apps it serves the demo app and the page, and says so', async (t) => {
  const served = await Served.start(t);
  const { note } = await served.heard('demo app');
  assert.match(note, /its key is known to all/);

  /** @type {[string, string][]} */
  const files = [
    ['/', 'text/html; charset=utf-8'], ['/index.html', 'text/html; charset=utf-8'],
    ['/stage', 'text/html; charset=utf-8'], ['/event/event.css', 'text/css; charset=utf-8'],
    ['/event/main.js', 'text/javascript; charset=utf-8'], ['/vendor/ably.min.js', 'text/javascript; charset=utf-8'],
  ];
  for (const [name, type] of files) {
    const file = path.resolve('www', ({ '/': 'index.html', '/stage': 'stage.html' })[name] ?? name.slice(1));
    const plain = { 'accept-encoding': 'identity' };
    const response = await fetch(served.url + name, { headers: plain });
    assert.equal(response.status, 200, name);
    assert.equal(response.headers.get('content-type'), type);
    assert.match(response.headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/, name);
    assert.equal(await response.text(), fs.readFileSync(file, 'utf8'));
    const head = await fetch(served.url + name, { method: 'HEAD', headers: plain });
    assert.equal(head.headers.get('content-length'), String(fs.statSync(file).size));
    const again = await fetch(served.url + name, { headers: { ...plain, 'if-none-match': response.headers.get('etag') ?? '' } });
    assert.equal(again.status, 304);
  }
  for (const nothing of ['/embed/', '/embed/nope', '/embed/score/']) {
    const answer = await fetch(`${served.url}${nothing}`);
    assert.deepEqual([answer.status, (await answer.json()).error.code], [404, 40400], nothing);
  }
  const embedded = await fetch(`${served.url}/embed/score`);
  assert.match(embedded.headers.get('content-security-policy') ?? '', /frame-ancestors \*$/);
  assert.equal(embedded.headers.get('x-frame-options'), null);
  for (const name of ['/bin/demo.json', '/../bin/demo.json', '/%2e%2e/bin/demo.json', '/vendor', '/vendor/', '/_headers']) {
    assert.equal((await fetch(served.url + name)).status, 404, name);
  }
  for (const name of ['/health', '/ready']) {
    const response = await fetch(served.url + name);
    assert.deepEqual([response.status, await response.text()], [200, 'ok\n'], name);
  }
  for (const name of ['/health', '/ready', '/console', '/event/event.css', '/']) {
    const response = await fetch(served.url + name, { method: 'POST', body: 'x' });
    assert.deepEqual([response.status, response.headers.get('allow')], [405, 'GET, HEAD, OPTIONS'], name);
    assert.equal((await response.json()).error.code, 40500, name);
  }
  for (const host of ['a b', '[::', 'x:99999']) {
    const [answer] = await once(http.get(`${served.url}/time`, { headers: { host } }), 'response');
    assert.deepEqual([answer.statusCode, answer.headers['x-ably-errorcode']], [400, '40000'], host);
    answer.resume();
  }

  const client = await connected(t, served);
  const inbox = await Inbox.of(client.channels.get('served'));
  await rest(served).channels.get('served').publish('a', 'by REST');
  await client.channels.get('served').publish('a', 'by WebSocket');
  await inbox.until(2);
  assert.deepEqual(inbox.data, ['by REST', 'by WebSocket']);
});

test('files of the page come compressed to who takes it, and once', async (t) => {
  const served = await Served.start(t);
  /** @param {string} method @param {string} accepted @param {Record<string, string>} [more] */
  const asked = async (method, accepted, more) => {
    const headers = { 'accept-encoding': accepted, ...more };
    const request = http.request(`${served.url}/vendor/ably.min.js`, { method, headers }).end();
    const [answer] = await once(request, 'response');
    const bytes = Buffer.concat(await answer.toArray());
    return { status: answer.statusCode, headers: answer.headers, bytes };
  };
  const whole = fs.readFileSync('www/vendor/ably.min.js');
  const tags = new Set();
  for (const [accepted, encoding, decode] of /** @type {[string, string, (bytes: Buffer) => Buffer][]} */ ([
    ['gzip, deflate, br', 'br', zlib.brotliDecompressSync], ['gzip;q=1.0, br;q=0', 'gzip', zlib.gunzipSync],
  ])) {
    const { headers, bytes } = await asked('GET', accepted);
    assert.deepEqual([headers['content-encoding'], headers.vary], [encoding, 'accept-encoding']);
    assert.equal(headers['content-length'], String(bytes.length));
    assert.ok(bytes.length < whole.length / 3 && decode(bytes).equals(whole));
    const head = await asked('HEAD', accepted);
    assert.deepEqual([head.headers['content-length'], head.bytes.length], [headers['content-length'], 0]);
    const again = await asked('GET', accepted, { 'if-none-match': String(headers.etag) });
    assert.deepEqual([again.status, again.headers.vary], [304, 'accept-encoding']);
    tags.add(headers.etag);
  }
  const plain = await asked('GET', 'identity');
  assert.ok(plain.headers['content-encoding'] === undefined && plain.bytes.equals(whole));
  assert.equal(tags.add(plain.headers.etag).size, 3);
});

test('connections are not compressed, whatever a client offers', async (t) => {
  const served = await Served.start(t);
  const socket = new WebSocket(`${served.url.replace('http', 'ws')}/?key=${demoKey}`);
  t.after(() => socket.close());
  await once(socket, 'message');
  assert.equal(socket.extensions, '', 'Node offers permessage-deflate, which costs thrice the memory');
});

test('secrets are in no file, no argument and no log, and work', async (t) => {
  const file = path.join(folder(t), 'apps.json');
  fs.writeFileSync(file, apps);
  const environment = { COURTSIDE_ADMIN_TOKEN: adminToken };
  const served = await Served.start(t, { args: ['--apps', file, '--log-level', 'debug'], environment });
  assert.equal(await rest(served, { key }).time() > 0, true);
  await rest(served, { key }).channels.get('x').publish('a', 'b');
  const made = await fetch(`${served.url}/apps`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
    body: '{"keys":[{}]}',
  });
  assert.equal(made.status, 201);

  const runtime = served.runtimePid;
  const args = fs.readFileSync(`/proc/${runtime}/cmdline`, 'utf8').split('\0');
  const config = fs.readFileSync(/** @type {string} */ (args.find((arg) => arg.endsWith('.capnp'))), 'utf8');
  for (const [where, text] of Object.entries({ args: args.join(' '), config, log: served.log })) {
    assert.ok(!text.includes(secret) && !text.includes(adminToken), where);
    assert.notEqual(text, '', where);
  }
  for (const { time, level, event } of served.lines) {
    assert.ok(Date.parse(time) > 0 && event.length > 0);
    assert.ok(['debug', 'info', 'warn', 'error'].includes(level));
  }
});

test('apps that the worker cannot read are refused at the start, in its words', async (t) => {
  const data = path.join(folder(t), 'data');
  const bad = { apps: [{ id: 'own', keys: [{ name: 'main', secret: 'short' }] }] };
  const { code, output } = await run(['serve', '--data', data, '--port', '0', '--apps', JSON.stringify(bad)]);
  assert.equal(code, 1);
  assert.match(output, /^courtside: the JSON of the apps: apps\[0\]\.keys\[0\]\.secret/m);
  assert.doesNotMatch(output, /"ready"/);
});

test('without any app it says that nobody can connect', async (t) => {
  const served = await Served.start(t, { args: ['--apps', '{"apps":[]}'], environment: { COURTSIDE_POTR: '1' } });
  assert.match((await served.heard('no apps')).note, /nobody can connect/);
  assert.deepEqual((await served.heard('unknown variables')).variables, ['COURTSIDE_POTR']);
});

test('a second process on the same data is refused, until the first is gone, however it went', async (t) => {
  const served = await Served.start(t);
  const second = ['serve', '--data', served.data, '--port', '0'];
  const { code, output } = await run(second);
  assert.equal(code, 1);
  assert.match(output, new RegExp(`${served.data} is in use by process ${served.pid}: end that, or name another`));
  const runtime = served.runtimePid;
  // Not its group: the runtime has to end by itself, and its lock with it.
  served.signal('SIGKILL');
  const next = new Served(served.data);
  t.after(() => next.end());
  await next.start();
  // What has ended and was not waited for yet still has a name, but no arguments.
  const left = fs.existsSync(`/proc/${runtime}`) ? fs.readFileSync(`/proc/${runtime}/cmdline`, 'utf8') : '';
  assert.equal(left, '', 'no runtime is left behind');
});

test('a port that is taken is refused, by its option', async (t) => {
  const other = net.createServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (other.address());
  const { code, output } = await run(['serve', '--data', path.join(folder(t), 'data'), '--port', String(port)]);
  assert.equal(code, 1);
  assert.match(output, new RegExp(`courtside: --host 127.0.0.1 and --port ${port} cannot be had: address already in use`));
});

test('a data directory that cannot be written is refused', async (t) => {
  const file = path.join(folder(t), 'file');
  fs.writeFileSync(file, '');
  const { code, output } = await run(['serve', '--data', path.join(file, 'data'), '--port', '0']);
  assert.equal(code, 1);
  assert.match(output, /cannot be written \(ENOTDIR\)/);
  const nowhere = await run(['serve', '--data', '/proc/courtside', '--port', '0']);
  assert.deepEqual([nowhere.code, /\/proc\/courtside cannot be written/.test(nowhere.output)], [1, true]);
});

test('it serves TLS by itself', async (t) => {
  const { cert, key: tlsKey } = certify(folder(t));
  const served = await Served.start(t, { args: ['--tls-cert', cert, '--tls-key', tlsKey] });
  assert.match(served.url, /^https:/);
  const time = await new Promise((resolve, reject) => {
    https.get(`${served.url}/time`, { ca: fs.readFileSync(cert), servername: 'localhost' }, (response) => {
      response.setEncoding('utf8').on('data', resolve);
    }).on('error', reject);
  });
  assert.ok(JSON.parse(/** @type {string} */ (time))[0] > 0);

  // What an image's health check asks, where the image serves TLS and where it does not.
  const [, check] = fs.readFileSync('deploy/Dockerfile', 'utf8').match(/^HEALTHCHECK[^]*?CMD (.*)$/m) ?? [];
  const [, ...asked] = JSON.parse(String(check));
  const status = (/** @type {Record<string, string>} */ env) => spawnSync(process.execPath, asked, { env }).status;
  const plain = await Served.start(t);
  assert.equal(status({ COURTSIDE_PORT: String(served.port), COURTSIDE_TLS_CERT: cert }), 0);
  assert.equal(status({ COURTSIDE_PORT: String(plain.port) }), 0);
  assert.equal(status({ COURTSIDE_PORT: String(served.port) }), 1);
});

/** Guesses of a secret, each from another address, if headers are believed. @param {Served} served */
async function guesses(served) {
  const codes = new Set();
  for (let guess = 0; guess < 60; guess++) {
    const response = await fetch(`${served.url}/channels/x/messages`, {
      headers: {
        authorization: `Basic ${btoa('demo.key1:wrong')}`,
        'cf-connecting-ip': `10.0.0.${guess}`, 'x-forwarded-for': `10.9.9.9, 10.0.1.${guess}`,
      },
    });
    codes.add((await response.json()).error.code);
  }
  return [...codes];
}

test('an address is the one that a client has, and not one that it invents', async (t) => {
  assert.deepEqual(await guesses(await Served.start(t)), [40101, 42910]);
});

test('behind a proxy, an address is the one that the proxy saw', async (t) => {
  const served = await Served.start(t, { args: behindProxy });
  assert.deepEqual(await guesses(served), [40101]);
});

test('what an operator does is a line of the log', async (t) => {
  const token = 'an-admin-token-of-this-test';
  const served = await Served.start(t, { args: ['--admin-token', token] });
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const made = await fetch(`${served.url}/apps`, { method: 'POST', headers, body: '{"keys":[{}]}' });
  const { appId } = await made.json();
  const { action, by, target, level } = await served.heard('audit');
  assert.deepEqual({ action, by, target, level }, { action: 'create app', by: 'operator', target: appId, level: 'info' });
});

test('an error leads to where it is explained', async (t) => {
  const served = await Served.start(t);
  assert.equal(await served.stop(), 0);
  // On a port that it is told, as usual: where it is to be reached is then known beforehand.
  await served.start();
  const answer = await fetch(`${served.url}/channels/x/messages?key=demo.key1:another-secret`);
  const { error } = /** @type {{ error: { code: number, href: string } }} */ (await answer.json());
  assert.equal(error.href, `${served.url}/errors#${error.code}`);
  const client = new RawClient(served, { key: 'demo.key1:another-secret' });
  assert.equal((await client.expect(action.ERROR)).error.href, error.href);
  const page = await fetch(error.href);
  assert.match(page.headers.get('content-security-policy') ?? '', /style-src 'self'/);
  assert.match(await page.text(), new RegExp(`<tr id="${error.code}">`));
});

test('without an event there is a console, and no event page', async (t) => {
  const apps = { apps: [{ id: 'own', keys: [{ name: 'main', secret: 'a-secret-of-our-own' }] }] };
  const served = await Served.start(t, { args: ['--apps', JSON.stringify(apps)] });
  const status = async (/** @type {string} */ path) => (await fetch(`${served.url}${path}`)).status;
  for (const path of ['/console', '/console/console.js', '/errors', '/vendor/ably.min.js']) assert.equal(await status(path), 200, path);
  for (const path of ['/', '/stage', '/stage.html', '/index.html', '/embed/score']) assert.equal(await status(path), 404, path);
});
