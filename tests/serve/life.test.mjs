/** What becomes of clients when the runtime crashes, the server is stopped, and its apps change. */
import assert from 'node:assert/strict';
import { ADDRCONFIG } from 'node:dns';
import dns from 'node:dns/promises';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { Control } from '../../bin/control.mjs';
import { listen } from '../../bin/listening.mjs';
import { Inbox, connected, demoKey, inState, rest } from '../worker/clients.mjs';
import { RawClient, action } from '../worker/raw_client.mjs';
import { Served, folder } from './served.mjs';

test('a runtime that crashes is started again, and clients resume', async (t) => {
  const served = await Served.start(t);
  const client = await connected(t, served);
  const channel = client.channels.get('persisted:crash');
  const inbox = await Inbox.of(channel);
  const { id } = client.connection;
  await channel.publish('a', '0');
  for (const round of ['1', '2']) {
    const seen = served.lines.length;
    const { runtimePid } = served;
    const lost = client.connection.once('disconnected');
    process.kill(runtimePid, 'SIGKILL');
    await lost;
    assert.deepEqual((await served.heard('the runtime ended', seen)).how, 'SIGKILL');
    await served.heard('ready', seen);
    assert.notEqual(served.runtimePid, runtimePid);
    await inState(client.connection, 'connected');
    await rest(served).channels.get('persisted:crash').publish('a', round);
    await inbox.until(round);
  }
  assert.deepEqual(inbox.data, ['0', '1', '2']);
  assert.equal(client.connection.id, id, 'resumed');
});

/**
 * Waits until a client has lost its connection and has it again, at its first try.
 * @param {import('ably').Realtime} client
 */
async function comesBack({ connection }) {
  const { id } = connection;
  /** @type {string[]} */
  const states = [];
  await new Promise((/** @type {(value?: unknown) => void} */ resolve) => connection.on(({ current }) => {
    if (states.push(current) === 3) resolve();
  }));
  assert.deepEqual(states, ['disconnected', 'connecting', 'connected']);
  assert.equal(connection.id, id, 'resumed');
}

/** Waits for a slow machine: else a client asks the net after four seconds whether WebSockets get through. */
const patient = /** @type {import('ably').ClientOptions} */ ({ webSocketSlowTimeout: 60_000, realtimeRequestTimeout: 60_000 });

test('who comes while there is no runtime waits for the next: the SDK is back at its first try, and nobody has left', async (t) => {
  const served = await Served.start(t);
  const member = await connected(t, served, { ...patient, clientId: 'member' });
  const watcher = await connected(t, served, patient);
  /** @type {string[]} */
  const seen = [];
  const { presence } = watcher.channels.get('crash');
  const updated = new Promise((resolve) => void presence.subscribe('update', resolve));
  await presence.subscribe(({ action }) => { seen.push(action); });
  await member.channels.get('crash').presence.enter();
  const back = [member, watcher].map(comesBack);
  const ended = served.heard('the runtime ended');
  process.kill(served.runtimePid, 'SIGKILL');
  await ended;
  assert.equal((await fetch(`${served.url}/health`)).status, 200, 'its port is open');
  await Promise.all(back);
  await member.channels.get('crash').presence.update('still here');
  await updated;
  assert.deepEqual(seen, ['enter', 'update']);
});

test('a stop refuses nobody on a socket that was given: the SDK is back at its first try, with the next process', async (t) => {
  const { descriptors, close } = await listen('127.0.0.1', 0);
  t.after(close);
  const file = path.join(folder(t), 'apps.json');
  fs.writeFileSync(file, appsOf([{ name: 'main', secret: first }]));
  const served = await Served.start(t, { args: ['--apps', file], sockets: descriptors });
  const options = { ...patient, key: `own.main:${first}` };
  const client = await connected(t, served, options);
  const direct = await connected(t, served, { ...options, transportParams: { channel: 'given' } });
  const inbox = await Inbox.of(client.channels.get('given'));
  const back = [client, direct].map(comesBack);
  assert.equal(await served.stop(), 0);
  const newcomer = fetch(`${served.url}/health`);
  await served.start();
  assert.equal((await newcomer).status, 200);
  await Promise.all(back);
  await direct.channels.get('given').publish('a', 'on');
  await inbox.until('on');
  assert.equal((await served.heard('all were sent away')).objects, 2);
  assert.ok(!served.lines.some(({ level }) => level === 'warn'), served.log);
});

