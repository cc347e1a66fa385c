/** The event page: what is said and not acknowledged yet stands there as that, and is lost in no cut and no reload. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { skip } from './browser.mjs';
import { Network } from './network.mjs';
import { startRuntime } from './runtime.mjs';
import { Venue, connected, openPoll, part, photograph, says, write } from './venue.mjs';

const options = { skip, timeout: 180_000 };
/** Actions of frames: docs/protocol.md § 3. */
const [NACK, MESSAGE, ANNOTATION] = [2, 15, 21];
const runtime = await startRuntime();
after(() => runtime.stop());

test('what is said while the connection is down waits in sight, and is sent when it is back', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const network = await Network.to(t, runtime);
  const [host, ann] = [await venue.host(), await venue.attendee('Ann',
    { url: `http://127.0.0.1:${network.clientOptions.port}` })];
  await openPoll(host, { question: 'Who wins?', options: ['Lund', 'Okafor'] });
  await says(ann, 'polls', 'Who wins?');
  network.cut();
  await ann.getByText('The connection is down.').waitFor();
  await part(ann, 'polls').getByRole('button', { name: 'Lund' }).click();
  await says(ann, 'polls', 'Your vote is being sent');
  await write(ann, 'Write a message', 'Into the void');
  await write(ann, 'Ask a question', 'Anyone there?');
  for (const id of ['chat', 'questions']) await says(ann, id, 'Waiting to be sent');
  assert.equal(await ann.getByText('Your vote is in.').count(), 0);
  await photograph(t, ann, 'event-unsent-laptop');
  await ann.setViewportSize({ width: 390, height: 844 });
  await ann.evaluate(() => { location.hash = 'chat'; });
  await photograph(t, ann, 'event-unsent-phone');
  await ann.setViewportSize({ width: 1280, height: 900 });
  network.mend();
  await says(host, 'chat', 'Into the void');
  await says(host, 'questions', 'Anyone there?');
  await says(ann, 'polls', 'Your vote is in.');
  await says(host, 'polls', '1 vote');
  for (const id of ['chat', 'questions']) await part(ann, id).getByText('Waiting to be sent').waitFor({ state: 'detached' });
  assert.equal(await part(host, 'chat').getByText('Into the void').count(), 1);
  assert.deepEqual(venue.complaints, []);
});

test('what was not acknowledged is there after the page is loaded anew, and what is refused says why', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const ann = await venue.open('/time', 'Ann', { isOpen: false });
  let does = 'lose';
  /** @type {(() => void)[]} */
  const held = [];
  const error = { code: 40300, statusCode: 403, message: 'not today' };
  await ann.routeWebSocket(/./u, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((frame) => {
      const { action, channel, msgSerial } = JSON.parse(String(frame));
      const isOurs = action === MESSAGE && channel === 'event:chat';
      if (!isOurs || does === 'pass') return server.send(frame);
      if (does === 'refuse') held.push(() => socket.send(JSON.stringify({ action: NACK, msgSerial, count: 1, error })));
    });
  });
  const refuse = async (/** @type {number} */ index) => {
    while (!held[index]) await ann.evaluate(() => {});
    held[index]();
  };
  await ann.goto(runtime.url);
  await connected(ann);
  const chat = part(ann, 'chat');
  const unsent = chat.getByRole('list', { name: 'Not sent yet' }).getByRole('listitem');
  const line = chat.getByRole('textbox');
  for (const said of ['first', 'second']) await write(ann, 'Write a message', said);
  await unsent.filter({ hasText: 'second' }).waitFor();
  does = 'pass';
  await ann.reload();
  await connected(ann);
  assert.equal(await line.inputValue(), 'first');
  await unsent.filter({ hasText: 'second' }).getByRole('button', { name: 'Send again' }).click();
  await chat.locator('.said', { hasText: 'second' }).waitFor();
  await line.press('Enter');
  await chat.locator('.said', { hasText: 'first' }).waitFor();
  await unsent.first().waitFor({ state: 'detached' });

  does = 'refuse';
  for (const said of ['third', 'fourth']) {
    await write(ann, 'Write a message', said);
    await unsent.filter({ hasText: said }).waitFor();
  }
  await refuse(0);
  await chat.getByRole('alert').getByText('not today').waitFor();
  assert.equal(await line.inputValue(), 'third', 'it is in its line again');
  await refuse(1);
  const fourth = unsent.filter({ hasText: 'fourth' });
  await fourth.getByText('not today').waitFor();
  await photograph(t, ann, 'event-refused-laptop');
  const holder = () => ann.evaluate(() => document.activeElement?.className);
  await fourth.getByRole('button', { name: 'Send again' }).focus();
  await ann.keyboard.press('Enter');
  await fourth.getByText('Waiting to be sent').waitFor();
  assert.equal(await holder(), 'outbox', 'the keyboard stays there, with its row or without');
  await refuse(2);
  await fourth.getByRole('button', { name: 'Drop' }).focus();
  await ann.keyboard.press('Enter');
  await fourth.waitFor({ state: 'detached' });
  assert.equal(await holder(), 'outbox');
  assert.deepEqual(venue.complaints, []);
});

