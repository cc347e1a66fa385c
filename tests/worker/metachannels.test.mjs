/** Metachannels, by the published SDK: what an app tells of itself to whoever reads, and that nobody else does. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Manager } from 'socket.io-client';
import { Heard, Inbox, closed, connected, rest } from './clients.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

const ADMIN_TOKEN = 'admin-token-of-this-test';
const runtime = await startRuntime(demoApps, { variables: { ADMIN_TOKEN }, tellsCounts: true });
test.after(() => runtime.stop());

const [lifecycle, log, statistics] = ['[meta]channel.lifecycle', '[meta]log', '[meta]stats:minute'];
const key = 'demo.key1:local-only';
const authorization = `Basic ${btoa(key)}`;

/** @param {string} method @param {string} path @param {object} [body] */
async function operate(method, path, body) {
  const headers = { authorization, 'content-type': 'application/json' };
  const response = await fetch(runtime.url + path, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, body: await response.json().catch(() => undefined) };
}

/** What a metachannel says from now on. @param {import('ably').Realtime} client @param {string} name */
async function heard(client, name) {
  const said = new Heard();
  await client.channels.get(name).subscribe(said.hear);
  return said;
}

test('nothing is published while nobody reads', async (t) => {
  const client = await connected(t, runtime);
  await Inbox.of(client.channels.get('unheard'));
  await client.channels.get('unheard').publish('a', 'x');
  assert.equal((await operate('POST', '/apps/demo/bans', { clientId: 'mallory' })).status, 201);
  await heard(client, log);
  for (const name of [lifecycle, log, statistics]) {
    assert.deepEqual((await rest(runtime).channels.get(name).history()).items, [], name);
  }
});

test('who reads hears of a channel as soon as it comes into use, and of no metachannel', async (t) => {
  const reader = await connected(t, runtime);
  const said = await heard(reader, lifecycle);
  const client = await connected(t, runtime);
  await client.channels.get('opened').attach();
  const opened = await said.until(({ name, data }) => name === 'channel.opened' && data.name === 'opened');
  assert.deepEqual(opened.data, { channelId: 'opened', name: 'opened', status: { isActive: true } });
  const { items } = await rest(runtime).channels.get(lifecycle).history();
  assert.ok(items.some(({ id }) => id === opened.id), 'and its history has it');
  await client.channels.get('opened next').attach();
  await said.until(({ data }) => data.name === 'opened next');
  assert.ok(!said.all.some(({ data }) => data.name.startsWith('[meta]')), 'of metachannels nothing is told');
  const channels = await operate('GET', '/channels?by=id');
  assert.ok(channels.body.every((/** @type {string} */ name) => !name.startsWith('[meta]')), JSON.stringify(channels.body));
});

test('who reads the log hears what operators do, as the audit has it', async (t) => {
  const reader = await connected(t, runtime);
  const said = await heard(reader, log);
  const client = await connected(t, runtime, { clientId: 'ann' });
  await operate('POST', `/apps/demo/connections/${client.connection.id}/disconnect`, { reconnect: true });
  await operate('POST', '/apps/demo/bans', { clientId: 'eve', reason: 'spam' });
  await operate('DELETE', '/channels/opened/messages');
  await said.until(({ name }) => name === 'purge');
  const audit = (await operate('GET', '/apps/demo/audit?limit=3')).body;
  assert.deepEqual(said.all.map(({ data }) => data), audit.reverse());
  assert.deepEqual(said.all.map(({ name }) => name), said.all.map(({ data }) => data.action));
  await runtime.evict('App');
  await operate('POST', '/apps/demo/bans', { clientId: 'pat' });
  await said.until(({ data }) => data.target === 'clientId pat');
});

test('who reads statistics has the minute as it grows', { timeout: 60_000 }, async (t) => {
  const reader = await connected(t, runtime);
  const said = await heard(reader, statistics);
  const name = 'messages.inbound.rest.messages.count';
  const told = () => {
    const minutes = new Map(said.all.map(({ data }) => [data.intervalId, data.entries[name] ?? 0]));
    return [...minutes.values()].reduce((sum, count) => sum + count, 0);
  };
  // A busy object would not report a second time before a minute has passed.
  for (let times = 0; times < 3; times++) {
    const before = told();
    await rest(runtime).channels.get('counted').publish('a', 'x');
    await said.until(() => told() > before);
  }
  const { data } = await said.until(({ data: { entries, inProgress } }) => inProgress && entries[name] > 0);
  assert.deepEqual([data.unit, data.appId], ['minute', 'demo']);
  assert.match(data.intervalId, /^\d{4}-\d\d-\d\d:\d\d:\d\d$/);
  const out = said.all.map(({ data: { entries } }) => entries['messages.outbound.all.messages.count'] ?? 0);
  assert.ok(Math.max(...out) <= 1, 'what is told on metachannels is counted nowhere; the one is of the first test');
  const listed = (await rest(runtime).stats({ start: 0, limit: 5 })).items.map(({ intervalId }) => intervalId);
  assert.ok(said.all.every(({ data: { intervalId } }) => listed.includes(intervalId)));
});

