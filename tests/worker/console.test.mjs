/** The console in a real browser: every page, signed in with a key and with the admin token, in two widths. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fits, launch, skip } from './browser.mjs';
import { Heard, realtime, rest } from './clients.mjs';
import { ADMIN_TOKEN, banAndPurge, holders, key, opened, operate, signIn } from './console.mjs';
import { unlessEvicted } from './evictions.mjs';
import { demoApps, startRuntime } from './runtime.mjs';

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
  await page.getByText(/^most: [12] in, \d+ out$/).waitFor();
  await assert.rejects(rest(runtime).channels.get('mutable:room').getMessage('none'), { statusCode: 400 });
  await page.locator('div.card', { hasText: 'Errors, last hour' }).getByText('1', { exact: true }).waitFor();
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
  const attached = page.getByText(/^2 connections, 2 subscribers, 1 member, /);
  await attached.waitFor();
  await page.getByLabel('Data').fill('x'.repeat(70_000));
  await page.getByRole('button', { name: 'Publish' }).click();
  await page.getByRole('alert').getByText('(40009)').waitFor();
  await page.getByLabel('Data').fill('<b>two</b>');
  await page.getByRole('button', { name: 'Publish' }).click();
  await messages.getByText('<b>two</b>', { exact: true }).waitFor();
  await page.getByRole('alert').getByText('(40009)').waitFor({ state: 'detached' });
  assert.match(await messages.locator('tbody tr').first().locator('td').nth(4).innerText(), /^\d+ ms$/);
  page.once('dialog', (dialog) => dialog.accept('changed'));
  await messages.getByRole('button', { name: 'Edit' }).first().click();
  await messages.getByText('changed', { exact: true }).waitFor();
  assert.match(await attached.innerText(), /, [\d.]+ messages a second$/);
  await rest(runtime).channels.get('mutable:room').publish('long', 'x'.repeat(30_000));
  const long = messages.locator('tbody tr', { hasText: 'long' });
  await long.waitFor();
  await fits(page, 'channel');
  assert.ok(((await long.boundingBox())?.height ?? Infinity) < 300, 'a long message leaves room for others');
  await messages.getByRole('button', { name: 'Edit' }).last().focus();
  await rest(runtime).channels.get('mutable:room').publish('goal', 'three');
  await messages.getByText('three', { exact: true }).waitFor();
  assert.equal(await held(page), 'Edit', 'what has the keyboard keeps it');
  const zoe = realtime(t, runtime, { clientId: 'zoe' });
  await zoe.channels.get('mutable:room').presence.enter();
  await banAndPurge(page, zoe.channels.get('mutable:room'), 'zoe');
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
  await page.getByRole('cell', { name: 'chat:*', exact: true }).waitFor();
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
  await signIn(page, 'schlüssel: 鍵');
  await page.getByRole('alert').getByText('This is no key, which looks like APP.KEY:SECRET').waitFor();
  await page.goto(`${runtime.url}/console/#/constructor`);
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
  // A wrong admin token, and a wrong key.
  await page.getByRole('row', { name: /^40101 The key, its secret or a signature is wrong\. \d 2 2$/ }).waitFor();
  await page.getByRole('heading', { name: 'Webhooks' }).waitFor();
  await fits(page, 'errors');
});

/**
 * Has the page believe that it is looked at, or not.
 * @param {import('playwright-core').Page} page @param {boolean} hidden
 */
const look = (page, hidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}, hidden);

test('a mistyped key is told so, where there is no admin token', { skip, timeout: 60_000 }, async (t) => {
  const { page } = await opened(t, {});
  await signIn(page, 'nonsense');
  await page.getByRole('alert').getByText(
    'This is no key, which looks like APP.KEY:SECRET, and this server has no admin token (40400)').waitFor();
});

test('a tab in the background asks for nothing', { skip, timeout: 60_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  await page.clock.install();
  await page.reload();
  await signIn(page, key);
  await page.getByText('Live', { exact: true }).waitFor();
  const held = async () => (await rest(runtime).request('GET', '/apps/demo/connections', 3, {}, null, {})).items;
  const [connection] = await held();
  assert.match(connection.transport, /websocket/i, 'a page that is looked at has a connection');
  let asked = 0;
  page.on('request', () => asked++);
  await look(page, true);
  await page.clock.runFor(60_000);
  assert.equal(asked, 0);
  while ((await held()).length > 0);
  const next = page.waitForRequest(/\/stats/);
  await look(page, false);
  await next;
  await page.getByText('Live', { exact: true }).waitFor();
});