test('trouble stands below the head, and goes when what failed has worked', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const ann = await venue.open('/time', 'Ann', { isOpen: false });
  let isRefused = true;
  const error = { code: 40300, statusCode: 403, message: 'not today' };
  await ann.routeWebSocket(/./u, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((frame) => {
      const { action, msgSerial } = JSON.parse(String(frame));
      if (action !== ANNOTATION || !isRefused) return server.send(frame);
      socket.send(JSON.stringify({ action: NACK, msgSerial, count: 1, error }));
    });
  });
  await ann.goto(runtime.url);
  await connected(ann);
  await write(ann, 'Write a message', 'Like this');
  await ann.setViewportSize({ width: 390, height: 844 });
  await ann.evaluate(() => { location.hash = 'chat'; });
  const like = part(ann, 'chat').locator('.message', { hasText: 'Like this' }).getByRole('button', { name: 'Like (' });
  await like.click();
  const trouble = ann.getByRole('alert').filter({ hasText: 'not today' });
  await trouble.waitFor();
  const [head, there] = [await ann.locator('header.top').boundingBox(), await trouble.boundingBox()];
  assert.ok(head && there && there.y >= head.y + head.height, `${JSON.stringify([head, there])}`);
  await photograph(t, ann, 'event-trouble-phone', { fullPage: false });
  isRefused = false;
  await like.click();
  await trouble.waitFor({ state: 'hidden' });
  assert.deepEqual(venue.complaints, []);
});

test('notices go by themselves, but not while somebody is at them', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const page = await venue.open('/embed/overlay');
  await page.clock.install();
  const says = (/** @type {'news' | 'trouble'} */ what, /** @type {string} */ said) => page.evaluate(async ([what, said]) => {
    const { Notices } = await import(/** @type {any} */ ('/event/notices.js'));
    const toast = Object.assign(document.createElement('div'), { id: 'toast' });
    document.getElementById('toast')?.remove();
    document.body.append(toast);
    new Notices()[String(what)](said, 'like');
  }, [what, said]);
  const isThere = () => page.locator('#toast').isVisible();
  await says('news', 'All are called back');
  assert.equal(await page.getByRole('status').innerText(), 'All are called back\n✕');
  await page.clock.runFor(11_000);
  assert.equal(await isThere(), false);
  await says('trouble', 'No');
  await page.clock.runFor(11_000);
  assert.equal(await isThere(), true, 'trouble stands longer');
  await page.getByRole('button', { name: 'Dismiss' }).focus();
  await page.clock.runFor(30_000);
  assert.equal(await isThere(), true, 'its reader is there');
  await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
  await page.clock.runFor(21_000);
  assert.equal(await isThere(), false);
});
