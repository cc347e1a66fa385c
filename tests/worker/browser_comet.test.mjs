/** Browsers whose network lets no WebSocket through: they poll, and miss nothing. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { launch, skip } from './browser.mjs';
import { proxy, refuse } from './browser_proxy.mjs';
import { connected, rest, wholeHistory } from './clients.mjs';
import { unlessEvicted } from './evictions.mjs';
import { unlessKilled } from './kills.mjs';
import { startRuntime } from './runtime.mjs';
import { Venue, part } from './venue.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

/**
 * What a proxy may do to a WebSocket, and the score once another point is given.
 * @type {[string, (socket: import('node:stream').Duplex) => void, string][]}
 */
const blocks = [
  ['get no answer', () => {}, '15–0'],
  ['are refused', refuse, '30–0'],
  ['break off', (socket) => void socket.destroy(), '40–0'],
];

for (const [what, onUpgrade, score] of blocks) {
  test(`a browser whose WebSockets ${what} gets there by itself`, { skip }, async (t) => {
    const venue = await Venue.of(t, runtime);
    const host = await venue.host({ url: await proxy(t, runtime, onUpgrade) });
    const used = await host.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname));
    assert.ok(used.includes('/comet/connect'), 'it polls');

    const fan = await venue.attendee('Fan');
    await part(host, 'score').getByRole('button', { name: 'Lund', exact: true }).click();
    for (const one of [host, fan]) await one.locator('.call').getByText(score, { exact: true }).waitFor();
  });
}

/** A loaded machine takes longer from one poll to the next than its relay is left in peace. */
const once = unlessEvicted('who polls is sent back as often as its relay loses its memory in between');
const kept = unlessKilled('what ends its connection is not its token alone');

test('a browser that polls does all that others do, from a page of another origin too', { skip: skip || once.skip || kept.skip }, async (t) => {
  const browser = await launch();
  t.after(() => browser.close());
  const blocked = await proxy(t, runtime, refuse);
  // Its own server is the runtime; what it talks to is the proxy, at another port, which is another origin. That page's
  // policy allows itself only, which another's page would not have.
  const page = await (await browser.newContext({ bypassCSP: true })).newPage();
  await page.goto(runtime.url);
  const token = (await rest(runtime).auth.requestToken({ ttl: 4_000, clientId: 'ann' })).token;
  const later = (await rest(runtime).auth.requestToken({ clientId: 'ann' })).token;
  for (const data of ['old 0', 'old 1', 'old 2']) await rest(runtime).channels.get('browser').publish('a', data);
  const watcher = await connected(t, runtime);
  /** @type {string[]} */
  const present = [];
  const left = new Promise((resolve) => void watcher.channels.get('browser').presence.subscribe((event) => {
    present.push(`${event.action} ${event.clientId}`);
    if (event.action === 'leave') resolve(undefined);
  }));
  await watcher.channels.get('browser').attach();

  const did = await page.evaluate(inBrowser, { port: Number(new URL(blocked).port), tokens: [token, later] });
  const history = (await wholeHistory(rest(runtime).channels.get('browser'))).map(({ data }) => data);
  assert.deepEqual(did.messages, history.slice(1));
  assert.deepEqual(did.states, ['connecting', 'connected', 'disconnected 40142', 'connecting', 'connected', 'closing', 'closed']);
  assert.equal(did.ids.length, 1);
  assert.equal(history.length, 3 + 20 + 1);
  await left;
  assert.deepEqual(present, ['enter ann', 'leave ann']);
});

/**
 * What a page does with the SDK that it has loaded: it publishes, listens, is there, renews its token and closes.
 * @param {{ port: number, tokens: string[] }} of
 */
async function inBrowser({ port, tokens }) {
  const { Realtime } = /** @type {typeof import('ably')} */ (/** @type {any} */ (window).Ably);
  const client = new Realtime({
    authCallback: (_, give) => give(null, String(tokens.length > 1 ? tokens.shift() : tokens[0])),
    endpoint: '127.0.0.1', port, tls: false, transports: ['xhr_polling'], logLevel: 0,
  });
  /** @type {string[]} */
  const states = [];
  const ids = new Set();
  client.connection.on(({ current, reason }) => {
    states.push(current === 'disconnected' ? `${current} ${reason?.code}` : current);
    if (client.connection.id) ids.add(client.connection.id);
  });
  const reached = (/** @type {import('ably').ConnectionEvent} */ state) => client.connection.whenState(/** @type {any} */ (state));
  const channel = client.channels.get('browser', { params: { rewind: '2' } });
  /** @type {string[]} */
  const messages = [];
  /** @type {(value?: unknown) => void} */
  let last = () => {};
  const all = new Promise((resolve) => { last = resolve; });
  await channel.subscribe((message) => {
    messages.push(message.data);
    if (message.data === 'after') last();
  });
  await channel.presence.enter();
  await Promise.all(Array.from({ length: 20 }, (_, index) => channel.publish('a', `${index}`)));
  // The first token ends meanwhile, and the connection goes on with another.
  await client.connection.once('disconnected');
  await reached('connected');
  await channel.publish('a', 'after');
  await all;
  client.close();
  await reached('closed');
  return { messages, states: ['connecting', ...states.filter((state, index) => state !== 'connecting' || index > 0)], ids: [...ids] };
}
