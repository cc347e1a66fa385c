/**
 * What the event page is, besides what happens on it: its headers, weight, accessibility, and what hostile input does.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import test, { after } from 'node:test';
import { gzipSync } from 'node:zlib';
import { skip } from './browser.mjs';
import { connected as connectedClient, rest } from './clients.mjs';
import { startRuntime } from './runtime.mjs';
import { Venue, connected, hostKey, openPoll, part, photograph, says, write } from './venue.mjs';

const options = { skip, timeout: 180_000 };
const root = path.resolve(import.meta.dirname, '../..');
const runtime = await startRuntime();
after(() => runtime.stop());

/** Of a page with all that it loads, compressed: what a phone on a train has to fetch. */
const WEIGHT_MAX_BYTES = 200_000;

const parts = ['score', 'slides', 'polls', 'questions', 'chat', 'rooms', 'network'];
const pages = ['/', '/stage', '/embed/score', '/embed/slides', '/embed/poll', '/embed/questions', '/embed/chat',
  '/embed/overlay'];

test('pages and their files come with headers that keep others out, but for what is made to be embedded', async () => {
  for (const file of [...pages, '/event/main.js', '/vendor/ably.min.js']) {
    const { headers, status } = await fetch(`${runtime.url}${file}`);
    assert.equal(status, 200, file);
    const policy = headers.get('content-security-policy') ?? '';
    const isEmbedded = file.startsWith('/embed/');
    assert.match(policy, isEmbedded ? /^default-src 'none'.*frame-ancestors \*$/u
      : /^default-src 'none'.*frame-ancestors 'none'$/u, file);
    assert.ok(!policy.includes('unsafe'), file);
    assert.equal(headers.get('x-frame-options'), isEmbedded ? null : 'DENY', file);
    assert.equal(headers.get('x-content-type-options'), 'nosniff', file);
  }
});

test('no key stands in a page, in a module or in a style', () => {
  const { keys } = JSON.parse(fs.readFileSync(path.join(root, 'bin/demo.json'), 'utf8')).apps[0];
  for (const file of fs.readdirSync(path.join(root, 'www'), { recursive: true, encoding: 'utf8' })) {
    if (!/\.(?:html|js|css|svg)$/u.test(file) || file.startsWith('vendor')) continue;
    const source = fs.readFileSync(path.join(root, 'www', file), 'utf8');
    for (const { name, secret } of keys) assert.ok(!source.includes(`${name}:${secret}`), file);
    assert.doesNotMatch(source, /innerHTML|insertAdjacentHTML|document\.write|\son\w+="|style="/u, file);
  }
});

test('a page says what it can before its scripts have come, and where none may run', async () => {
  const { text } = await import('../../www/event/strings.js');
  for (const file of ['index.html', 'stage.html', 'console/index.html',
    ...fs.readdirSync(path.join(root, 'www/embed')).map((name) => `embed/${name}`)]) {
    const page = fs.readFileSync(path.join(root, 'www', file), 'utf8');
    for (const [, of = '', said] of page.matchAll(/data-text="([^"]+)"[^>]*>([^<]*)</gu)) {
      const says = of.split('.').reduce((/** @type {any} */ node, name) => node[name], text);
      assert.equal(said, says.replace('&', '&amp;'), `${file}: ${of}`);
    }
    assert.ok(file === 'embed/overlay.html' || page.includes('<noscript>'), file);
  }
});

test('an overlay that is placed before the match shows how it will look', options, async (t) => {
  const page = await (await Venue.of(t, runtime)).open('/time', undefined, { isOpen: false });
  await page.route(/[/]sse[?]/u, (route) => route.fulfill({ contentType: 'text/event-stream', body: ': nothing yet\n\n' }));
  await page.goto(`${runtime.url}/embed/overlay`);
  await page.locator('#overlay p').getByText('Play has not begun').waitFor();
  assert.deepEqual(await page.locator('#overlay tr').allInnerTexts(), ['Lund\t0\t0', 'Okafor\t0\t0']);
});

