/** Browsers with older SDKs: they connect over HTTP, and then change to a WebSocket, if they are let. */
import assert from 'node:assert/strict';
import path from 'node:path';
import test, { after } from 'node:test';
import { launch, skip } from './browser.mjs';
import { proxy, refuse } from './browser_proxy.mjs';
import { Inbox, connected, demoKey, rest, wholeHistory } from './clients.mjs';
import { unlessEvicted } from './evictions.mjs';
import { isKilling, unlessKilled } from './kills.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

const bundle = (/** @type {string} */ version) => (
  path.resolve(import.meta.dirname, `../../node_modules/ably-${version}/build/ably.js`));

/**
 * Version 1 of the protocol changes transports in a way that needs what no server of version 2 has: it stays with
 * polling.
 */
const versions = [
  { version: '1.2.50', blocked: false, transport: 'web_socket' },
  { version: '1.2.50', blocked: true, transport: 'xhr_streaming' },
  { version: '1.2.30', blocked: false, transport: 'xhr_polling' },
];

const anew = 'a client of version 1 whose connection goes between two polls gets a new one, and is told of the gap';
const polling = { skip: unlessEvicted(anew).skip || unlessKilled(anew).skip };

for (const { version, blocked, transport } of versions) {
  const skipped = skip || (transport === 'xhr_polling' && polling.skip);
  test(`a browser with version ${version} changes to ${transport} at load, and loses nothing`, { skip: skipped }, async (t) => {
    const name = `browser-${version}-${transport}`;
    const { port } = blocked ? new URL(await proxy(t, runtime, refuse)) : runtime;
    const watcher = (await connected(t, runtime)).channels.get(name);
    const inbox = await Inbox.of(watcher);
    /** @type {string[]} */
    const seen = [];
    const left = new Promise((resolve) => void watcher.presence.subscribe(({ action, clientId }) => {
      seen.push(`${action} ${clientId}`);
      if (action === 'leave') resolve(undefined);
    }));
    const browser = await launch();
    t.after(() => browser.close());
    const page = await (await browser.newContext({ bypassCSP: true })).newPage();
    await page.goto(`${runtime.url}/event/event.css`);
    await page.addScriptTag({ path: bundle(version) });
    const did = page.evaluate(inBrowser, { port: Number(port), key: demoKey, name, count, transport });
    const other = rest(runtime).channels.get(name);
    await inbox.until('own 0');
    for (let index = 0; index < 20; index += 1) await other.publish('a', `other ${index}`);
    const { received, ids, errors, members, used, published } = await did;
    const history = (await wholeHistory(other)).map(({ data }) => data);
    const own = history.filter((data) => data.startsWith('own'));
    assert.deepEqual(own, Array.from({ length: published }, (_, index) => `own ${index}`), 'acknowledged, in order, once');
    assert.deepEqual(received, history.slice(0, history.indexOf('end') + 1));
    const told = errors.filter((error) => !isKilling || !error.endsWith(' 80003'));
    assert.deepEqual([ids.length, members, told], [1, ['ann'], []]);
    assert.equal(used, transport);
    await left;
    assert.deepEqual(seen, ['enter ann', 'leave ann']);
  });
}

/** How much the page publishes before it has another transport, and until it has. */
const count = 60;

/**
 * What a page does from the start, while its SDK looks for a better transport.
 * @param {{ port: number, key: string, name: string, count: number, transport: string }} of
 */
async function inBrowser({ port, key, name, count, transport }) {
  const { Realtime } = /** @type {any} */ (window).Ably;
  const client = new Realtime.Promise({
    key, clientId: 'ann', realtimeHost: '127.0.0.1', restHost: '127.0.0.1', port, tls: false, fallbackHosts: [], logLevel: 0,
  });
  const ids = new Set();
  /** @type {string[]} */
  const errors = [];
  client.connection.on((/** @type {any} */ change) => {
    if (client.connection.id) ids.add(client.connection.id);
    // A goodbye has a reason too.
    if (change.reason && !['closing', 'closed'].includes(change.current)) errors.push(`${change.current} ${change.reason.code}`);
  });
  const channel = client.channels.get(name);
  /** @type {string[]} */
  const received = [];
  const waiting = { until: '', resolve: () => {} };
  const manager = client.connection.connectionManager;
  const used = () => manager.activeProtocol?.getTransport().shortName;
  const entered = channel.presence.enter();
  await channel.subscribe((/** @type {any} */ message) => {
    received.push(message.data);
    if (message.data === waiting.until) waiting.resolve();
  });
  await Promise.all([
    entered,
    ...Array.from({ length: count / 2 }, (_, index) => channel.publish('a', `own ${index}`)),
  ]);
  let next = count / 2;
  while (next < count || (used() !== transport && next < 10 * count)) await channel.publish('a', `own ${next++}`);
  return finish();

  async function finish() {
    const last = new Promise((resolve) => Object.assign(waiting, { until: 'end', resolve }));
    await channel.publish('a', 'end');
    await last;
    const members = (await channel.presence.get()).map((/** @type {any} */ member) => member.clientId);
    const transport = used();
    client.close();
    await new Promise((resolve) => client.connection.once('closed', resolve));
    return { received, ids: [...ids], errors, members, used: transport, published: next };
  }
}
