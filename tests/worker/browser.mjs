/** A real browser, where there is one. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const executablePath = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
].find((candidate) => candidate && fs.existsSync(candidate));
export const skip = executablePath ? false : 'no Chromium here: install it, or name it in CHROMIUM';

export const launch = () => chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

const widths = { phone: { width: 390, height: 844 }, laptop: { width: 1280, height: 800 } };

/** Buttons whose text does not stand on one line. It runs in the page. */
const brokenButtons = () => [...document.querySelectorAll('button')].filter((button) => {
  const range = document.createRange();
  range.selectNodeContents(button);
  return new Set([...range.getClientRects()].map(({ top }) => top)).size > 1;
}).map(({ textContent }) => textContent);

/**
 * Nothing of a page of the console is cut off in either width, and no button breaks. The pictures are there to be
 * looked at; `PHOTOGRAPHS` says where, and then there are dark ones, too.
 * @param {import('playwright-core').Page} page @param {string} name
 */
export async function fits(page, name) {
  const folder = process.env.PHOTOGRAPHS;
  for (const [width, size] of Object.entries(widths)) {
    await page.setViewportSize(size);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), size.width, `${name} on a ${width}`);
    assert.deepEqual(await page.evaluate(brokenButtons), [], `${name} on a ${width}`);
    const shoot = (/** @type {string} */ more) =>
      page.screenshot({ path: path.join(folder ?? os.tmpdir(), `courtside-console-${name}-${width}${more}.png`) });
    await shoot('');
    if (!folder) continue;
    await page.emulateMedia({ colorScheme: 'dark' });
    await shoot('-dark');
    await page.emulateMedia({ colorScheme: null });
  }
}
