/** What tests of the console share: its page in a real browser, signing in, and what an operator asks beside it. */
import assert from 'node:assert/strict';
import { launch } from './browser.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

export const ADMIN_TOKEN = 'admin-token-of-this-test';
export const key = 'demo.key1:local-only';

/** @param {import('node:test').TestContext} t @param {Record<string, string>} [variables] */
export async function opened(t, variables = { ADMIN_TOKEN }) {
  const runtime = await startRuntime(demoApps, { variables, tellsCounts: true });
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
export async function signIn(page, secret) {
  await page.getByLabel('API key, or the admin token').waitFor();
  // It has the keyboard from the start, and still after a refusal.
  await page.keyboard.insertText(secret);
  await page.keyboard.press('Enter');
}

/** As an operator. @param {string} method @param {string} url @param {object} [body] */
export async function operate(method, url, body = {}) {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
  const response = await fetch(url, { method, headers, body: method === 'GET' ? undefined : JSON.stringify(body) });
  return response.json().catch(() => undefined);
}

/**
 * Who holds connections to an app, by their keys.
 * @param {import('./runtime.mjs').Runtime} runtime @param {string} app
 */
export const holders = async (runtime, app) =>
  (await operate('GET', `${runtime.url}/apps/${app}/connections`)).map((/** @type {any} */ { keyName }) => keyName);

/**
 * On a channel's page: a member is banned from it, and then all messages go.
 * @param {import('playwright-core').Page} page @param {import('ably').RealtimeChannel} channel the member's
 * @param {string} clientId
 */
export async function banAndPurge(page, channel, clientId) {
  const member = page.locator('section', { hasText: 'Members' }).getByRole('row', { name: clientId });
  await member.waitFor();
  const kept = channel.once('failed');
  page.once('dialog', (dialog) => dialog.accept('rude'));
  await member.getByRole('button', { name: 'Ban' }).click();
  assert.match((await kept).reason?.message ?? '', /rude/);
  await member.waitFor({ state: 'detached' });
  page.once('dialog', (dialog) => dialog.accept());
  await page.getByRole('button', { name: 'Purge all messages' }).click();
  await page.locator('section', { hasText: 'Messages' }).getByText('Nothing yet.').waitFor();
}
