/** The console in a real browser: every page, signed in with a key and with the admin token, in two widths. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fits, launch, skip } from './browser.mjs';
import { realtime, rest } from './clients.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

const ADMIN_TOKEN = 'admin-token-of-this-test';
const key = 'demo.key1:local-only';

/** @param {import('node:test').TestContext} t */
async function opened(t) {
  const runtime = await startRuntime(demoApps, { variables: { ADMIN_TOKEN } });
  t.after(() => runtime.stop());
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  /** @type {string[]} */
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  // What a policy forbids is said here; a request that is refused is said to the user.
  page.on('console', (message) => message.text().includes('Content Security Policy') && faults.push(message.text()));
  t.after(() => assert.deepEqual(faults, []));
  await page.goto(`${runtime.url}/console/`);
  return { runtime, page };
}

/** @param {import('playwright-core').Page} page @param {string} secret */
async function signIn(page, secret) {
  await page.getByLabel('API key, or the admin token').waitFor();
  // It has the keyboard from the start, and still after a refusal.
  await page.keyboard.insertText(secret);
  await page.keyboard.press('Enter');
}

/**
 * Has the page look again at once, as it does every few seconds.
 * @param {import('playwright-core').Page} page @param {RegExp} at
 */
async function again(page, at) {
  const answered = page.waitForResponse((response) => at.test(response.url()));
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await (await answered).finished();
  await page.evaluate(() => new Promise(requestAnimationFrame));
}

/** What has the keyboard. @param {import('playwright-core').Page} page */
const held = (page) => page.evaluate(() => document.activeElement?.textContent);