test('who is given a socket that others reach needs apps', async (t) => {
  const { descriptors, close } = await listen('0.0.0.0', 0);
  t.after(close);
  await assert.rejects(Served.start(t, { sockets: descriptors }), /--host 0.0.0.0 can be reached by others/);
});

test('all addresses of a name are listened on', async (t) => {
  const addresses = await dns.lookup('localhost', { all: true, hints: ADDRCONFIG });
  const served = await Served.start(t, { args: ['--host', 'localhost'] });
  for (const { address, family } of addresses) {
    const host = family === 6 ? `[${address}]` : address;
    assert.equal((await fetch(`http://${host}:${served.port}/health`)).status, 200, host);
  }
});

test('a runtime starts again also when its folder was removed, with all that it needs there', async (t) => {
  const served = await Served.start(t);
  const run = path.join(served.data, 'run');
  const files = () => fs.readdirSync(run, { recursive: true }).map(String).toSorted();
  const before = files();
  fs.rmSync(run, { recursive: true });
  const seen = served.lines.length;
  process.kill(served.runtimePid, 'SIGKILL');
  const line = await Promise.race(['ready', 'the runtime did not start'].map((event) => served.heard(event, seen)));
  assert.equal(line.event, 'ready', line.message);
  assert.deepEqual(files(), before);
  const page = await fetch(served.url, { headers: { 'accept-encoding': 'br' } });
  assert.deepEqual([page.status, page.headers.get('content-encoding')], [200, 'br']);
});

test('SIGTERM tells every connection to come back, in steps, lets nobody in, and ends with status 0', async (t) => {
  const served = await Served.start(t, { args: ['--drain', '2'] });
  const options = { key: demoKey };
  /** @type {Record<string, string>[]} */
  const names = [{}, {}, { channel: 'stopped' }, { channel: 'stopped' }];
  const clients = names.map((name) => new RawClient(served, { ...options, ...name }));
  for (const client of clients) await client.expect(action.CONNECTED);
  const stream = (await fetch(`${served.url}/sse?channels=stopped&key=${demoKey}`)).text();
  /** @type {number[]} */
  const order = [];
  const told = clients.map(async (client, index) => {
    const frame = await client.expect(action.DISCONNECTED);
    order.push(index);
    return frame;
  });
  const stopping = served.heard('stopping');
  const stopped = served.stop();
  await stopping;
  await Promise.race(told);
  assert.ok(order.length < clients.length, 'not all at once');
  const late = new RawClient(served, options);
  const refusal = await late.expect(action.DISCONNECTED);
  assert.equal(refusal.error.code, 50320);
  assert.equal((await fetch(`${served.url}/ready`)).status, 503);
  assert.equal((await fetch(`${served.url}/health`)).status, 200);
  for (const { error } of await Promise.all(told)) {
    assert.deepEqual([error.code, error.message], [80003, 'the server is about to stop; reconnect and resume']);
  }
  assert.match(await stream, /80003/);
  assert.equal(await stopped, 0);
  await served.heard('stopped');
});

test('a stop takes no longer than there are connections, and a second signal ends it', { timeout: 30_000 }, async (t) => {
  const idle = await Served.start(t, { args: ['--drain', '60'] });
  const client = new RawClient(idle, { key: demoKey });
  await client.expect(action.CONNECTED);
  assert.equal(await idle.stop(), 0, 'the one that there is comes back at once');
  await idle.start();
  assert.equal(await idle.stop(), 0);

  const served = await Served.start(t, { args: ['--drain', '60'] });
  const controller = new AbortController();
  t.after(() => controller.abort());
  const stream = await fetch(`${served.url}/sse?channels=x&key=${demoKey}`, { signal: controller.signal });
  stream.text().catch(() => {});
  const stopped = served.stop();
  await served.heard('stopping');
  // The first ones may be taken for the same.
  const again = setInterval(() => {
    try {
      served.signal('SIGINT');
    } catch {
      // It has just ended.
    }
  }, 100);
  t.after(() => clearInterval(again));
  stopped.finally(() => clearInterval(again));
  assert.equal(await stopped, 0);
});

