/** The browser build of Socket.IO's client, as it is published, in a page of another origin. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import path from 'node:path';
import test, { after } from 'node:test';
import { launch, skip } from './browser.mjs';
import { rest, wholeHistory } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

const build = path.resolve(import.meta.dirname, '../../node_modules/socket.io-client/dist/socket.io.min.js');

test('a page talks, changes from polls to a WebSocket, and misses nothing', { skip }, async (t) => {
  const pages = http.createServer((_, response) => void response.setHeader('content-type', 'text/html').end('<!doctype html>'));
  pages.listen(0, '127.0.0.1');
  await once(pages, 'listening');
  t.after(() => void pages.close());
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (pages.address()).port}`);
  await page.addScriptTag({ path: build });
  const { token } = await rest(runtime).auth.requestToken({ clientId: 'ann' });

  const did = await page.evaluate(inBrowser, { url: runtime.url, token });
  assert.deepEqual(did.first, { transport: 'websocket', error: null });
  assert.deepEqual([did.recovered, did.bytes], [true, [0, 10, 255]]);
  assert.equal(did.refused.code, 40102);
  const history = await wholeHistory(rest(runtime).channels.get('page'));
  assert.deepEqual(did.heard, history.filter(({ name }) => name === 'b').map(({ data }) => data));
  assert.deepEqual(history.filter(({ name }) => name !== 'b').map(({ clientId }) => clientId), ['ann', 'ann']);
});

/** @param {{ url: string, token: string }} server */
async function inBrowser({ url, token }) {
  const { io } = /** @type {any} */ (window);
  const connected = (/** @type {any} */ socket) => new Promise((resolve) => socket.once('connect', resolve));
  const options = { auth: { token }, forceNew: true, reconnectionDelay: 50 };
  const [socket, other] = [io(`${url}/page`, options), io(`${url}/page`, options)];
  await Promise.all([connected(socket), connected(other)]);
  /** @type {string[]} */
  const heard = [];
  socket.on('b', (/** @type {string} */ data) => heard.push(data));
  const { engine } = socket.io;
  while (engine.transport.name !== 'websocket') await new Promise((resolve) => engine.once('upgrade', resolve));
  const { error } = await socket.emitWithAck('a', 'hello');
  const first = { transport: engine.transport.name, error };
  const bytes = new Promise((resolve) => other.once('bytes', (/** @type {ArrayBuffer} */ data) => resolve([...new Uint8Array(data)])));
  await socket.emitWithAck('bytes', new Uint8Array([0, 10, 255]));
  await other.emitWithAck('b', 'before');
  const back = connected(socket);
  engine.close();
  socket.connect();
  await other.emitWithAck('b', 'missed');
  await back;
  const last = new Promise((resolve) => socket.on('b', (/** @type {string} */ data) => data === 'after' && resolve(data)));
  await other.emitWithAck('b', 'after');
  await last;
  const { recovered } = socket;
  const stranger = socket.io.socket('/else', { auth: { key: 'demo.key1:local-only' } });
  const refused = new Promise((resolve) => stranger.once('connect_error', (/** @type {any} */ { data }) => resolve(data)));
  stranger.connect();
  const answer = { first, heard, recovered, bytes: await bytes, refused: /** @type {any} */ (await refused) };
  [socket, other].forEach((one) => one.disconnect());
  return answer;
}