/**
 * The page of errors shows one that somebody else is told, as it happens.
 * @param {import('playwright-core').Page} page @param {import('./runtime.mjs').Runtime} runtime
 */
async function showsRefusal(page, runtime) {
  await page.getByRole('link', { name: 'Errors' }).click();
  await page.getByText('Live', { exact: true }).waitFor();
  await assert.rejects(rest(runtime).channels.get('[meta]log').publish('a', 'x'), { code: 40160 });
  await page.getByRole('link', { name: '40160' }).waitFor();
}

test('a page shows what others do as it happens', { skip, timeout: 90_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  await signIn(page, key);
  const live = page.getByText('Live', { exact: true });
  await page.getByRole('link', { name: 'Channels' }).click();
  await live.waitFor();
  const ann = realtime(t, runtime, { clientId: 'ann' });
  await ann.channels.get('appears').attach();
  await page.getByRole('link', { name: 'appears' }).waitFor();

  await page.getByRole('link', { name: 'Bans' }).click();
  await page.getByText('Nobody is banned.').waitFor();
  await live.waitFor();
  const ban = { method: 'POST', headers: { authorization: `Basic ${btoa(key)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ clientId: 'mallory', reason: 'heckling' }) };
  assert.equal((await fetch(`${runtime.url}/apps/demo/bans`, ban)).status, 201);
  await page.getByRole('cell', { name: 'heckling' }).waitFor();

  await page.getByRole('link', { name: 'Connections' }).click();
  await live.waitFor();
  const ben = realtime(t, runtime, { clientId: 'ben' });
  await page.getByRole('cell', { name: 'ben', exact: true }).waitFor();
  ben.close();
  await page.getByRole('cell', { name: 'ben', exact: true }).waitFor({ state: 'detached' });

  await showsRefusal(page, runtime);
  await fits(page, 'errors-of-an-app');

  await page.getByRole('link', { name: 'Channels' }).click();
  await page.getByRole('link', { name: 'appears' }).click();
  await page.getByText(/^2 connections, 2 subscribers, 0 members, /).waitFor();
  await ann.channels.get('appears').presence.enter();
  await page.locator('section', { hasText: 'Members' }).getByRole('cell', { name: 'ann', exact: true }).waitFor();
  await page.getByText(/^2 connections, 2 subscribers, 1 member, /).waitFor();
  await ann.channels.get('appears').presence.leave();
  await page.getByText('Nobody is present.').waitFor();
  await page.getByText(/^2 connections, 2 subscribers, 0 members, /).waitFor();

  await page.getByRole('link', { name: 'Overview' }).click();
  await live.waitFor();
  await rest(runtime).channels.get('counted').publish('a', 'x');
  // Two events of presence, and a message.
  await page.locator('div.card', { hasText: 'In, last hour' }).getByText('3', { exact: true }).waitFor();
});

const quiet = unlessEvicted('an app tells of the last minutes again after each loss, and the page asks for what there is');

for (const { who, secret, names, pauseMs } of [
  { who: 'a key', secret: key, names: ['Channels', 'Errors'], pauseMs: 1_500 },
  { who: 'the admin token', secret: ADMIN_TOKEN, names: ['Overview', 'Audit', 'Apps and keys', 'Errors'], pauseMs: 5_100 },
]) {
  const title = `a page asks for nothing while nothing happens, though what ${who} asked is counted and told`;
  test(title, { timeout: 90_000, skip: skip || quiet.skip }, async (t) => {
    const { runtime, page } = await opened(t);
    /** @type {string[]} */
    const asked = [];
    let answered = 0;
    const isAsked = (/** @type {import('playwright-core').Request} */ request) =>
      /^\/(stats|channels|apps|metrics|audit|tokens)/.test(new URL(request.url()).pathname);
    page.on('request', (request) => isAsked(request) && asked.push(new URL(request.url()).pathname));
    page.on('response', (response) => { answered += Number(isAsked(response.request())); });
    /** So much time passes, and what is asked in it is answered, and what is asked then. @param {number} ms */
    const pass = async (ms) => {
      await page.clock.runFor(ms);
      for (let before = -1; before < asked.length || answered < before;) {
        before = asked.length;
        await page.evaluate(() => fetch('/console/console.css').then((style) => style.text()));
      }
    };
    await page.clock.install();
    await page.reload();
    /** What is told of each app, by minute. @type {Map<string, Record<string, number>>} */
    const told = new Map();
    const sum = (/** @type {string} */ name) => [...told.values()].reduce((sum, entries) => sum + (entries[name] ?? 0), 0);
    const said = new Heard();
    const observed = ['/tokens', '/apps/demo/tokens'];
    let sockets = observed.length;
    // To a clock that runs ahead a socket may seem late or idle: another then opens the connection, or resumes it.
    page.on('websocket', (socket) => {
      const opens = !new URL(socket.url()).searchParams.has('resume');
      socket.once('framereceived', () => { sockets += Number(opens); });
    });
    for (const path of observed) {
      const { token } = await operate('POST', runtime.url + path);
      await realtime(t, runtime, { key: undefined, token }).channels.get('[meta]stats:minute').subscribe(({ data }) => {
        told.set(`${data.appId} ${data.intervalId}`, data.entries);
        said.hear({ requests: sum('apiRequests.all.succeeded'), connections: sum('connections.all.opened') });
      });
    }
    await signIn(page, secret);
    for (const name of names) {
      await page.getByRole('link', { name, exact: true }).click();
      await page.getByText('Live', { exact: true }).waitFor();
      // It asks once more when it hears, and when something else has happened. Then all that it asked is told.
      for (let times = 0, before = 0; before < asked.length; times++) {
        assert.ok(times < 5, `${name} asks again and again: ${asked}`);
        await pass(pauseMs);
        before = asked.length;
        await said.until(({ requests, connections }) => requests >= before && connections >= sockets);
        await pass(pauseMs);
      }
      const before = asked.length;
      // With all before not so long that a connection seems to be idle.
      await pass(6_000);
      assert.deepEqual(asked.slice(before), [], name);
    }
  });
}

test('an operator sees what happens in every app as it happens', { skip, timeout: 90_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  await signIn(page, ADMIN_TOKEN);
  const live = page.getByText('Live', { exact: true });
  await live.waitFor();
  await fits(page, 'deployment-live');
  const into = page.locator('div.card', { hasText: 'In, last hour' });
  await rest(runtime).channels.get('counted').publish('a', 'x');
  await into.getByText('1', { exact: true }).waitFor();
  const { appId, keys: [{ keyStr }] } = await operate('POST', `${runtime.url}/apps`);
  while ((await holders(runtime, appId)).length === 0);
  assert.deepEqual(await holders(runtime, appId), [`${appId}.[operator]`], 'an app that is made is heard, too');
  await live.waitFor();
  await rest(runtime, { key: keyStr }).channels.get('counted').publish('a', 'x');
  await into.getByText('2', { exact: true }).waitFor();

  await page.getByRole('link', { name: 'Audit' }).click();
  await live.waitFor();
  const ban = { clientId: 'mallory', reason: 'heckling' };
  await operate('POST', `${runtime.url}/apps/${appId}/bans`, ban);
  await page.getByRole('row', { name: 'mallory' }).getByText(appId).waitFor();
  assert.deepEqual([...await holders(runtime, 'demo'), ...await holders(runtime, appId)], [], 'what no page needs is closed');
  await fits(page, 'audit-live');

  await page.getByRole('link', { name: 'Apps and keys' }).click();
  await live.waitFor();
  const { appId: next } = await operate('POST', `${runtime.url}/apps`);
  await page.getByRole('link', { name: next }).waitFor();
  await operate('DELETE', `${runtime.url}/apps/${next}`);
  await page.getByRole('link', { name: next }).waitFor({ state: 'detached' });

  await page.getByRole('link', { name: appId }).click();
  await live.waitFor();
  await operate('POST', `${runtime.url}/apps/${appId}/keys`);
  await page.getByRole('button', { name: 'Rotate' }).nth(1).waitFor();
  await page.getByRole('main').getByRole('link', { name: 'Connections' }).click();
  await live.waitFor();
  const ben = realtime(t, runtime, { key: keyStr, clientId: 'ben' });
  await page.getByRole('cell', { name: 'ben', exact: true }).waitFor();
  await fits(page, 'connections-live');
  ben.close();
  await page.getByRole('cell', { name: 'ben', exact: true }).waitFor({ state: 'detached' });

  await showsRefusal(page, runtime);
  await look(page, true);
  while ((await holders(runtime, 'demo')).length > 0);
  await look(page, false);
  await live.waitFor();
});

test('an operator of many apps asks every five seconds about all of them, and hears the rest', { skip, timeout: 90_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  for (let count = 0; count < 8; count++) await operate('POST', `${runtime.url}/apps`);
  await page.clock.install();
  await page.reload();
  await signIn(page, ADMIN_TOKEN);
  await page.getByText('Every 5 s').waitFor();
  assert.deepEqual(await holders(runtime, 'demo'), []);
  const next = page.waitForRequest(/\/stats/);
  await page.clock.runFor(5_000);
  await next;
  await page.getByRole('link', { name: 'Audit' }).click();
  await page.getByText('Live', { exact: true }).waitFor();
});

test('an operator whose admin token is no more is told so, and asks on', { skip, timeout: 90_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  await signIn(page, ADMIN_TOKEN);
  await page.getByText('Live', { exact: true }).waitFor();
  await runtime.kill();
  runtime.variables = { ADMIN_TOKEN: 'admin-token-that-came-after' };
  await runtime.start();
  await page.getByText('Every 5 s').waitFor();
  await page.getByRole('alert').getByText('40101').waitFor();
});

test('who may hear no metachannel asks every five seconds', { skip, timeout: 60_000 }, async (t) => {
  const runtime = await startRuntime({ apps: [{ id: 'demo', keys: [{ name: 'key1', secret: 'local-only', capability: { '*': ['*'] } }] }] }, { tellsCounts: true });
  t.after(() => runtime.stop());
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.clock.install();
  await page.goto(`${runtime.url}/console/`);
  await signIn(page, key);
  await page.getByRole('link', { name: 'Channels' }).click();
  await page.getByText('Every 5 s').waitFor();
  await realtime(t, runtime).channels.get('appears').attach();
  await page.clock.runFor(6_000);
  await page.getByRole('link', { name: 'appears' }).waitFor();
  await page.getByText('Every 5 s').waitFor();
});

test('an answer that comes after a later one changes nothing', { skip, timeout: 90_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  await signIn(page, key);
  await page.getByRole('link', { name: 'Connections' }).click();
  await page.getByText('Live', { exact: true }).waitFor();
  const ben = realtime(t, runtime, { clientId: 'ben' });
  const cell = page.getByRole('cell', { name: 'ben', exact: true });
  await cell.waitFor();
  const at = /\/apps\/demo\/connections\?/;
  /** @type {{ answer?: (go: () => Promise<void>) => void, isOver: boolean }} */
  const state = { isOver: false };
  const held = new Promise((resolve) => { state.answer = resolve; });
  let asked = 0;
  await page.route(at, async (route) => {
    // What is asked for last would put right what the first one spoilt.
    if (state.isOver) return;
    const isFirst = asked++ === 0;
    const response = await route.fetch();
    if (!isFirst) return route.fulfill({ response });
    state.answer?.(() => route.fulfill({ response }));
  });
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  const answer = await held;
  ben.close();
  await cell.waitFor({ state: 'detached' });
  state.isOver = true;
  const answered = page.waitForResponse(at);
  await /** @type {() => Promise<void>} */ (answer)();
  await (await answered).finished();
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  assert.equal(await cell.count(), 0, 'who has gone stays gone');
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

test('a button that stands in every row says of which row it is', { skip, timeout: 90_000 }, async (t) => {
  const { runtime, page } = await opened(t);
  const ann = realtime(t, runtime, { clientId: 'ann' });
  const channel = ann.channels.get('mutable:room');
  await channel.presence.enter();
  await channel.publish('goal', 'one');
  await signIn(page, key);
  /** @param {string} name */
  const has = (name) => page.getByRole('button', { name, exact: true }).waitFor();
  await page.getByRole('link', { name: 'Connections' }).click();
  const { id } = ann.connection;
  for (const name of [`Reconnect: ann, ${id}`, `Disconnect: ann, ${id}`, 'Ban: ann']) await has(name);
  await page.getByRole('link', { name: 'Channels' }).click();
  await page.getByRole('link', { name: 'mutable:room' }).click();
  for (const name of ['Edit: ann, goal, one', 'Delete: ann, goal, one', 'Ban: ann, goal, one', `Disconnect: ann, ${id}`, `Ban: ann, ${id}`]) await has(name);
  await operate('POST', `${runtime.url}/apps/demo/bans`, { clientId: 'mallory', channel: 'chat:*' });
  await page.getByRole('link', { name: 'Bans' }).click();
  await has('Lift: mallory, chat:*');
  await page.goto(`${runtime.url}/console/#/app`);
  await has('Remove: demo.key1');
});
