/** The event page in a real browser: its host and its attendees, each in a browser profile of their own. */
import os from 'node:os';
import path from 'node:path';
import { launch } from './browser.mjs';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {{ width?: number, height?: number, dark?: boolean, url?: string, isOpen?: boolean }} Looks */

export const hostKey = 'demo.host:local-only';

export class Venue {
  #browser;
  #url;
  /** What a page said that it should not have: errors of scripts, and what its policy refused. @type {string[]} */
  complaints = [];

  /** @param {import('playwright-core').Browser} browser @param {string} url */
  constructor(browser, url) {
    this.#browser = browser;
    this.#url = url;
  }

  /** @param {import('node:test').TestContext} t @param {{ url: string }} runtime */
  static async of(t, runtime) {
    const browser = await launch();
    t.after(() => browser.close());
    return new Venue(browser, runtime.url);
  }

  /** @param {Looks} [looks] */
  async host(looks) {
    return this.open(`/stage#key=${hostKey}`, undefined, looks);
  }

  /** @param {string} name @param {Looks} [looks] */
  async attendee(name, looks) {
    return this.open('/', name, looks);
  }

  /**
   * A page, once it is connected.
   * @param {string} address @param {string} [name] what its user chose to be called @param {Looks} [looks]
   */
  async open(address, name, { width = 1280, height = 900, dark = false, url = this.#url, isOpen = true } = {}) {
    const context = await this.#browser.newContext({ viewport: { width, height }, colorScheme: dark ? 'dark'
      : 'light' });
    if (name !== undefined) {
      // A frame of another site may not store anything.
      await context.addInitScript((chosen) => { try { localStorage.setItem('event-name', chosen); } catch {} }, name);
    }
    const page = await context.newPage();
    page.on('pageerror', (error) => this.complaints.push(`${error}`));
    page.on('console', (message) => {
      if (/Content Security Policy/u.test(message.text())) this.complaints.push(message.text());
    });
    await page.goto(url + address);
    if (isOpen && !address.startsWith('/embed/overlay')) await connected(page);
    return page;
  }
}

/** @param {Page} page */
export const connected = (page) => page.locator('[data-connection="connected"]').waitFor();

/** @param {Page} page @param {string} id */
export const part = (page, id) => page.locator(`[data-part="${id}"]`);

/** What a part says, once it says it. @param {Page} page @param {string} id @param {string | RegExp} said */
export const says = (page, id, said) => part(page, id).getByText(said).first().waitFor();

/** @param {Page} page @param {string} field @param {string} written */
export async function write(page, field, written) {
  await page.getByRole('textbox', { name: field, exact: true }).first().fill(written);
  await page.keyboard.press('Enter');
}

/** @param {Page} host @param {{ question: string, options: string[], right?: number }} poll */
export async function openPoll(host, { question, options, right }) {
  await host.getByLabel('Question', { exact: true }).fill(question);
  await host.getByLabel('Options, one per line').fill(options.join('\n'));
  if (right !== undefined) {
    await host.getByLabel('A quiz: one option is right').check();
    await host.getByLabel('Right option (number)').fill(String(right));
  }
  await host.getByRole('button', { name: 'Open the poll' }).click();
}

/**
 * For a human to look at.
 * @param {import('node:test').TestContext} t @param {Page} page @param {string} name
 * @param {{ fullPage?: boolean }} [options]
 */
export async function photograph(t, page, name, { fullPage = true } = {}) {
  const file = path.join(process.env.SCREENSHOTS ?? os.tmpdir(), `courtside-${name}.png`);
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: file, fullPage });
  t.diagnostic(file);
}
