/** The published chat SDK in a real browser: two pages talk to each other. */
import assert from 'node:assert/strict';
import path from 'node:path';
import test, { after } from 'node:test';
import { launch, skip } from './browser.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

const sdk = path.resolve(import.meta.dirname, '../../node_modules/@ably/chat/dist/chat/ably-chat.umd.cjs');

test('two pages talk, react and see who types', { skip }, async (t) => {
  const browser = await launch();
  t.after(() => browser.close());
  /** A page with a chat client of this name. @param {string} name */
  const open = async (name) => {
    // The runtime's own page has a policy that allows its own scripts only.
    const page = await (await browser.newContext({ bypassCSP: true })).newPage();
    await page.goto(runtime.url);
    await page.addScriptTag({ path: sdk });
    await page.evaluate(enter, { name, port: runtime.port });
    return page;
  };
  const [ann, bob] = [await open('ann'), await open('bob')];
  await bob.evaluate(() => /** @type {any} */ (window).room.typing.keystroke());
  await ann.waitForFunction(() => /** @type {any} */ (window).typing.includes('bob'));
  const serial = await bob.evaluate(async () => (await /** @type {any} */ (window).room.messages.send({ text: 'hello' })).serial);
  await ann.waitForFunction(() => /** @type {any} */ (window).texts.includes('hello'));
  await ann.evaluate((of) => /** @type {any} */ (window).room.messages.reactions.send(of, { name: 'x' }), serial);
  await bob.waitForFunction(() => /** @type {any} */ (window).reactions.includes('x'));
  await bob.evaluate((of) => /** @type {any} */ (window).room.messages.update(of, { text: 'hello all' }), serial);
  await ann.waitForFunction(() => /** @type {any} */ (window).texts.includes('hello all'));
  await ann.evaluate((of) => /** @type {any} */ (window).room.messages.reactions.delete(of, { name: 'x' }), serial);
  await ann.evaluate((of) => /** @type {any} */ (window).room.messages.delete(of), serial);
  await bob.waitForFunction(() => /** @type {any} */ (window).texts.includes(''));
  const history = await bob.evaluate(async () => (await /** @type {any} */ (window).room.messages.history({})).items
    .map((/** @type {any} */ { text, action }) => [text, action]));
  assert.deepEqual(history, [['', 'message.delete']]);
});

/** Joins a room, and keeps what comes where the test looks. @param {{ name: string, port: number }} as */
async function enter({ name, port }) {
  const page = /** @type {any} */ (window);
  const ably = new page.Ably.Realtime({ key: 'demo.key1:local-only', clientId: name, endpoint: '127.0.0.1', port, tls: false });
  page.room = await new page.AblyChat.ChatClient(ably).rooms.get('browsers');
  [page.texts, page.typing, page.reactions] = [[], [], []];
  page.room.messages.subscribe((/** @type {any} */ { message }) => page.texts.push(message.text));
  page.room.typing.subscribe((/** @type {any} */ { currentlyTyping }) => page.typing.push(...currentlyTyping));
  page.room.messages.reactions.subscribe((/** @type {any} */ event) => page.reactions.push(...Object.keys(event.reactions.distinct)));
  await page.room.attach();
}