test('the venue with all that it loads is light', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const page = await venue.attendee('Ann');
  const names = await page.evaluate(() => [location.href,
    ...performance.getEntriesByType('resource').map(({ name }) => name)]);
  const files = names.filter((name) => new URL(name).pathname !== '/event/token' && name.startsWith('http'));
  assert.ok(files.length > 15, 'modules are counted');
  let bytes = 0;
  for (const file of new Set(files)) bytes += gzipSync(Buffer.from(await (await fetch(file.split('#')[0] ?? file)).arrayBuffer())).length;
  const painted = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  t.diagnostic(`${bytes} bytes compressed; first render after ${Math.round(painted ?? NaN)} ms`);
  assert.ok(bytes < WEIGHT_MAX_BYTES, `${bytes}`);
});

test('hostile names, messages, links and polls are text, and nothing else', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const markup = '<img src=x onerror=alert(1)><script>alert(2)</script>';
  const host = await venue.open('/stage', undefined, { isOpen: false });
  await host.getByLabel('Host key').fill(markup);
  await host.getByLabel('Your name on stage').fill(markup.slice(0, 40));
  await host.getByRole('button', { name: 'Open', exact: true }).click();
  await host.locator('.refusal').waitFor();
  await host.getByLabel('Host key').fill(hostKey);
  await host.getByLabel('Your name on stage').fill(markup.slice(0, 40));
  await host.getByRole('button', { name: 'Open', exact: true }).click();
  await connected(host);
  const mallory = await venue.attendee(markup.slice(0, 40));
  const ann = await venue.attendee('Ann');
  for (const page of [host, mallory, ann]) page.on('dialog', () => venue.complaints.push('a dialog opened'));
  await write(mallory, 'Write a message',
    `${markup} javascript:alert(3) https://a.example/"onmouseover="alert(4) http://[`);
  await write(mallory, 'Ask a question', markup);
  await openPoll(host, { question: markup, options: [markup, '"><svg onload=alert(5)>'] });
  await host.getByLabel('One slide per paragraph').fill(`${markup}\n${markup}`);
  await host.getByRole('button', { name: 'Present', exact: true }).click();
  await mallory.locator('[data-room="net"]').getByRole('button', { name: 'Step in' }).click();
  await ann.locator('[data-room="net"]').getByText('1 person').waitFor();
  await part(mallory, 'rooms').getByRole('textbox', { name: 'Write a message' }).fill(markup);
  await mallory.keyboard.press('Enter');
  await ann.locator('[data-room="net"]').getByRole('button', { name: 'Step in' }).click();
  await says(ann, 'rooms', markup);
  await part(host, 'questions').getByRole('button', { name: 'Take on stage' }).click();
  await write(host, 'Write a message', markup);
  await part(host, 'chat').getByRole('button', { name: 'Edit' }).click();
  await write(host, 'Write a message', `${markup} again`);
  await says(ann, 'chat', `${markup} again`);
  // What no page of ours would send.
  const raw = rest(runtime).channels;
  const wrong = [];
  for (const data of [null, [], { text: 7 }, { text: {} }, { question: 1, options: [1] },
    { leaders: [1, null, [{}, 'x']] }, { seconds: -1, before: {} }, { people: 'many' }, { score: { sets: 'x' } },
    'text']) {
    wrong.push(...['poll', 'leaders', 'slow', 'people', 'typing', 'name'].map((name) => ({ name, data })));
  }
  for (const name of ['event:chat', 'event:questions', 'event:polls', 'event:score', 'event:audience',
    'event:typing', 'event:names', 'event:room:net']) await raw.get(name).publish(wrong);
  // A key says no more than so much a second.
  const other = rest(runtime, { key: hostKey }).channels.get('event:chat');
  await other.publish({ name: 'message', data: { text: 'the last' }, clientId: '__proto__~x' });
  await says(ann, 'chat', 'the last');
  for (const id of ['questions', 'polls', 'slides']) await says(ann, id, markup);
  await says(ann, 'chat', `${markup} javascript:alert(3)`);
  assert.equal(await ann.locator('main :is(img, script, svg:not(.icon, .growth))').count(), 0);
  const links = await part(ann, 'chat').getByRole('link').evaluateAll((all) => all.map((link) => link.getAttribute('href')));
  assert.deepEqual(links, ['https://a.example/']);
  assert.deepEqual(venue.complaints, []);
});