test('nobody says anything there, by whatever door', async (t) => {
  const client = await connected(t, runtime, { clientId: 'ann' });
  const channel = client.channels.get(log);
  await channel.attach();
  const refused = { code: 40160 };
  await assert.rejects(channel.publish('a', 'x'), refused);
  await assert.rejects(channel.presence.enter(), refused);
  await assert.rejects(channel.annotations.publish('01826232498871-001@abcdefghij:001', { type: 'a:flag.v1', name: 'b' }), refused);
  for (const name of [lifecycle, log, statistics]) {
    const at = `/channels/${encodeURIComponent(name)}`;
    assert.equal((await operate('POST', `${at}/messages`, { data: 'x' })).body.error.code, 40160);
    assert.equal((await operate('DELETE', `${at}/messages`)).body.error.code, 40160);
    assert.equal((await operate('DELETE', `/apps/demo${at}/messages`)).body.error.code, 40160);
    assert.equal((await operate('GET', `${at}/presence`)).body.error.code, 40160);
    assert.equal((await operate('POST', `${at}/object`, { mapSet: { key: 'a', value: { string: 'b' } } })).body.error.code, 40160);
  }
  const batch = await operate('POST', '/messages', { channels: [log], messages: { data: 'x' } });
  assert.equal(batch.body.results?.[0]?.error?.code ?? batch.body[0].results[0].error.code, 40160);
  assert.equal((await operate('GET', `/channels/${encodeURIComponent('[meta]clientEvents:x')}/messages`)).body.error.code, 40010);
  const other = await connected(t, runtime, { key: 'demo.event:local-only' });
  await assert.rejects(other.channels.get(log).attach(), refused);
});

test('an event stream reads them, too', async () => {
  const stop = new AbortController();
  const stream = await fetch(`${runtime.url}/sse?key=${key}&channels=${encodeURIComponent(log)}`, { signal: stop.signal });
  const reader = /** @type {ReadableStream} */ (stream.body).pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const until = async (/** @type {string} */ part) => {
    while (!text.includes(part)) text += (await reader.read()).value;
  };
  await operate('POST', '/apps/demo/bans', { clientId: 'sse' });
  await until('clientId sse');
  stop.abort();
  assert.match(text, /"name":"ban"/);
});

test('so does Socket.IO, while other doors know no such names', async (t) => {
  // A bracket in the address would be that of a host to this client.
  const socket = new Manager(runtime.url, { transports: ['websocket'] }).socket(`/${log}`, { auth: { key } });
  t.after(() => socket.close());
  await new Promise((resolve, reject) => socket.once('connect', () => resolve(undefined)).once('connect_error', reject));
  const heard = new Promise((resolve) => socket.once('unban', resolve));
  const refused = await socket.emitWithAck('a', 'x');
  assert.equal(refused.error.code, 40160);
  await operate('DELETE', '/apps/demo/bans?clientId=sse');
  assert.equal(/** @type {any} */ (await heard).target, 'clientId sse');

  const pusher = new WebSocket(`${runtime.url.replace('http', 'ws')}/app/demo.key1?protocol=7`);
  t.after(() => pusher.close());
  const said = new Heard();
  pusher.onmessage = ({ data }) => said.hear(JSON.parse(data));
  await said.until(({ event }) => event === 'pusher:connection_established');
  pusher.send(JSON.stringify({ event: 'pusher:subscribe', data: { channel: log } }));
  const { data } = await said.until(({ event }) => event === 'pusher:subscription_error');
  assert.match(JSON.stringify(data), /40010/);
});

test('the app falls silent when the last reader has gone', async (t) => {
  const [reader, other] = [await connected(t, runtime), await connected(t, runtime)];
  await heard(reader, lifecycle);
  await closed(reader);
  // The first that nobody hears tells the app that nobody reads.
  for (let number = 0; number < 50; number++) await other.channels.get(`silent-${number}`).attach();
  const said = await heard(other, lifecycle);
  await other.channels.get('heard').attach();
  await said.until(({ data }) => data.name === 'heard');
  const { items } = await rest(runtime).channels.get(lifecycle).history({ limit: 100 });
  const names = items.map(({ data }) => data.name);
  assert.ok(names.includes('heard') && !names.includes('silent-49'), JSON.stringify(names));
});