test('after a stop and a start clients go on where they were', async (t) => {
  const served = await Served.start(t);
  const client = await connected(t, served);
  const channel = client.channels.get('persisted:stop');
  const inbox = await Inbox.of(channel);
  const { id } = client.connection;
  await channel.publish('a', 'before');
  assert.equal(await served.stop(), 0);
  await served.start();
  await rest(served).channels.get('persisted:stop').publish('a', 'meanwhile');
  await inState(client.connection, 'connected');
  await channel.publish('a', 'after');
  await inbox.until('after');
  assert.deepEqual(inbox.data, ['before', 'meanwhile', 'after']);
  assert.equal(client.connection.id, id, 'resumed');
});

/** @param {{ name: string, secret: string, capability?: object }[]} keys @param {object[]} [namespaces] */
const appsOf = (keys, namespaces = []) => JSON.stringify({ apps: [{ id: 'own', keys, namespaces }] });
const [first, second, third] = ['one-secret-of-this-test', 'two-secrets-of-this-test', 'three-secrets-of-this-test'];

test('SIGHUP reads the apps again: who is not concerned stays, and who is comes back to be told', async (t) => {
  const file = path.join(folder(t), 'apps.json');
  fs.writeFileSync(file, appsOf([{ name: 'stays', secret: first }, { name: 'changes', secret: second }]));
  const served = await Served.start(t, { args: ['--apps', file] });
  const stays = await connected(t, served, { key: `own.stays:${first}` });
  const direct = await connected(t, served, { key: `own.stays:${first}`, transportParams: { channel: 'chat:1' } });
  const changes = await connected({ after() {} }, served, { key: `own.changes:${second}` });
  /** @type {string[]} */
  const states = [];
  for (const client of [stays, direct]) client.connection.on(({ current }) => states.push(current));
  const inbox = await Inbox.of(direct.channels.get('chat:1'));
  const failed = new Promise((/** @type {(change: import('ably').ConnectionStateChange) => void} */ resolve) =>
    changes.connection.once('failed', resolve));

  fs.writeFileSync(file, 'no JSON');
  served.signal('SIGHUP');
  assert.match((await served.heard('apps not read')).message, /is not JSON/);
  fs.writeFileSync(file, appsOf([{ name: 'stays', secret: 'short' }]));
  const seen = served.lines.length;
  served.signal('SIGHUP');
  assert.match((await served.heard('apps not read', seen)).message, /apps\[0\]\.keys\[0\]\.secret/);
  assert.equal(changes.connection.state, 'connected', 'what cannot be read changes nothing');

  const namespaces = [{ id: 'chat', persisted: true }];
  fs.writeFileSync(file, appsOf([{ name: 'stays', secret: first }, { name: 'changes', secret: third }], namespaces));
  served.signal('SIGHUP');
  await served.heard('apps read again');
  assert.equal((await failed).reason?.code, 40101);
  await connected(t, served, { key: `own.changes:${third}` });
  await stays.channels.get('chat:1').publish('a', 'on');
  await inbox.until('on');
  assert.deepEqual(states, [], 'nobody else was disturbed');
  assert.ok(!served.log.includes(second) && !served.log.includes(third));

  // What was read last is what counts after a crash, too.
  const before = served.lines.length;
  process.kill(served.runtimePid, 'SIGKILL');
  await served.heard('ready', before);
  assert.ok(await rest(served, { key: `own.changes:${third}` }).channels.get('x').history());
});

test('a SIGHUP while the runtime is away counts when it is back', async (t) => {
  const file = path.join(folder(t), 'apps.json');
  fs.writeFileSync(file, appsOf([{ name: 'main', secret: first }]));
  const served = await Served.start(t, { args: ['--apps', file] });
  const status = async (/** @type {string} */ secret) => (await fetch(`${served.url}/channels/x/messages?key=own.main:${secret}`)).status;
  process.kill(served.runtimePid, 'SIGKILL');
  await served.heard('the runtime ended');
  fs.writeFileSync(file, appsOf([{ name: 'main', secret: second }]));
  const seen = served.lines.length;
  served.signal('SIGHUP');
  await served.heard('apps read again', seen);
  assert.deepEqual([await status(first), await status(second)], [401, 200]);
});

