/** Webhooks: what receivers get, and what becomes of events when they fail. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import test, { after, describe } from 'node:test';
import { fits, launch, skip } from './browser.mjs';
import { closed, connected, rest } from './clients.mjs';
import { isSigned, Receiver } from './receiver.mjs';
import { startRuntime } from './runtime.mjs';

const receiver = await Receiver.start({ after });
const secret = 'a-secret-of-the-receiver';
const adminToken = 'an-admin-token';

/** @param {string} id @param {object} [more] */
const hook = (id, more) => ({ id, url: receiver.url(`/${id}`), secret, channels: `${id}:*`, ...more });

const everything = [
  'channel.message', 'channel.message.updated', 'channel.message.deleted', 'channel.presence', 'channel.lifecycle',
  'channel.occupancy',
];
const comings = ['connection.opened', 'connection.closed'];
const faulty = ['busy', 'refusing', 'later', 'gone', 'moved', 'hanging'];
const apps = {
  apps: [{
    id: 'demo',
    keys: [{ name: 'key1', secret: 'local-only', pusher: true, capability: { '*': ['*'] } }],
    namespaces: [
      { id: 'single', traced: true },
      { id: 'all', mutableMessages: true, webhooks: [{ id: 'all', url: receiver.url('/all'), key: 'key1', events: everything }] },
    ],
    webhooks: [
      hook('single', { requestMode: 'single' }),
      hook('bare', { requestMode: 'single', enveloped: false, events: ['channel.message', 'channel.presence'] }),
      ...faulty.map((id) => hook(id)),
      hook('comings', { events: comings }),
      hook('goings', { events: ['connection.closed'], requestMode: 'single', enveloped: false }),
    ],
  }],
};
const variables = { WEBHOOK_PRIVATE_ADDRESSES: 'true', ADMIN_TOKEN: adminToken };
const runtime = await startRuntime(apps, { variables, tellsCounts: true });
after(() => runtime.stop());

/** What an operator is told of the app's webhooks, once this is so. @param {(told: any) => unknown} isSo */
async function told(isSo) {
  for (;;) {
    const response = await fetch(`${runtime.url}/apps/demo/webhooks`, { headers: { authorization: `Bearer ${adminToken}` } });
    assert.equal(response.status, 200);
    const answer = await response.json();
    if (isSo(answer)) return answer;
  }
}

/** @param {string} path */
const requests = (path) => receiver.received.filter((request) => request.path === path);

test('a receiver hears of messages, changes, presence and the channel itself, signed by a key', async (t) => {
  const client = await connected(t, runtime, { clientId: 'ann' });
  const channel = client.channels.get('all:room');
  await channel.attach();
  const { serials: [serial] } = /** @type {any} */ (await channel.publish('score', { points: [15, 0] }));
  await channel.updateMessage({ serial, data: 'updated' });
  await channel.deleteMessage({ serial });
  await channel.presence.enter('seat 4');
  await channel.presence.leave();
  await closed(client);
  const names = () => receiver.items('/all').map(({ name }) => name);
  await receiver.until(() => names().includes('channel.vacated'));

  const items = receiver.items('/all');
  assert.deepEqual(new Set(names()), new Set(['channel.opened', 'channel.occupied', 'channel.message', 'presence.message', 'channel.vacated']));
  assert.equal(new Set(items.map(({ id }) => id)).size, items.length, 'each once');
  const messages = items.filter(({ name }) => name === 'channel.message');
  assert.deepEqual(messages.map(({ data }) => data.messages[0].action), [0, 1, 2]);
  const { data, timestamp, ...item } = messages[0];
  assert.deepEqual(item, { webhookId: 'all', id: item.id, serial: item.id, source: 'channel.message', name: 'channel.message' });
  assert.equal(data.channelId, 'all:room');
  const [message] = data.messages;
  assert.deepEqual(
    [message.name, message.data, message.encoding, message.serial, message.timestamp, message.clientId],
    ['score', '{"points":[15,0]}', 'json', serial, timestamp, 'ann'],
  );
  const presence = items.filter(({ source }) => source === 'channel.presence').map((one) => one.data.presence[0]);
  assert.deepEqual(presence.map(({ action, clientId, data }) => [action, clientId, data ?? null]), [[2, 'ann', 'seat 4'], [3, 'ann', 'seat 4']]);

  const [request] = requests('/all');
  assert.ok(request);
  assert.ok(isSigned(request, 'local-only'));
  assert.equal(request.headers['x-ably-key'], 'demo.key1');
  assert.equal(request.headers['content-type'], 'application/json');
});