test('no serious finding of axe-core, in light and in dark', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  const host = await venue.host();
  await part(host, 'score').getByRole('button', { name: 'Lund' }).click();
  await openPoll(host, { question: 'Readable?', options: ['Yes', 'No'] });
  await write(host, 'Write a message', 'Can everyone read this?');
  await says(host, 'chat', 'Can everyone read this?');
  await write(host, 'Ask a question', 'Is this readable, too?');
  const embedded = pages.filter((page) => page.startsWith('/embed/'));
  for (const address of ['/', '/?joined', '/stage#key=demo.host:local-only', ...embedded, '/console']) {
    const page = await venue.open(address, address === '/' ? undefined : 'Ann', { isOpen: address !== '/console' });
    if (!/^\/(?:embed|console)/u.test(address)) await page.locator('#people').getByText('here').waitFor();
    await page.evaluate(axe);
    for (const [colorScheme, width] of /** @type {const} */ ([['light', 1280], ['dark', 1280], ['dark', 390]])) {
      // What goes from one colour to another is neither.
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height: 844 });
      // On a phone one part is shown at a time.
      for (const id of width === 390 && address === '/?joined' ? parts : ['score']) {
        await page.evaluate((hash) => { location.hash = hash; }, id);
        assert.deepEqual(await seriousFindings(page), [], `${address} ${id} ${colorScheme} ${width}`);
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, `${address} ${id}`);
      }
    }
    await page.context().close();
  }
});

/** Of axe-core, which is in the page. @param {import('playwright-core').Page} page */
async function seriousFindings(page) {
  const { violations } = await page.evaluate(() => /** @type {any} */ (window).axe.run());
  const serious = violations.filter((/** @type {any} */ { impact }) => ['serious', 'critical'].includes(impact));
  return serious.map((/** @type {any} */ { id, nodes }) =>
    `${id}: ${nodes.map((/** @type {any} */ node) => node.html.slice(0, 120)).join(' | ')}`);
}

test('parts stand by themselves in the page of another site', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const host = await venue.host();
  await part(host, 'score').getByRole('button', { name: 'New match' }).click();
  await part(host, 'score').getByRole('button', { name: 'Okafor', exact: true }).click();
  await host.locator('.call').getByText('0–15', { exact: true }).waitFor();
  const page = await venue.open('/embed/score', 'Ann');
  await page.locator('.call').getByText('0–15', { exact: true }).waitFor();
  // Another origin, since the name is another one.
  await page.goto(`${runtime.url.replace('127.0.0.1', 'localhost')}/time`);
  await page.setContent(`<iframe src="${runtime.url}/embed/score"></iframe>`);
  await page.frameLocator('iframe').locator('.call').getByText('0–15', { exact: true }).waitFor();
  // One takes part from there as well, though a browser may let it store nothing.
  await page.addInitScript(() => {
    for (const name of ['localStorage', 'sessionStorage']) {
      Object.defineProperty(window, name, { get() { throw new DOMException('closed', 'SecurityError'); } });
    }
  });
  await page.setContent(`<iframe src="${runtime.url}/embed/chat"></iframe>`);
  const frame = page.frameLocator('iframe');
  const say = async (/** @type {string} */ text) => {
    await frame.getByRole('textbox', { name: 'Write a message' }).fill(text);
    await frame.getByRole('button', { name: 'Send' }).click();
  };
  await say('From another site');
  await frame.getByLabel('Your name').fill('Zoe');
  await frame.getByRole('button', { name: 'Join' }).click();
  await frame.locator('[data-connection="connected"]').waitFor();
  await say('From another site');
  await part(host, 'chat').locator('.message', { hasText: 'From another site' }).getByText('Zoe').waitFor();
  for (const id of ['slides', 'poll', 'questions']) {
    await page.setContent(`<iframe src="${runtime.url}/embed/${id}"></iframe>`);
    await frame.locator('[data-connection="connected"]').waitFor();
    assert.equal(await frame.locator('[data-part]').count(), 1, id);
  }

  const overlay = await venue.open('/embed/overlay');
  await overlay.locator('#overlay p').getByText('0–15', { exact: true }).waitFor();
  await part(host, 'score').getByRole('button', { name: 'Okafor', exact: true }).click();
  await overlay.locator('#overlay p').getByText('0–30', { exact: true }).waitFor();
  await photograph(t, overlay, 'event-overlay');
  assert.deepEqual(venue.complaints, []);
});

