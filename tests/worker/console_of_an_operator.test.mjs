/** The console in a real browser, of whoever has the admin token: the channels of an app. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fits, skip } from './browser.mjs';
import { Heard, realtime, rest } from './clients.mjs';
import { ADMIN_TOKEN, banAndPurge, holders, opened, operate, signIn } from './console.mjs';

test('an operator sees the channels of an app, and what is done there', { skip, timeout: 90_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  const ann = realtime(t, runtime, { clientId: 'ann' });
  const room = ann.channels.get('mutable:a/b');
  await room.presence.enter('here');
  await rest(runtime).channels.get('mutable:a/b').publish('goal', 'one');
  await signIn(page, ADMIN_TOKEN);
  const live = page.getByText('Live', { exact: true });
  await live.waitFor();
  await page.getByRole('link', { name: 'Channels' }).click();
  await page.getByRole('main').getByRole('link', { name: 'demo', exact: true }).click();
  await live.waitFor();
  await page.getByRole('link', { name: 'mutable:a/b' }).waitFor();
  assert.deepEqual((await holders(runtime, 'demo')).sort(), ['demo.[console]', 'demo.key1']);
  await ann.channels.get('appears').attach();
  await page.getByRole('link', { name: 'appears' }).waitFor();
  await fits(page, 'channels-of-an-operator');
  await page.getByLabel('Names that begin with').fill('mut');
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'appears' }).waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'mutable:a/b' }).click();

  const messages = page.locator('section', { hasText: 'Messages' });
  await messages.getByText('one', { exact: true }).waitFor();
  await live.waitFor();
  await page.getByText(/^2 connections, 2 subscribers, 1 member, /).waitFor();
  const said = new Heard();
  await room.subscribe(said.hear);
  await page.getByLabel('Data').fill('two');
  await page.getByRole('button', { name: 'Publish' }).click();
  assert.equal((await said.until(({ data }) => data === 'two')).clientId, '[operator]');
  const two = messages.getByRole('row', { name: 'two' });
  assert.match(await two.locator('td').nth(4).innerText(), /^\d+ ms$/);
  page.once('dialog', (dialog) => dialog.accept('changed'));
  await two.getByRole('button', { name: 'Edit' }).click();
  await said.until(({ data, action }) => data === 'changed' && action === 'message.update');
  page.once('dialog', (dialog) => dialog.accept());
  await messages.getByRole('row', { name: 'one' }).getByRole('button', { name: 'Delete' }).click();
  await messages.getByText('(deleted)').waitFor();
  assert.equal(await messages.getByRole('row', { name: '(deleted)' }).getByRole('button').count(), 0, 'it is not there to be changed');
  await fits(page, 'channel-of-an-operator');

  // Who said it stands beside it, and can be banned there.
  await realtime(t, runtime, { clientId: 'eve' }).channels.get('mutable:a/b').publish('message', 'buy rackets');
  const spam = messages.getByRole('row', { name: 'buy rackets' });
  await spam.getByRole('cell', { name: 'eve', exact: true }).waitFor();
  await spam.getByText(/^\d+:\d+/).click();
  await spam.locator('code').waitFor();
  await fits(page, 'message-of-a-client');
  page.once('dialog', (dialog) => dialog.accept('spam'));
  await spam.getByRole('button', { name: 'Ban' }).click();
  while ((await operate('GET', `${runtime.url}/apps/demo/bans`))[0]?.clientId !== 'eve');
  assert.equal(await messages.getByRole('row', { name: 'changed' }).getByRole('button', { name: 'Ban' }).count(), 0, 'nor oneself');

  await banAndPurge(page, room, 'ann');
  assert.deepEqual((await rest(runtime).channels.get('mutable:a/b').history()).items, []);

  await page.getByRole('link', { name: 'Channels' }).first().click();
  await page.getByRole('main').getByRole('link', { name: 'demo', exact: true }).click();
  await page.getByRole('link', { name: 'appears' }).click();
  await rest(runtime).channels.get('appears').publish('goal', 'as it was');
  await messages.getByRole('row', { name: 'as it was' }).waitFor();
  assert.equal(await messages.getByRole('button').count(), 0, 'nothing said there can be changed');

  // What is heard while the page asks for what was there was heard, though the answer has it too.
  const asked = Promise.withResolvers();
  await page.route('**/channels/appears/messages?*', async (route) => {
    await asked.promise;
    const response = await route.fetch();
    const answer = await response.json();
    answer.response.push({ data: 'oldest', serial: '00000000000000-000@0:000' });
    await route.fulfill({ response, json: answer });
  });
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await live.waitFor();
  await rest(runtime).channels.get('appears').publish('goal', 'meanwhile');
  const meanwhile = messages.getByRole('row', { name: 'meanwhile' });
  await meanwhile.waitFor();
  asked.resolve(undefined);
  await messages.getByRole('row', { name: 'oldest' }).waitFor();
  assert.match(await meanwhile.locator('td').nth(4).innerText(), /^\d+ ms$/);
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  const noted = (await operate('GET', `${runtime.url}/apps/demo/audit`)).map((/** @type {any} */ { by, action }) => [by, action]);
  assert.deepEqual(noted, [['operator', 'purge'], ['operator', 'ban'], ['operator', 'ban'], ['operator', 'issue token']], 'one token was enough');
});