/** A piece of code of the documentation. @param {string} language */
function documented(language) {
  const text = fs.readFileSync(new URL('../../docs/webhooks.md', import.meta.url), 'utf8');
  return text.match(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``))?.[1] ?? assert.fail(language);
}

test('what the documentation says of signatures knows genuine bodies from others, in Node', async () => {
  const { isGenuine } = await import(`data:text/javascript,${encodeURIComponent(documented('js'))}`);
  const { body, headers } = requests('/all')[0] ?? assert.fail('nothing came');
  const signature = headers['x-ably-signature'];
  assert.equal(isGenuine(body, signature, 'local-only'), true);
  assert.equal(isGenuine(Buffer.concat([body, Buffer.from(' ')]), signature, 'local-only'), false);
  for (const other of [undefined, '', 'x', Buffer.alloc(32).toString('base64')]) assert.equal(isGenuine(body, other, 'local-only'), false);
});

const noPython = spawnSync('python3', ['-c', '']).status === 0 ? false : 'no python3 here';

test('the same in Python', { skip: noPython }, () => {
  const { body, headers } = requests('/all')[0] ?? assert.fail('nothing came');
  const check = `import sys\nbody = sys.stdin.buffer.read()\nsignature = sys.argv[1]\nsecret = 'local-only'
print([is_genuine(body, signature, secret), is_genuine(body + b' ', signature, secret), is_genuine(body, None, secret)])`;
  const args = ['-c', `${documented('python')}\n${check}`, String(headers['x-ably-signature'])];
  const { stdout, stderr } = spawnSync('python3', args, { input: body, encoding: 'utf8' });
  assert.equal(stdout.trim(), '[True, False, False]', stderr);
});

test('a receiver gets events one by one, with an envelope or without', async () => {
  const { channels } = rest(runtime);
  await channels.get('single:room').publish([{ name: 'a', data: 'one' }, { data: 'two' }]);
  await channels.get('single:room').publish('b', 'three');
  await receiver.until(() => requests('/single').length === 2);
  const bodies = requests('/single').map(({ body }) => JSON.parse(body.toString()));
  assert.deepEqual(bodies.map(({ messages }) => messages.map((/** @type {any} */ { data }) => data)), [['one', 'two'], ['three']]);
  const { source, appId, channel, ruleId } = bodies[0];
  assert.deepEqual([source, appId, channel, ruleId], ['channel.message', 'demo', 'single:room', 'single']);

  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  await rest(runtime).request('post', '/channels/single:room/messages', 3, {}, { data: 'four' }, { traceparent });
  await receiver.until(() => requests('/single').length === 3);
  assert.deepEqual(requests('/single').map(({ headers }) => headers.traceparent), [undefined, undefined, traceparent]);
  const extras = { headers: { traceparent } };
  await channels.get('bare:ü').publish([{ name: 'é', data: 'one', extras }, { data: { a: 1 } }, { data: Buffer.from([0, 255]) }]);
  await receiver.until(() => requests('/bare').length === 3);
  const bare = requests('/bare');
  assert.ok(bare.every((request) => isSigned(request, secret)));
  assert.deepEqual(bare.map(({ headers }) => headers['content-type']), ['text/plain; charset=utf-8', 'application/json', 'application/octet-stream']);
  assert.deepEqual(bare.map(({ body }) => body.toString('hex')), ['one', '{"a":1}'].map((text) => Buffer.from(text).toString('hex')).concat('00ff'));
  const [first] = bare;
  assert.equal(decodeURIComponent(String(first?.headers['x-ably-envelope-channel'])), 'bare:ü');
  assert.equal(decodeURIComponent(String(first?.headers['x-ably-message-name'])), 'é');
  assert.equal(first?.headers.traceparent, traceparent);
  assert.equal(new Set(bare.map(({ headers }) => headers['x-ably-envelope-id'])).size, 3);
});