test('a long chat keeps a window of rows in the page, and frames go on', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const page = await venue.attendee('Ann');
  const channel = (await connectedClient(t, runtime)).channels.get('event:chat');
  await channel.publish('message', { text: 'the first' });
  await says(page, 'chat', 'the first');
  const frames = page.evaluate(() => new Promise((resolve) => {
    const chat = /** @type {HTMLElement} */ (document.querySelector('[data-part="chat"]'));
    let [count, before, longest] = [0, performance.now(), 0];
    const next = (/** @type {number} */ now) => {
      longest = Math.max(longest, now - before);
      [count, before] = [count + 1, now];
      if (chat.textContent?.includes('number 999')) resolve({ count, longest });
      else requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }));
  for (let batch = 0; batch < 20; batch++) {
    await channel.publish(Array.from({ length: 50 },
      (_, index) => ({ name: 'message', clientId: 'Crowd~x', data: { text: `number ${batch * 50 + index}` } })));
  }
  t.diagnostic(`frames while 1,000 messages came: ${JSON.stringify(await frames)}`);
  await says(page, 'chat', 'number 999');
  assert.ok(await part(page, 'chat').locator('.message').count() <= 60);
  // The reader goes up: older rows come, and new messages move nothing.
  const scroller = part(page, 'chat').locator('.list-scroll');
  for (let turn = 0; turn < 3; turn++) {
    const first = await part(page, 'chat').locator('.message').first().getAttribute('data-serial');
    await scroller.evaluate((element) => { element.scrollTop = 0; });
    await page.waitForFunction((known) => document.querySelector('[data-part="chat"] .message')?.getAttribute('data-serial') !== known, first);
  }
  const top = await part(page, 'chat').locator('.message').first().innerText();
  await channel.publish('message', { text: 'meanwhile' });
  await page.getByRole('button', { name: 'Latest messages' }).waitFor();
  assert.equal(await part(page, 'chat').locator('.message').first().innerText(), top);
  await page.getByRole('button', { name: 'Latest messages' }).click();
  await says(page, 'chat', 'meanwhile');
});

test('the stage wants a key, keeps it in its tab, and asks again when it is refused', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const page = await venue.open('/stage#score', undefined, { isOpen: false });
  const give = async (/** @type {string} */ key) => {
    await page.getByLabel('Host key').fill(key);
    await page.getByLabel('Your name on stage').fill('Umpire');
    await page.getByRole('button', { name: 'Open', exact: true }).click();
  };
  await page.getByText('npm start prints a link').waitFor();
  for (const [wrong = '', why = ''] of [['demo.host:something-else', 'This key’s secret is wrong'],
    ['a sentence', 'This is not a key'], ['demo.none:local-only', 'This server has no such key'],
    ['demo.event:local-only', 'This key is not a host’s']]) {
    await give(wrong);
    await page.locator('.refusal', { hasText: why }).waitFor();
  }
  await give(hostKey);
  await connected(page);
  await write(page, 'Write a message', 'Quiet, please');
  await part(page, 'chat').locator('.message', { hasText: 'Quiet, please' }).getByText('Umpire').waitFor();
  await page.reload();
  await connected(page);
  const given = await venue.host();
  assert.equal(new URL(given.url()).hash, '', 'the key is taken out of the address');
  // Who runs no server of their own starts none.
  await page.route('http://event.example/**', (route) => route.fulfill({ path: path.join(root, 'www',
    new URL(route.request().url()).pathname.replace(/^\/stage$/u, '/stage.html')) }));
  await page.goto('http://event.example/stage');
  await page.getByLabel('Host key').waitFor();
  await page.getByText('The key stays in this tab').waitFor();
  assert.equal(await page.getByText('npm start').isVisible(), false);
});

