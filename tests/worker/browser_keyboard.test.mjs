/** The event page by keyboard, and what the reader looks at, while all of it is drawn anew. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { skip } from './browser.mjs';
import { connected } from './clients.mjs';
import { startRuntime } from './runtime.mjs';
import { Venue, openPoll, part, says, write } from './venue.mjs';

const options = { skip, timeout: 180_000 };
const runtime = await startRuntime();
after(() => runtime.stop());

test('the keyboard stays on its control, whatever is drawn around it', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann, bob] = [await venue.host(), await venue.attendee('Ann'), await venue.attendee('Bob')];
  await write(bob, 'Ask a question', 'Clay or grass?');
  const pick = part(host, 'questions').getByRole('button', { name: 'Take on stage' });
  await pick.focus();
  await write(ann, 'Ask a question', 'Which strings?');
  await says(host, 'questions', 'Which strings?');
  assert.equal(await focused(host), 'Take on stage');
  await host.keyboard.press('Enter');
  await part(ann, 'questions').locator('.question.picked', { hasText: 'Clay' }).waitFor();
  await part(host, 'questions').getByRole('button', { name: 'Put back' }).waitFor();
  assert.equal(await focused(host), 'Put back');
  // What has gone leaves the keyboard in its list.
  await part(host, 'questions').locator('.picked').getByRole('button', { name: 'Remove' }).focus();
  await host.keyboard.press('Enter');
  await part(host, 'questions').locator('.picked').waitFor({ state: 'detached' });
  assert.equal(await host.evaluate(() => document.activeElement?.className), 'questions');

  await openPoll(host, { question: 'Who wins?', options: ['Lund', 'Okafor'] });
  await part(host, 'polls').getByRole('button', { name: 'Close' }).focus();
  await part(bob, 'polls').getByRole('button', { name: 'Lund' }).click();
  await says(host, 'polls', '1 vote');
  assert.equal(await focused(host), 'Close');

  await ann.locator('[data-room="net"]').getByRole('button', { name: 'Step in' }).focus();
  await bob.locator('[data-room="baseline"]').getByRole('button', { name: 'Step in' }).click();
  await ann.locator('[data-room="baseline"]').getByText('1 person').waitFor();
  await ann.keyboard.press('Enter');
  await bob.locator('[data-room="net"]').getByText('1 person').waitFor();

  await part(ann, 'chat').getByRole('textbox').fill('Hello');
  await ann.keyboard.press('Enter');
  await says(bob, 'chat', 'Hello');
  await part(ann, 'chat').getByRole('button', { name: 'Love (0)' }).focus();
  // A screen reader reads what is added to the log, and a reaction adds no message.
  const added = ann.evaluate(() => new Promise((resolve) => {
    const log = /** @type {Node} */ (document.querySelector('#chat [role="log"]'));
    const observer = new MutationObserver((records) => {
      observer.disconnect();
      resolve(records.flatMap(({ addedNodes }) => [...addedNodes].map(({ nodeName }) => nodeName)));
    });
    observer.observe(log, { childList: true, subtree: true });
  }));
  await part(bob, 'chat').getByRole('button', { name: 'Love (0)' }).click();
  await part(ann, 'chat').getByRole('button', { name: 'Love (1)' }).waitFor();
  assert.deepEqual(await added, ['BUTTON']);
  await ann.keyboard.press('Enter');
  await part(bob, 'chat').getByRole('button', { name: 'Love (2)' }).waitFor();
  assert.deepEqual(venue.complaints, []);
});

test('slides go on by keys, and the page stays where it is', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const host = await venue.host();
  await host.getByLabel('One slide per paragraph').fill('One\n\nTwo\n\nThree');
  await host.getByRole('button', { name: 'Present', exact: true }).click();
  await says(host, 'slides', '1 of 3');
  await part(host, 'slides').getByRole('region').focus();
  const before = await host.evaluate(() => scrollY);
  for (const [key, where] of [['PageDown', '2 of 3'], ['ArrowRight', '3 of 3'], ['PageUp', '2 of 3']]) {
    await host.keyboard.press(String(key));
    await says(host, 'slides', String(where));
  }
  assert.equal(await host.evaluate(() => scrollY), before);
});

test('rows that come and go leave what is read where it is', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann] = [await venue.host(), await venue.attendee('Ann')];
  // Not over REST, where a namespace may bound a key.
  const chat = (await connected(t, runtime)).channels.get('event:chat');
  const said = (/** @type {string} */ clientId, /** @type {string} */ text) => ({ name: 'message', clientId,
    data: { text } });
  await chat.publish([...Array.from({ length: 12 }, (_, index) => said('Mallory~m', `spam ${index}`)),
    ...Array.from({ length: 60 }, (_, index) => said('Cy~c', `number ${index}`))]);
  await says(ann, 'chat', 'number 59');
  const row = part(ann, 'chat').locator('.message', { hasText: /number 7$/u });
  const scroller = part(ann, 'chat').locator('.list-scroll');
  // By hand, as far up as that it shows.
  while (await row.count() === 0) {
    const first = await part(ann, 'chat').locator('.message').first().getAttribute('data-serial');
    await scroller.evaluate((element) => { element.scrollTop = 0; });
    await ann.waitForFunction((known) => document.querySelector('[data-part="chat"] .message')
      ?.getAttribute('data-serial') !== known, first);
  }
  await row.evaluate((element) => element.scrollIntoView());
  await ann.getByRole('button', { name: 'Latest messages' }).waitFor();
  const place = () => ann.evaluate(() => {
    const rows = [...document.querySelectorAll('[data-part="chat"] .message')];
    const there = rows.find((message) => message.querySelector('.said')?.textContent === 'number 7');
    return Math.round(there?.getBoundingClientRect().top ?? -1);
  });
  const before = await place();
  assert.ok(before >= 0);
  const spam = part(host, 'chat').locator('.message', { hasText: 'spam' }).first();
  while (await spam.count() === 0) {
    await part(host, 'chat').locator('.list-scroll').evaluate((element) => { element.scrollTop = 0; });
    await host.evaluate(() => new Promise(requestAnimationFrame));
  }
  await spam.getByRole('button', { name: 'Mute' }).click();
  await part(ann, 'chat').getByText('spam 11').waitFor({ state: 'detached' });
  assert.equal(await place(), before);
  await chat.publish([said('Cy~c', 'one more')]);
  // With the keyboard on a row the end does not run away with it.
  await ann.getByRole('button', { name: 'Latest messages' }).focus();
  await ann.keyboard.press('Enter');
  await says(ann, 'chat', 'one more');
  const last = part(ann, 'chat').locator('.message', { hasText: 'one more' });
  await last.getByRole('button', { name: 'Like (0)' }).focus();
  await chat.publish(Array.from({ length: 70 }, (_, index) => said('Cy~c', `later ${index}`)));
  await ann.getByRole('button', { name: 'Latest messages' }).waitFor();
  await ann.keyboard.press('Enter');
  await last.getByRole('button', { name: 'Like (1)' }).waitFor();
  assert.deepEqual(venue.complaints, []);
});

/** @param {import('playwright-core').Page} page */
const focused = (page) => page.evaluate(() => document.activeElement?.textContent);