test('an app is watched with its key', { skip, timeout: 90_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  await fits(page, 'door');
  assert.equal(await page.getByRole('navigation').isVisible(), false, 'who has not signed in is offered no pages');
  await signIn(page, 'demo.key1:wrong');
  await page.getByRole('alert').getByText('40101').waitFor();
  await signIn(page, key);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();

  const ann = realtime(t, runtime, { clientId: 'ann' });
  await ann.channels.get('mutable:room').presence.enter('here');
  await rest(runtime).channels.get('mutable:room').publish('goal', 'one');
  await page.locator('div.card', { hasText: 'In, last hour' }).getByText('1', { exact: true }).or(
    page.locator('div.card', { hasText: 'In, last hour' }).getByText('2', { exact: true })).waitFor();
  await fits(page, 'overview');

  await page.getByRole('link', { name: 'Channels' }).focus();
  await page.keyboard.press('Enter');
  const link = page.getByRole('link', { name: 'mutable:room' });
  await link.waitFor();
  await fits(page, 'channels');
  await page.getByLabel('Names that begin with').fill('nobody');
  await page.keyboard.press('Enter');
  await page.getByText('No channel in use has such a name.').waitFor();
  await page.getByLabel('Names that begin with').fill('mut');
  await page.keyboard.press('Enter');
  await link.click();

  const messages = page.locator('section', { hasText: 'Messages' });
  await messages.getByText('one', { exact: true }).waitFor();
  await page.locator('section', { hasText: 'Members' }).getByText('ann').waitFor();
  await page.getByLabel('Data').fill('<b>two</b>');
  await page.getByRole('button', { name: 'Publish' }).click();
  await messages.getByText('<b>two</b>', { exact: true }).waitFor();
  assert.match(await messages.locator('tbody tr').first().locator('td').nth(4).innerText(), /^\d+ ms$/);
  page.once('dialog', (dialog) => dialog.accept('changed'));
  await messages.getByRole('button', { name: 'Edit' }).first().click();
  await messages.getByText('changed', { exact: true }).waitFor();
  assert.match(await page.getByText(/^2 connections, 2 subscribers, 1 member, /).innerText(), /, [\d.]+ messages a second$/);
  await fits(page, 'channel');
  await messages.getByRole('button', { name: 'Edit' }).last().focus();
  await rest(runtime).channels.get('mutable:room').publish('goal', 'three');
  await messages.getByText('three', { exact: true }).waitFor();
  assert.equal(await held(page), 'Edit', 'what has the keyboard keeps it');
  const zoe = realtime(t, runtime, { clientId: 'zoe' });
  await zoe.channels.get('mutable:room').presence.enter();
  const member = page.locator('section', { hasText: 'Members' }).getByRole('row', { name: 'zoe' });
  await member.waitFor();
  const kept = zoe.channels.get('mutable:room').once('failed');
  page.once('dialog', (dialog) => dialog.accept('rude'));
  await member.getByRole('button', { name: 'Ban' }).click();
  assert.match((await kept).reason?.message ?? '', /rude/);
  await member.waitFor({ state: 'detached' });

  page.once('dialog', (dialog) => dialog.accept());
  await page.getByRole('button', { name: 'Purge all messages' }).click();
  await messages.getByText('Nothing yet.').waitFor();
  assert.deepEqual((await rest(runtime).channels.get('mutable:room').history()).items, []);

  await page.getByRole('link', { name: 'Connections' }).click();
  await page.getByText(ann.connection.id ?? '').waitFor();
  await page.getByLabel('Of the client').fill('ann');
  await page.keyboard.press('Enter');
  await page.getByText(zoe.connection.id ?? '').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Reconnect' }).waitFor();
  await fits(page, 'connections');
  await page.getByRole('button', { name: 'Ban' }).focus();
  await again(page, /connections\?/);
  assert.equal(await held(page), 'Ban');
  const failed = ann.connection.once('failed');
  page.once('dialog', (dialog) => dialog.accept('spam'));
  await page.getByRole('button', { name: 'Ban' }).click();
  assert.match((await failed).reason?.message ?? '', /banned from this app \(spam\)/);
  await page.getByText('There is no such connection.').waitFor();

  await page.getByRole('link', { name: 'Bans' }).click();
  await page.getByRole('cell', { name: 'spam' }).waitFor();
  await page.getByLabel('Client').fill('ben');
  await page.getByLabel('Channels, such as').fill('chat:*');
  await page.getByLabel('Minutes').fill('10');
  await page.keyboard.press('Enter');
  await page.getByRole('cell', { name: 'chat:*' }).waitFor();
  await fits(page, 'bans');
  await page.getByRole('button', { name: 'Lift' }).first().click();
  await page.getByRole('cell', { name: 'spam' }).waitFor({ state: 'detached' });

  await page.getByRole('link', { name: 'Audit' }).click();
  await page.getByRole('cell', { name: 'unban' }).waitFor();
  await fits(page, 'audit');

  await page.getByRole('link', { name: 'Apps and keys' }).click();
  await page.getByText('demo.key1').first().waitFor();
  await page.getByRole('link', { name: 'Errors' }).click();
  await page.getByRole('heading', { name: 'Errors' }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test('a deployment is watched with the admin token', { skip, timeout: 90_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  await signIn(page, 'not-the-admin-token');
  await page.getByRole('alert').getByText('40101').waitFor();
  await signIn(page, ADMIN_TOKEN);
  await page.getByRole('heading', { name: 'Overview: all apps' }).waitFor();
  await fits(page, 'deployment');

  await page.getByRole('link', { name: 'Apps and keys' }).click();
  await page.getByRole('button', { name: 'Make an app' }).click();
  const shown = await page.getByText('Its key is shown once').locator('code').innerText();
  assert.equal((await rest(runtime, { key: shown }).stats()).items.length, 0, 'the key works');
  await page.getByText('made by a request').waitFor();
  await fits(page, 'apps');
  await page.getByRole('row', { name: 'made by a request' }).getByRole('link').click();
  await page.getByRole('button', { name: 'Add a key' }).click();
  const added = await page.getByText('It is shown once').locator('code').innerText();
  assert.deepEqual((await rest(runtime, { key: added }).channels.get('c').history()).items, [], 'so does another');
  await page.getByLabel('Namespace', { exact: true }).fill('kept');
  await page.getByLabel('Its rules').fill('{"persisted":true}');
  await page.keyboard.press('Enter');
  await page.getByRole('cell', { name: '{"persisted":true}' }).waitFor();
  await page.getByRole('button', { name: 'Rotate' }).first().click();
  await page.getByRole('button', { name: 'Rotate' }).nth(2).waitFor();
  await fits(page, 'app');
  await page.getByRole('link', { name: 'Apps and keys' }).click();
  page.once('dialog', (dialog) => dialog.accept());
  await page.getByRole('button', { name: 'End' }).click();
  await page.getByText('made by a request').waitFor({ state: 'detached' });

  await assert.rejects(rest(runtime, { key: 'demo.key1:wrong' }).channels.get('c').history(), { code: 40101 });
  await page.getByRole('link', { name: 'Errors' }).click();
  await page.getByRole('link', { name: '40101' }).waitFor();
  await page.getByRole('heading', { name: 'Webhooks' }).waitFor();
  await fits(page, 'errors');
});

test('a tab in the background asks for nothing', { skip, timeout: 60_000 }, async (t) => {
  const { page } = await opened(t);
  await page.clock.install();
  await page.reload();
  await signIn(page, key);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  let asked = 0;
  page.on('request', () => asked++);
  await page.evaluate(() => Object.defineProperty(document, 'hidden', { configurable: true, get: () => true }));
  await page.clock.runFor(60_000);
  assert.equal(asked, 0);
  await page.evaluate(() => Object.defineProperty(document, 'hidden', { configurable: true, get: () => false }));
  const next = page.waitForRequest(/\/stats/);
  await page.clock.runFor(6_000);
  await next;
});