test('an attendee may do what the page lets attendees do, and nothing that hosts do', async () => {
  const body = JSON.stringify({ name: 'Mallory', seat: '0123456789abcdef' });
  const { token, capability } = await (await fetch(`${runtime.url}/event/token`, { method: 'POST', body })).json();
  const mallory = rest(runtime, { key: undefined, token }).channels;
  const api = rest(runtime).channels;
  const { serials } = await api.get('event:chat').publish({ name: 'message', clientId: 'Ann~a',
    data: { text: 'mine' } });
  const serial = String(serials[0]);
  const refused = { code: 40160 };
  for (const name of ['event:score', 'event:polls', 'event:audience', 'event:stage', 'event:crowd', 'other']) {
    await assert.rejects(mallory.get(name).publish('a', 'b'), refused, name);
  }
  await assert.rejects(mallory.get('event:backstage').history(), refused);
  await assert.rejects(mallory.get('event:chat').updateMessage({ serial, data: { text: 'yours' } }), refused);
  await assert.rejects(mallory.get('event:chat').deleteMessage({ serial, data: {} }), refused);
  await assert.rejects(mallory.get('event:chat').publish({ name: 'message', clientId: 'Host',
    data: { text: 'I am the host' } }), { code: 40012 });
  assert.ok(!JSON.parse(capability)['event:stage'].includes('object-publish'));
});

/** `SCREENSHOTS=docs` makes it anew. */
test('the picture in the README is of this page', options, async (t) => {
  const own = await startRuntime();
  t.after(() => own.stop());
  const venue = await Venue.of(t, own);
  const host = await venue.host();
  const api = rest(own).channels;
  for (const player of ['Lund', 'Okafor', 'Lund', 'Lund', 'Lund', 'Okafor', 'Lund', 'Okafor']) await part(host,
    'score').getByRole('button', { name: player, exact: true }).click();
  await host.locator('.call').getByText('15–30', { exact: true }).waitFor();
  const said = [['Ada~a', 'What a rally, hello from Lagos'], ['Noa~n', 'That return! ❤'], ['Jun~j', 'Was that in?'],
    ['Host', 'Poll is open: who takes the match?'], ['Pia~p', 'Okafor in three, easily']];
  for (const [clientId = '', text] of said) await api.get('event:chat').publish({ name: 'message', clientId,
    data: { text: String(text).replace(' ❤', '') } });
  const [liked] = (await api.get('event:chat').history()).items.filter(({ clientId }) => clientId === 'Noa~n');
  for (const clientId of ['Ada~a', 'Pia~p', 'Jun~j']) await rest(own,
    { clientId }).channels.get('event:chat').annotations.publish(String(liked?.serial),
    { type: 'reaction:distinct.v1', name: 'heart' });
  await openPoll(host, { question: 'Who takes the match?',
    options: ['Lund in two', 'Lund in three', 'Okafor in three'] });
  await says(host, 'polls', 'Who takes the match?');
  const page = await venue.attendee('Mia', { width: 1280, height: 800 });
  await page.locator('#people').getByText('2 people here').waitFor();
  await page.locator('.call').getByText('15–30', { exact: true }).waitFor();
  await page.locator('[data-total="3"]').waitFor();
  await photograph(t, page, 'event', { fullPage: false });
  const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
  const picture = readme.match(/!\[[^\]]+\]\(([^)]+\.png)\)/u)?.[1] ?? '';
  assert.equal(picture, 'docs/courtside-event.png');
  assert.ok(fs.existsSync(path.join(root, picture)));
});

test('without EVENT_KEY there is no page and no token', async (t) => {
  const secret = 'a-secret-of-our-own';
  const keys = [{ name: 'main', secret }, { name: 'ended', secret, validUntil: 1 }];
  const apps = { apps: [{ id: 'own', keys, namespaces: [] }] };
  const ask = async (/** @type {string} */ url) => {
    const body = JSON.stringify({ name: 'Ann', seat: '0123456789abcdef' });
    const answers = [await fetch(`${url}/`), await fetch(`${url}/stage`), await fetch(`${url}/embed/score`),
      await fetch(`${url}/event/token`, { method: 'POST', body })];
    return Promise.all(answers.map(async (answer) => (await answer.json()).error?.code));
  };
  const off = await startRuntime(apps);
  t.after(() => off.stop());
  assert.deepEqual(await ask(off.url), [40400, 40400, 40400, 40400]);
  for (const name of ['own.other', 'own.ended']) {
    const wrong = await startRuntime(apps, { variables: { EVENT_KEY: name } });
    t.after(() => wrong.stop());
    assert.deepEqual(await ask(wrong.url), [50320, 50320, 50320, 50320], name);
  }
});
