/** The event page: a changed name is the same client's, rows say which they are, a part that has ended begins anew. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { skip } from './browser.mjs';
import { demoKey, rest } from './clients.mjs';
import { startRuntime } from './runtime.mjs';
import { Venue, connected, openPoll, part, photograph, says, write } from './venue.mjs';

/** @typedef {import('playwright-core').Page} Page */

const options = { skip, timeout: 180_000 };
const runtime = await startRuntime();
after(() => runtime.stop());

/** @param {Page} page @param {string} name */
async function rename(page, name) {
  await page.getByRole('button', { name: 'change your name' }).click();
  await page.getByRole('textbox', { name: 'Your name' }).fill(name);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
}

/** @param {Page} page @param {string} name */
const shows = (page, name) => page.locator('#who').getByText(name, { exact: true }).waitFor();

/**
 * Whoever said it, as a page shows it.
 * @param {Page} page @param {string} id @param {string} row @param {string} name
 */
const by = (page, id, row, name) => part(page, id).locator(row).locator('.person').getByText(name, { exact: true })
  .waitFor();

test('a name that is changed is changed wherever it stands, and its client stays who it was', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann, bob] = [await venue.host(), await venue.attendee('Anm'), await venue.attendee('Bob')];
  await write(ann, 'Write a message', 'Good evening');
  await write(ann, 'Ask a question', 'Clay or grass?');
  await openPoll(host, { question: 'Who wins?', options: ['Lund', 'Okafor'] });
  await part(ann, 'polls').getByRole('button', { name: 'Lund' }).click();
  await says(bob, 'polls', '1 vote');
  await ann.locator('[data-room="net"]').getByRole('button', { name: 'Step in' }).click();
  await by(bob, 'rooms', '[data-room="net"]', 'Anm');

  for (const unseen of ['', ' ~ ']) {
    await ann.getByRole('button', { name: 'change your name' }).click();
    await ann.getByRole('textbox', { name: 'Your name' }).fill(unseen);
    await ann.getByRole('button', { name: 'Save', exact: true }).click();
    await ann.locator('#join-name:invalid').waitFor();
    if (unseen === '') await photograph(t, ann, 'event-rename-laptop');
    await ann.getByRole('button', { name: 'Cancel' }).click();
  }
  await rename(ann, 'Ann');
  await shows(ann, 'Ann');
  for (const page of [ann, bob, host]) {
    await by(page, 'chat', '.message', 'Ann');
    await by(page, 'questions', '.question', 'Ann');
    await by(page, 'rooms', '[data-room="net"]', 'Ann');
  }

  // What it said and voted is its own as before, and it has one vote.
  await part(ann, 'polls').getByRole('button', { name: 'Okafor' }).click();
  await part(ann, 'polls').locator('.choice[aria-pressed="true"]', { hasText: 'Okafor' }).waitFor();
  await part(bob, 'polls').locator('.choice', { hasText: 'Okafor' }).getByText('100 %').waitFor();
  await says(bob, 'polls', '1 vote');
  await part(ann, 'chat').locator('.message').getByRole('button', { name: 'Edit' }).click();
  await part(ann, 'chat').getByRole('textbox').fill('Good night');
  await ann.keyboard.press('Enter');
  await says(bob, 'chat', 'Good night');

  // Who comes later, or again, sees it, too; and on a phone.
  await ann.setViewportSize({ width: 390, height: 844 });
  await ann.reload();
  await connected(ann);
  await shows(ann, 'Ann');
  await photograph(t, ann, 'event-name-phone');
  const cy = await venue.attendee('Cy');
  await by(cy, 'chat', '.message', 'Ann');
  await photograph(t, cy, 'event-name-laptop');
  const embedded = await venue.open('/embed/chat');
  await by(embedded, 'chat', '.message', 'Ann');

  // A host mutes the client, whatever its name, and then it takes no other.
  await part(host, 'chat').locator('.message').getByRole('button', { name: 'Mute' }).click();
  await part(bob, 'chat').getByText('Good night').waitFor({ state: 'detached' });
  await part(bob, 'questions').getByText('Clay or grass?').waitFor({ state: 'detached' });
  await rename(ann, 'Zoe');
  await ann.getByRole('alert').getByText('muted').waitFor();
  await shows(ann, 'Ann');
  assert.deepEqual(venue.complaints, []);
});

test('a button that stands in every row says of which row it is', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const api = rest(runtime).channels;
  const spam = 'buy rackets '.repeat(9);
  await api.get('event:chat').publish({ clientId: 'Mallory~m', name: 'message', data: { text: spam } });
  await api.get('event:questions').publish({ clientId: 'Mallory~m', name: 'question', data: { text: 'Why?' } });
  const host = await venue.host();
  await openPoll(host, { question: 'Fair?', options: ['Yes', 'No'] });
  const row = `Mallory: ${spam.slice(0, 51)}…`;
  for (const name of [`Delete: ${row}`, `Mute: ${row}`, `Like (0): ${row}`, 'Take on stage: Mallory: Why?',
    'Mark answered: Mallory: Why?', 'Remove: Mallory: Why?', 'Mute: Mallory: Why?', 'Close: Fair?',
    'Step in: Net play']) await host.getByRole('button', { name, exact: true }).waitFor();
  const upvote = part(host, 'questions').locator('.question', { hasText: 'Why?' }).locator('.upvote');
  const id = String(await upvote.getAttribute('aria-describedby'));
  assert.equal(await host.evaluate((id) => document.getElementById(id)?.textContent, id), 'Why?');
});

test('a part that the server ended says so, and begins anew when that is asked for', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const ann = await venue.attendee('Ann');
  await says(ann, 'chat', 'buy rackets');
  const clientId = await ann.evaluate(async () => {
    const { fetchToken } = await import(String('/event/session.js'));
    return (await fetchToken('Ann')).clientId;
  });
  const bans = `${runtime.url}/apps/demo/bans`;
  const headers = { authorization: `Basic ${btoa(demoKey)}`, 'content-type': 'application/json' };
  const ban = { clientId, channel: 'event:chat' };
  await fetch(bans, { method: 'POST', headers, body: JSON.stringify({ ...ban, reason: 'a break' }) });
  const again = ann.getByRole('button', { name: 'Try again' });
  await ann.getByText(/A part of the event has stopped: .*banned from this channel.*a break/u).waitFor();
  await photograph(t, ann, 'event-stopped-laptop', { fullPage: false });
  await ann.setViewportSize({ width: 390, height: 844 });
  await photograph(t, ann, 'event-stopped-phone', { fullPage: false });
  await again.click();
  await again.waitFor();
  await fetch(`${bans}?${new URLSearchParams(ban)}`, { method: 'DELETE', headers });
  await rest(runtime).channels.get('event:chat').publish('message', { text: 'meanwhile' });
  await again.click();
  await again.waitFor({ state: 'hidden' });
  await ann.setViewportSize({ width: 1280, height: 900 });
  await says(ann, 'chat', 'meanwhile');
  assert.deepEqual(venue.complaints, []);
});
