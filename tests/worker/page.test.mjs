/**
 * The scoreboard in a real browser: two tabs, one keeps score, the other shows it; and what both say when it is down.
 */
import assert from 'node:assert/strict';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { launch, skip } from './browser.mjs';
import { rest } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

test('one tab keeps score, the other shows it', { skip }, async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const browser = await launch();
  t.after(() => browser.close());
  const context = await browser.newContext();
  const umpire = await openPage(context, runtime.url);
  const fan = await openPage(context, runtime.url);

  await umpire.getByRole('button', { name: 'Lund' }).click();
  await shows(fan, '15–0');
  assert.match(await fan.locator('#messages td').nth(1).innerText(), /^\d+ ms$/);

  await umpire.getByRole('button', { name: 'Okafor' }).focus();
  await umpire.keyboard.press('Enter');
  await shows(fan, '15 all');

  await fan.reload();
  await shows(fan, '15 all');
  assert.deepEqual(await fan.locator('#messages td:nth-child(2)').allInnerTexts(), ['history', 'history']);
  await photograph(t, fan, 'wide');

  await fan.setViewportSize({ width: 390, height: 844 });
  assert.equal(await fan.evaluate(() => document.documentElement.scrollWidth), 390, 'nothing to scroll sideways');
  await photograph(t, fan, 'phone');
});

test('the page says that the connection is down, and when it is back', { skip }, async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const browser = await launch();
  t.after(() => browser.close());
  const page = await openPage(await browser.newContext(), runtime.url);

  await runtime.kill();
  const banner = page.getByText('The connection is down');
  await banner.waitFor();
  assert.equal(await page.getByRole('button', { name: 'Lund' }).getAttribute('aria-disabled'), 'true');
  await photograph(t, page, 'down');

  await runtime.start();
  // The SDK would try again by itself, fifteen seconds after its last attempt.
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await connected(page);
  await ready(page);
});

test('a page that opens an hour later shows the score, and goes on from it', { skip }, async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const browser = await launch();
  t.after(() => browser.close());
  const umpire = await openPage(await browser.newContext(), runtime.url);
  for (const call of ['15–0', '30–0', '40–0']) {
    await umpire.getByRole('button', { name: 'Lund' }).click();
    await shows(umpire, call);
  }
  await umpire.close();
  await runtime.kill();
  runtime.inFront = [path.join(import.meta.dirname, 'entries/hour-later-entry.mjs')];
  await runtime.start();

  const late = await openPage(await browser.newContext(), runtime.url);
  await shows(late, '40–0');
  await late.getByRole('button', { name: 'Okafor' }).click();
  await shows(late, '40–15');
});

test('what else is published on the channel does not take the score away', { skip }, async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const browser = await launch();
  t.after(() => browser.close());
  const context = await browser.newContext();
  const umpire = await openPage(context, runtime.url);
  await umpire.getByRole('button', { name: 'Lund' }).click();
  await shows(umpire, '15–0');
  const channel = rest(runtime).channels.get('tennis-score-updates');
  for (let number = 1; number <= 50; number++) await channel.publish('score', `Game Point ${number}!`);
  await shows(umpire, 'Game Point 50!');

  const fan = await openPage(context, runtime.url);
  for (const page of [umpire, fan]) {
    assert.deepEqual(await page.locator('#score .points').allInnerTexts(), ['15', '0']);
  }
  await fan.getByRole('button', { name: 'Okafor' }).click();
  await shows(umpire, '15 all');
});

/** @typedef {import('playwright-core').Page} Page */

/** @param {import('playwright-core').BrowserContext} context @param {string} url */
async function openPage(context, url) {
  const page = await context.newPage();
  await page.goto(url);
  await connected(page);
  await ready(page);
  return page;
}

/** @param {Page} page */
const connected = (page) => page.locator('#connection[data-state="connected"]').waitFor();

/** It knows the score, and takes points. @param {Page} page */
const ready = (page) => page.locator('#buttons button[aria-disabled="false"]').first().waitFor();

/** @param {Page} page @param {string} call what the umpire called last */
const shows = (page, call) => page.locator('#call').getByText(call, { exact: true }).waitFor();

/** For a human to look at. @param {import('node:test').TestContext} t @param {Page} page @param {string} name */
async function photograph(t, page, name) {
  const file = path.join(os.tmpdir(), `courtside-page-${name}.png`);
  await page.screenshot({ path: file, fullPage: true });
  t.diagnostic(file);
}

test('the page and its files come with headers that keep others out', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  for (const file of ['/', '/scoreboard.js', '/vendor/ably.min.js']) {
    const { headers } = await fetch(`${runtime.url}${file}`);
    assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/, file);
    assert.equal(headers.get('x-content-type-options'), 'nosniff', file);
    assert.equal(headers.get('x-frame-options'), 'DENY', file);
  }
});
