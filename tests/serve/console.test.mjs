/** The console of `courtside serve` in a real browser: each page, by a key and by the admin token. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import Ably from 'ably';
import { launch, skip } from '../worker/browser.mjs';
import { adminToken, key, serve } from './cli.mjs';

const served = await serve({ after });

/** By the link of each page, the text that it shows: of the app's member and message, or of the operator. */
const pages = {
  key: {
    Overview: 'Messages a minute', Channels: 'room', Connections: 'ann', Bans: 'Nobody is banned', 'Apps and keys': 'demo.key1',
    Audit: 'Nothing was done yet', Errors: '40101',
  },
  operator: {
    Overview: 'Messages a minute', Channels: 'demo', Connections: 'demo', Bans: 'demo',
    'Apps and keys': 'in the configuration', Audit: 'Nothing was done yet', Errors: 'No webhook fails',
  },
};

test('channels appear, and their numbers change, though every connection was there before the page', { skip, timeout: 90_000 }, async (t) => {
  const clients = await Promise.all(['ben', 'cy'].map(async (clientId) => {
    const client = new Ably.Realtime({ ...served.clientOptions, key, clientId });
    t.after(() => client.close());
    await client.connection.whenState('connected');
    return client;
  }));
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${served.url}/console#/channels`);
  await page.getByLabel('API key, or the admin token').fill(key);
  await page.keyboard.press('Enter');
  await page.getByText('Live').waitFor();
  const row = (/** @type {number} */ connections) => page.getByRole('row', { name: new RegExp(`^hall ${connections} `) });
  for (const [at, { channels }] of clients.entries()) {
    await channels.get('hall').attach();
    await row(at + 1).waitFor();
  }
  await clients[0].channels.get('hall').detach();
  await row(1).waitFor();
});

for (const [secret, shown] of /** @type {const} */ ([[key, pages.key], [adminToken, pages.operator]])) {
  const who = secret === key ? 'a key' : 'the operator';
  test(`each page is shown to ${who}, and live`, { skip, timeout: 90_000 }, async (t) => {
    const ann = new Ably.Realtime({ ...served.clientOptions, key, clientId: 'ann' });
    t.after(() => ann.close());
    await ann.channels.get('room').presence.enter();
    assert.equal((await fetch(`${served.url}/stats?key=demo.key1:wrong`)).status, 401);
    const browser = await launch();
    t.after(() => browser.close());
    const page = await browser.newPage();
    /** @type {string[]} */
    const faults = [];
    page.on('pageerror', ({ message }) => faults.push(message));
    await page.goto(`${served.url}/console`);
    await page.getByLabel('API key, or the admin token').fill(secret);
    await page.keyboard.press('Enter');
    for (const [link, what] of Object.entries(shown)) {
      await page.getByRole('navigation').getByRole('link', { name: link, exact: true }).click();
      await page.getByRole('heading', { name: link, level: 2 }).waitFor();
      await page.getByRole('main').getByText(what).first().waitFor();
    }
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByText('Live').waitFor();
    assert.equal(await page.getByRole('alert').isVisible(), false);
    assert.deepEqual(faults, []);
  });
}

for (const [secret, at] of [[key, 'room'], [adminToken, 'demo/room']]) {
  test(`one channel is shown at ${at}, and what is said there as it comes`, { skip, timeout: 60_000 }, async (t) => {
    const browser = await launch();
    t.after(() => browser.close());
    const page = await browser.newPage();
    await page.goto(`${served.url}/console#/channel/${at}`);
    await page.getByLabel('API key, or the admin token').fill(secret);
    await page.keyboard.press('Enter');
    await page.getByText('Live').waitFor();
    const ably = new Ably.Rest({ ...served.clientOptions, key });
    await ably.channels.get('room').publish('goal', `one to nil at ${at}`);
    const row = page.getByRole('row', { name: `one to nil at ${at}` });
    await row.getByText(/^\d+ ms$/).waitFor();
    assert.equal(await row.getByRole('button').count(), 0, 'nothing said there can be changed');
  });
}