test('a SIGHUP before the server is ready counts when it is', async (t) => {
  const file = path.join(folder(t), 'apps.json');
  fs.writeFileSync(file, '{"apps":[]}');
  const served = new Served(path.join(folder(t), 'data'), { args: ['--apps', file] });
  t.after(() => served.end());
  const started = served.start();
  // The apps have been read by then.
  await served.heard('no apps');
  fs.writeFileSync(file, appsOf([{ name: 'main', secret: first }]));
  served.signal('SIGHUP');
  await started;
  await served.heard('apps read again');
  assert.ok(await rest(served, { key: `own.main:${first}` }).channels.get('x').history());
});

test('SIGUSR1 and SIGUSR2 change nothing, and SIGQUIT stops as SIGTERM does', async (t) => {
  const served = await Served.start(t);
  const client = new RawClient(served, { key: demoKey });
  await client.expect(action.CONNECTED);
  for (const signal of /** @type {const} */ (['SIGUSR1', 'SIGUSR2'])) served.signal(signal);
  assert.equal((await fetch(`${served.url}/health`)).status, 200);
  const closed = served.closed();
  served.signal('SIGQUIT');
  assert.equal((await client.expect(action.DISCONNECTED)).error.code, 80003);
  assert.equal(await closed, 0);
  assert.doesNotMatch(served.log, /[Dd]ebugger/);
});

test('apps without the key of EVENT_KEY are refused at a SIGHUP as they are at the start', async (t) => {
  const file = path.join(folder(t), 'apps.json');
  fs.writeFileSync(file, appsOf([{ name: 'event', secret: first }]));
  const served = await Served.start(t, { args: ['--apps', file], environment: { EVENT_KEY: 'own.event' } });
  fs.writeFileSync(file, appsOf([{ name: 'other', secret: second }]));
  served.signal('SIGHUP');
  assert.match((await served.heard('apps not read')).message, /EVENT_KEY names none of the keys/);
  assert.equal((await fetch(served.url)).status, 200, 'the page is there');
  assert.ok(await rest(served, { key: `own.event:${first}` }).channels.get('x').history());
});

test('other apps are those of the worker once it begins to answer, however long it takes to tell all objects', async (t) => {
  const socket = path.join(folder(t), 'control');
  /** @type {(value?: unknown) => void} */
  let tell = () => {};
  const told = new Promise((resolve) => { tell = resolve; });
  const worker = http.createServer((request, response) => {
    request.resume();
    response.flushHeaders();
    void told.then(() => response.end('7'));
  }).listen(socket);
  t.after(() => worker.close());
  await once(worker, 'listening');
  assert.equal(await new Control(socket).setApps('{}', tell), 7);
});

test('apps in a configuration file are read again, too, and a stop needs nobody who reads the log', async (t) => {
  const file = path.join(folder(t), 'config.json');
  const configure = (/** @type {string} */ secret) => fs.writeFileSync(file, `{"apps":${appsOf([{ name: 'main', secret }])}}`);
  configure(first);
  const served = await Served.start(t, { args: ['--config', file] });
  configure(second);
  served.signal('SIGHUP');
  await served.heard('apps read again');
  const client = new RawClient(served, { key: `own.main:${second}` });
  await client.expect(action.CONNECTED);
  served.deafen();
  const stopped = served.stop();
  assert.equal((await client.expect(action.DISCONNECTED)).error.code, 80003);
  assert.equal(await stopped, 0);
});

test('at a stop only objects with clients are told, however many channels there were', async (t) => {
  const served = await Served.start(t);
  const body = JSON.stringify(Array.from({ length: 90 }, (_, index) => ({ channels: `c${index}`, messages: { data: 'x' } })));
  const headers = { 'content-type': 'application/json', authorization: `Basic ${btoa(demoKey)}` };
  assert.equal((await fetch(`${served.url}/messages`, { method: 'POST', headers, body })).status, 201);
  // A relay holds the one, its channel the other.
  const clients = [new RawClient(served, { key: demoKey }), new RawClient(served, { key: demoKey, channel: 'named' })];
  for (const client of clients) await client.expect(action.CONNECTED);
  const told = clients.map((client) => client.expect(action.DISCONNECTED));
  assert.equal(await served.stop(), 0);
  for (const { error } of await Promise.all(told)) assert.equal(error.code, 80003);
  assert.equal((await served.heard('all were sent away')).objects, 2);
});