test('a receiver hears of connections by themselves, through whichever door they come', async (t) => {
  const client = await connected(t, runtime, { clientId: 'eva' });
  const id = client.connection.id;
  const of = (/** @type {string | undefined} */ id) => receiver.items('/comings').filter(({ data }) => data.connection.connectionId === id);
  await receiver.until(() => of(id).length === 1);
  const [opened] = of(id);
  const { openedAt, ...known } = opened.data.connection;
  const expected = { connectionId: id, clientId: 'eva', keyName: 'demo.key1', door: 'ably', transport: 'websocket' };
  assert.deepEqual(known, expected);
  assert.deepEqual([opened.name, opened.source, opened.webhookId], ['connection.opened', 'connection.lifecycle', 'comings']);
  assert.ok(!('channelId' in opened.data) && Number.isInteger(openedAt));
  client.close();
  await receiver.until(() => of(id).length === 2);
  const closed = of(id)[1].data.connection;
  assert.deepEqual([closed.reason, closed.openedAt, closed.closedAt >= openedAt], ['closed', openedAt, true]);
  await receiver.until(() => requests('/goings').some(({ body }) => JSON.parse(body.toString()).connectionId === id));
  const bare = requests('/goings').find(({ body }) => JSON.parse(body.toString()).connectionId === id);
  assert.equal(bare?.headers['x-ably-envelope-name'], 'connection.closed');
  assert.equal(bare?.headers['x-ably-envelope-channel'], undefined);

  const pusher = new WebSocket(`${runtime.url.replace('http', 'ws')}/app/demo.key1?protocol=7&client=raw&version=1`);
  t.after(() => pusher.close());
  const doors = () => receiver.items('/comings').filter(({ data }) => data.connection.door === 'pusher').map(({ name }) => name);
  await receiver.until(() => doors().includes('connection.opened'));
  pusher.close();
  await receiver.until(() => doors().includes('connection.closed'));

  const listed = await rest(runtime).request('get', '/channels', 3, { by: 'id' });
  assert.ok(!listed.items.some((name) => String(name).includes('connection.lifecycle')), 'their channel is no client\'s');
  await assert.rejects(rest(runtime).channels.get('[meta]connection.lifecycle').publish('x', 'y'), { code: 40010 });
});

/** Each waits for its receiver to be tried again: so they wait together. */
describe('a receiver that fails', { concurrency: true }, () => {
  test('what a busy receiver refuses comes again, in order and once', async () => {
    receiver.answers.set('/busy', [{ status: 500 }, { status: 503 }]);
    const channel = rest(runtime).channels.get('busy:room');
    for (const data of ['a', 'b', 'c']) await channel.publish('x', data);
    await receiver.until(() => receiver.data('/busy').length >= 3);
    assert.deepEqual(receiver.data('/busy'), ['a', 'b', 'c']);
    assert.deepEqual(requests('/busy').slice(0, 2).map(({ status }) => status), [500, 503]);
  });

  test('events that a receiver calls wrong are given up after some tries, and others follow', async () => {
    receiver.answers.set('/refusing', Array(6).fill({ status: 400 }));
    const channel = rest(runtime).channels.get('refusing:room');
    await channel.publish('x', 'wrong');
    await receiver.until(() => requests('/refusing').length === 6);
    await channel.publish('x', 'right');
    await receiver.until(() => receiver.data('/refusing').length);
    assert.deepEqual(receiver.data('/refusing'), ['right']);
    const { deadLetters } = await told(({ deadLetters }) => deadLetters.some((/** @type {any} */ dead) => dead.webhookId === 'refusing'));
    const [dead] = deadLetters.filter((/** @type {any} */ dead) => dead.webhookId === 'refusing');
    assert.deepEqual([dead.channel, dead.count, dead.error.code], ['refusing:room', 1, 70002]);
    const path = `${runtime.url}/apps/demo/webhooks/dead-letters`;
    for (const authorization of [`Bearer ${adminToken}`, `Basic ${btoa('demo.key1:local-only')}`]) {
      const letters = await fetch(path, { headers: { authorization } });
      const [letter] = (await letters.json()).filter((/** @type {any} */ one) => one.webhookId === 'refusing');
      assert.deepEqual([letter.count, letter.events[0].id, letter.events[0].data.messages[0].data], [1, dead.first, 'wrong']);
    }
    assert.equal((await fetch(path)).status, 401);
  });

  test('a receiver that asks for a pause is sent the same again', async () => {
    receiver.answers.set('/later', [{ status: 429, headers: { 'retry-after': '3' } }]);
    await rest(runtime).channels.get('later:room').publish('x', 'a');
    await receiver.until(() => receiver.data('/later').length);
    assert.deepEqual(requests('/later').map(({ status }) => status), [429, 200]);
    assert.deepEqual(receiver.data('/later'), ['a']);
  });

  test('a redirect is not followed', async () => {
    receiver.answers.set('/moved', [{ status: 307, headers: { location: receiver.url('/elsewhere') } }]);
    await rest(runtime).channels.get('moved:room').publish('x', 'a');
    await receiver.until(() => receiver.data('/moved').length);
    assert.deepEqual([receiver.data('/moved'), requests('/elsewhere')], [['a'], []]);
  });

  test('a receiver that hangs is tried again', async () => {
    receiver.answers.set('/hanging', [{ status: 0 }]);
    await rest(runtime).channels.get('hanging:room').publish('x', 'a');
    await receiver.until(() => receiver.data('/hanging').length);
    assert.deepEqual(receiver.data('/hanging'), ['a']);
  });
});

test('a receiver that is gone gets nothing more until its webhook changes', async () => {
  receiver.answers.set('/gone', [{ status: 410 }]);
  const channel = rest(runtime).channels.get('gone:room');
  await channel.publish('x', 'a');
  const isEnded = (/** @type {any} */ one) => one.webhookId === 'gone' && one.state === 'ended';
  const { troubled } = await told(({ troubled }) => troubled.some(isEnded));
  assert.equal(troubled.find(isEnded).error.code, 70000);
  await channel.publish('x', 'b');
  await runtime.kill();
  runtime.apps = { apps: [{ ...apps.apps[0], webhooks: [hook('gone', { events: ['channel.message', 'channel.presence'] })] }] };
  await runtime.start();
  await channel.publish('x', 'c');
  await receiver.until(() => receiver.data('/gone').length);
  assert.deepEqual(receiver.data('/gone'), ['c']);
  await told(({ troubled }) => !troubled.some(isEnded));
  await runtime.kill();
  runtime.apps = apps;
  await runtime.start();
});

test('an operator sees in the console where webhooks fail and what was given up', { skip, timeout: 90_000 }, async (t) => {
  receiver.answers.set('/single', [{ status: 410 }]);
  await rest(runtime).channels.get('single:room').publish('x', 'unwanted');
  await told(({ troubled }) => troubled.some((/** @type {any} */ one) => one.webhookId === 'single'));
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${runtime.url}/console/#/errors`);
  await page.getByLabel('API key, or the admin token').fill(adminToken);
  await page.keyboard.press('Enter');
  await page.getByRole('row', { name: /single:room ended .* 410 and gets nothing more \(70000\)/ }).waitFor();
  const letter = page.getByRole('row', { name: /refusing:room .* answered 400 \(70002\)/ });
  await letter.waitFor();
  await fits(page, 'webhooks');
  await letter.locator('summary').focus();
  await page.keyboard.press('Enter');
  await letter.getByText('"data": "wrong"').waitFor();
  const looked = page.waitForResponse((response) => response.url().includes('/dead-letters'));
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await (await looked).finished();
  await page.evaluate(() => new Promise(requestAnimationFrame));
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'SUMMARY');
  await letter.getByText('"data": "wrong"').waitFor();
  await fits(page, 'webhooks-open');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('API key, or the admin token').fill('demo.key1:local-only');
  await page.keyboard.press('Enter');
  await letter.locator('summary').click();
  await letter.getByText('"data": "wrong"').waitFor();
  await fits(page, 'webhooks-of-a-key');
});

test('what was given up goes when an operator says so, of one channel or of all', async () => {
  const path = `${runtime.url}/apps/demo/webhooks/dead-letters`;
  const headers = { authorization: `Bearer ${adminToken}` };
  const channels = async () => (await (await fetch(path, { headers })).json()).map((/** @type {any} */ one) => one.channel);
  receiver.answers.set('/refusing', Array(6).fill({ status: 400 }));
  await rest(runtime).channels.get('refusing:other').publish('x', 'wrong');
  await told(({ deadLetters }) => deadLetters.some((/** @type {any} */ dead) => dead.channel === 'refusing:other'));
  assert.deepEqual((await channels()).sort(), ['refusing:other', 'refusing:room']);
  assert.equal((await fetch(`${path}?channel=refusing:room`, { method: 'DELETE', headers })).status, 204);
  assert.deepEqual(await channels(), ['refusing:other']);
  assert.equal((await fetch(path, { method: 'DELETE', headers })).status, 204);
  assert.deepEqual(await channels(), []);
});

test('webhooks are counted, and of no app in particular', async () => {
  const scrape = async () => {
    const response = await fetch(`${runtime.url}/metrics`, { headers: { authorization: `Bearer ${adminToken}` } });
    return response.text();
  };
  const value = (/** @type {string} */ text, /** @type {string} */ outcome) =>
    Number(text.match(new RegExp(`^courtside_webhook_requests_total\\{outcome="${outcome}"\\} (\\d+)$`, 'm'))?.[1]);
  let text = '';
  do text = await scrape(); while (value(text, 'delivered') < 3 || value(text, 'failed') < 3);
  assert.doesNotMatch(text, /busy:room|a-secret/);
});

test('a webhook at a private address is refused where the operator does not allow it', async (t) => {
  const strict = await startRuntime(apps, { variables: { ADMIN_TOKEN: adminToken } });
  t.after(() => strict.stop());
  await assert.rejects(rest(strict).channels.get('busy:room').publish('x', 'a'), { code: 50320, message: /WEBHOOK_PRIVATE_ADDRESSES/ });
  assert.ok(!strict.log.includes(secret) && !runtime.log.includes(secret), 'no log shows a secret');
});
