/** An event in a real browser: a host and three attendees go through every part of the page, network cuts included. */
import assert from 'node:assert/strict';
import path from 'node:path';
import test, { after } from 'node:test';
import { standBy } from '../../scripts/crowd.mjs';
import { skip } from './browser.mjs';
import { connected as connectedClient, demoKey, rest } from './clients.mjs';
import { unlessKilled } from './kills.mjs';
import { Network } from './network.mjs';
import { demoApps, startRuntime } from './runtime.mjs';
import { Venue, connected, openPoll, part, photograph, says, write } from './venue.mjs';

const options = { skip, timeout: 180_000 };
const runtime = await startRuntime();
after(() => runtime.stop());

/** The key whose tokens attendees get. @type {{ capability: Record<string, string[]> }} */
const attendees = demoApps.apps[0].keys.find((/** @type {any} */ { name }) => name === 'event');

test('the score is seen by all, and its history is a timeline', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann] = [await venue.host(), await venue.attendee('Ann')];
  const points = part(host, 'score');
  for (const [player, call] of [['Lund', '15–0'], ['Okafor', '15 all'], ['Okafor', '15–30']]) {
    await points.getByRole('button', { name: player, exact: true }).click();
    await ann.locator('.call').getByText(call ?? '', { exact: true }).waitFor();
  }
  assert.deepEqual(await ann.locator('.timeline .what').allInnerTexts(), ['15–30', '15 all', '15–0']);
  assert.deepEqual(await ann.locator('.board .points').allInnerTexts(), ['15', '30']);
  assert.equal(await ann.getByRole('button', { name: 'New match' }).count(), 0, 'attendees keep no score');

  // What else is published there is no score.
  await rest(runtime).channels.get('event:score').publish('score', 'Game Point!');
  const bob = await venue.attendee('Bob', { width: 390, dark: true });
  await bob.locator('.call').getByText('15–30', { exact: true }).waitFor();
  await photograph(t, bob, 'event-score-phone');
  assert.deepEqual(venue.complaints, []);
});

test('chat: edited, deleted, reacted to, and moderated', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann, bob] = [await venue.host(), await venue.attendee('Ann'),
    await venue.attendee('Bob', { width: 390 })];
  await bob.goto(`${runtime.url}/#chat`);
  await ann.getByRole('textbox', { name: 'Write a message' }).pressSequentially('Wh');
  await says(bob, 'chat', 'Ann is typing…');
  await write(ann, 'Write a message', 'What a rally, see https://example.com/rally.');
  await says(bob, 'chat', 'What a rally');
  const link = bob.getByRole('link', { name: 'https://example.com/rally', exact: true });
  assert.deepEqual([await link.getAttribute('href'), await link.getAttribute('rel')],
    ['https://example.com/rally', 'noopener noreferrer nofollow ugc']);

  await part(bob, 'chat').getByRole('button', { name: 'Great shot (0)' }).click();
  await part(ann, 'chat').getByRole('button', { name: 'Great shot (1)' }).click();
  await part(bob, 'chat').getByRole('button', { name: 'Great shot (2)' }).click();
  await part(ann, 'chat').locator('.reaction[aria-label^="Great shot (1)"][aria-pressed="true"]').waitFor();

  await part(ann, 'chat').getByRole('button', { name: 'Edit' }).click();
  await write(ann, 'Write a message', 'What a point!');
  await says(bob, 'chat', 'What a point!');
  await says(bob, 'chat', 'edited');
  assert.equal(await part(bob, 'chat').getByRole('button', { name: 'Delete' }).count(), 0, 'of others nobody deletes');

  await part(host, 'chat').getByRole('button', { name: 'Delete' }).click();
  await says(ann, 'chat', 'This message was deleted');
  await says(bob, 'chat', 'This message was deleted');

  await write(bob, 'Write a message', 'Buy my rackets');
  await says(ann, 'chat', 'Buy my rackets');
  await part(host, 'chat').getByRole('button', { name: 'Mute' }).last().click();
  await part(ann, 'chat').getByText('Buy my rackets').waitFor({ state: 'detached' });
  await says(bob, 'chat', 'The host has muted you.');
  // Whoever leaves the page aside is refused as well, under another name, too, and goes on to read.
  const seat = await bob.evaluate(() => String(localStorage.getItem('event-seat')));
  for (const name of ['Bob', 'Robert']) {
    const rude = await connectedClient(t, runtime, { key: undefined, token: (await attendeeToken(name, seat)).token });
    const chat = rude.channels.get('event:chat');
    await assert.rejects(chat.publish('message', { text: 'Buy them' }), { code: 40300 });
    const over = rest(runtime, { key: undefined, token: (await attendeeToken(name, seat)).token });
    await assert.rejects(over.channels.get('event:room:net').publish('message', { text: 'Buy' }), { code: 40300 });
    assert.ok((await chat.history()).items.length > 0);
    // Nor anywhere else that others hear; each shake has a channel that nobody else knows.
    for (const [channel, operations] of Object.entries(attendees.capability)) {
      if (!operations.includes('publish') || channel === 'event:shake:*') continue;
      const extras = { ephemeral: true };
      await assert.rejects(over.channels.get(channel.replace('*', 'net')).publish({ data: 'Buy', extras }), { code: 40300 }, channel);
    }
  }
  await part(host, 'chat').getByRole('button', { name: 'Unmute' }).last().click();
  await part(ann, 'chat').getByText('Buy my rackets').waitFor();
  await write(bob, 'Write a message', 'I shall be good');
  await says(ann, 'chat', 'I shall be good');
  await photograph(t, host, 'event-stage');
  assert.deepEqual(venue.complaints, []);
});

test('an attendee says neither much at once nor too often, whatever the page would do', options, async (t) => {
  const { token } = await attendeeToken('Flood');
  const typing = rest(runtime, { key: undefined, token }).channels.get('event:typing');
  await assert.rejects(typing.publish({ data: 'x'.repeat(60_000), extras: { ephemeral: true } }), { code: 40009 });
  const often = (await connectedClient(t, runtime, { key: undefined, token })).channels.get('event:typing');
  const answers = await Promise.allSettled(Array.from({ length: 60 }, () => often.publish('typing', {})));
  const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason.code] : []));
  assert.ok(refused.length > 0 && refused.every((code) => code === 42911), `${refused}`);
});

test('nobody says that they type among many who do, nor in slow mode', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann, bob] = [await venue.host(), await venue.attendee('Ann'), await venue.attendee('Bob')];
  const typing = (await connectedClient(t, runtime)).channels.get('event:typing');
  /** @type {string[]} */
  const heard = [];
  await typing.subscribe(({ clientId = '', data }) => { if (data?.in !== 'end') heard.push(clientId); });
  /**
   * Whether this one was heard to type what was then sent.
   * @param {import('playwright-core').Page} page @param {string} said
   */
  const isHeard = async (page, said) => {
    const id = await page.evaluate(() => String(localStorage.getItem('event-name')));
    await page.getByRole('textbox', { name: 'Write a message' }).first().pressSequentially(said);
    await page.keyboard.press('Enter');
    await says(host, 'chat', said);
    // What was said before on this channel has come before.
    const end = new Promise((resolve) => { void typing.subscribe('end', resolve); });
    await typing.publish({ name: 'end', data: { in: 'end' }, extras: { ephemeral: true } });
    await end;
    return heard.some((clientId) => clientId.startsWith(`${id}~`));
  };
  const all = Array.from({ length: 10 }, (_, index) => ({
    name: 'typing', clientId: `Typist${index}~x`, data: { in: 'event:chat' }, extras: { ephemeral: true },
  }));
  const type = () => void rest(runtime).channels.get('event:typing').publish(all);
  type();
  const going = setInterval(type, 1_000);
  await says(ann, 'chat', 'Several people are typing…');
  assert.equal(await isHeard(ann, 'Among many'), false);
  clearInterval(going);
  await host.getByLabel('Slow mode').selectOption('60');
  await says(bob, 'chat', 'One message each 60 s');
  await part(bob, 'chat').getByText('Several people are typing…').waitFor({ state: 'detached' });
  assert.equal(await isHeard(bob, 'Slowly'), false);
  await host.getByLabel('Slow mode').selectOption('0');
  await part(bob, 'chat').locator('.note', { hasText: 'One message' }).waitFor({ state: 'detached' });
  const cy = await venue.attendee('Cy');
  assert.equal(await isHeard(cy, 'As usual'), true);
});

test('slow mode holds for who ignores it, too', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, cy] = [await venue.host(), await venue.attendee('Cy')];
  await host.getByLabel('Slow mode').selectOption('60');
  await part(cy, 'chat').locator('.note', { hasText: 'One message' }).waitFor();
  // A client of its own, that knows nothing of slow mode; then a host, whom it does not bind.
  const rude = rest(runtime, { clientId: 'Rude~nomark' }).channels.get('event:chat');
  const other = rest(runtime, { clientId: 'Announcer' }).channels.get('event:chat');
  for (const said of ['first of rude', 'second of rude']) await rude.publish('message', { text: said });
  for (const said of ['first of host', 'second of host']) await other.publish('message', { text: said });
  await says(cy, 'chat', 'second of host');
  await says(cy, 'chat', 'first of rude');
  assert.equal(await part(cy, 'chat').getByText('second of rude').count(), 0);
  const late = await venue.attendee('Late');
  await says(late, 'chat', 'second of host');
  assert.equal(await part(late, 'chat').getByText('second of rude').count(), 0, 'nor for who comes later');

  await write(cy, 'Write a message', 'my first word');
  await says(cy, 'chat', 'my first word');
  await write(cy, 'Write a message', 'my second word');
  await says(cy, 'chat', /Slow mode: \d+ s to go/u);
  const rash = await connectedClient(t, runtime, { key: undefined, token: (await attendeeToken('Rash')).token });
  await rash.channels.get('event:chat').publish('message', { text: 'first of rash' });
  await assert.rejects(rash.channels.get('event:chat').publish('message', { text: 'second' }), { code: 42911 });
  // What other tests switched off stands there, too.
  const offs = part(cy, 'chat').getByText('Slow mode: off');
  const before = await offs.count();
  await host.getByLabel('Slow mode').selectOption('0');
  await offs.nth(before).waitFor();
  await rash.channels.get('event:chat').publish('message', { text: 'third of rash' });
  await says(cy, 'chat', 'third of rash');
});

test('a poll has one vote of each, and a quiz its answer only when it is revealed', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann, bob, cy] = [await venue.host(), await venue.attendee('Ann'), await venue.attendee('Bob'),
    await venue.attendee('Cy', { width: 390, dark: true })];
  await openPoll(host, { question: 'Who wins?', options: ['Lund', 'Okafor'] });
  const choose = (/** @type {import('playwright-core').Page} */ page, /** @type {RegExp} */ option) => part(page,
    'polls').getByRole('button', { name: option }).first().click();
  await choose(ann, /^Lund/u);
  await choose(bob, /^Lund/u);
  await says(ann, 'polls', '2 votes');
  await choose(ann, /^Okafor/u);
  await part(host, 'polls').locator('.choice', { hasText: 'Okafor' }).getByText('50 %').waitFor();
  assert.equal(await part(host, 'polls').locator('.total').first().innerText(), '2 votes',
    'a vote is changed, not added');
  // A press is a click, whatever is counted and drawn before its end.
  const shares = (/** @type {string} */ option, /** @type {string} */ share) => part(host, 'polls')
    .locator('.choice', { hasText: option }).getByText(share).waitFor();
  await part(ann, 'polls').getByRole('button', { name: /^Lund/u }).first().hover();
  await ann.mouse.down();
  await choose(bob, /^Okafor/u);
  await shares('Okafor', '100 %');
  await ann.evaluate(() => new Promise((drawn) => { requestAnimationFrame(() => requestAnimationFrame(drawn)); }));
  await ann.mouse.up();
  await shares('Lund', '50 %');
  await choose(ann, /^Okafor/u);
  await shares('Okafor', '100 %');
  await choose(bob, /^Lund/u);
  await shares('Lund', '50 %');
  // Nor by a second tab, or by another device with what makes Bob himself.
  const tab = await bob.context().newPage();
  await tab.goto(runtime.url);
  await choose(tab, /^Okafor/u);
  await part(host, 'polls').locator('.choice', { hasText: 'Okafor' }).getByText('100 %').waitFor();
  const seat = await bob.evaluate(() => String(localStorage.getItem('event-seat')));
  const device = rest(runtime, { key: undefined, token: (await attendeeToken('Bob', seat)).token }).channels;
  const [asked] = (await device.get('event:polls').history({ limit: 1 })).items;
  await device.get('event:polls').annotations.publish(String(asked?.serial), { type: 'vote:unique.v1', name: '0' });
  await part(host, 'polls').locator('.choice', { hasText: 'Lund' }).getByText('50 %').waitFor();
  assert.equal(await part(host, 'polls').locator('.total').first().innerText(), '2 votes');
  await tab.close();
  // Who comes back finds the vote where it was last.
  await bob.reload();
  await part(bob, 'polls').locator('.choice[aria-pressed="true"]', { hasText: 'Lund' }).waitFor();
  await part(host, 'polls').getByRole('button', { name: 'Close' }).click();
  await says(bob, 'polls', 'Final result');

  await openPoll(host, { question: 'How long was the longest match?',
    options: ['Six hours', 'Eleven hours', 'Two days'], right: 2 });
  await cy.goto(`${runtime.url}/#polls`);
  await choose(ann, /^Eleven/u);
  await choose(bob, /^Six/u);
  await choose(cy, /^Eleven/u);
  await says(host, 'polls', '3 votes');
  await says(ann, 'polls', '3 votes');
  assert.equal(await part(ann, 'polls').locator('.poll').first().locator('.share').count(), 0,
    'no tally before the reveal');
  const wire = await rest(runtime, { key: 'demo.event:local-only' }).channels.get('event:polls').history();
  assert.ok(!JSON.stringify(wire.items).includes('right'), 'the answer is not on any wire that attendees may read');
  await part(host, 'polls').getByRole('button', { name: 'Reveal' }).click();
  await part(cy, 'polls').locator('.choice.right', { hasText: 'Eleven hours' }).waitFor();
  await says(cy, 'polls', 'Leaderboard');
  const leaders = await cy.locator('.leaders .person').allInnerTexts();
  assert.deepEqual(leaders.toSorted(), ['Ann', 'Cy']);
  await photograph(t, cy, 'event-polls-phone');
  assert.deepEqual(venue.complaints, []);
});

test('a quiz of more votes than are read gives no points, and the host is told', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const host = await venue.host();
  await openPoll(host, { question: 'How many are there?', options: ['Few', 'Many'], right: 2 });
  await says(host, 'polls', 'How many are there?');
  let pages = 0;
  await host.route(/\/annotations\?/u, (route) => {
    pages++;
    const headers = { link: '<./annotations?page=next>; rel="next"', 'access-control-expose-headers': 'Link' };
    return route.fulfill({ json: [], headers });
  });
  const before = await part(host, 'polls').locator('.leaders').innerText();
  await part(host, 'polls').getByRole('button', { name: 'Reveal' }).first().click();
  await host.getByText('nobody gets points').waitFor();
  assert.equal(pages, 51, 'and the last is not looked into');
  assert.equal(await part(host, 'polls').locator('.leaders').innerText(), before);
});

test('questions rise by votes, and only a host marks them', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann, bob] = [await venue.host(), await venue.attendee('Ann'), await venue.attendee('Bob')];
  await write(ann, 'Ask a question', 'Which strings?');
  await write(bob, 'Ask a question', 'Clay or grass?');
  await part(ann, 'questions').locator('.question', { hasText: 'Clay' }).getByRole('button',
    { name: /Upvote/u }).click();
  await part(bob, 'questions').locator('.question', { hasText: 'Clay' }).getByRole('button',
    { name: 'Upvote 1' }).click();
  await part(host, 'questions').locator('.question').first().getByText('2', { exact: true }).waitFor();
  assert.match(await part(host, 'questions').locator('.question').first().innerText(), /Clay/u);

  await part(host, 'questions').locator('.question', { hasText: 'strings' }).getByRole('button',
    { name: 'Take on stage' }).click();
  await part(bob, 'questions').locator('.question.picked', { hasText: 'strings' }).waitFor();
  await part(host, 'questions').locator('.question', { hasText: 'strings' }).getByRole('button',
    { name: 'Mark answered' }).click();
  await part(bob, 'questions').locator('.question.answered', { hasText: 'strings' }).waitFor();
  // Who asks may write what they like, and is no host by it.
  const { token } = await attendeeToken('Mallory');
  await rest(runtime, { key: undefined, token }).channels.get('event:questions').publish('question',
    { text: 'Me first', picked: true });
  await says(bob, 'questions', 'Me first');
  assert.equal(await part(bob, 'questions').locator('.picked').count(), 0);
  assert.deepEqual(venue.complaints, []);
});

test('slides go with the presenter, and a reader may leaf alone', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann] = [await venue.host(), await venue.attendee('Ann')];
  await says(ann, 'slides', 'The presenter has not begun.');
  await host.getByLabel('One slide per paragraph').fill('Welcome\nHello\n\nSecond\nMore\n\nThird');
  await host.getByRole('button', { name: 'Present', exact: true }).click();
  await says(ann, 'slides', 'Hello');
  await part(host, 'slides').getByRole('button', { name: 'Next' }).click();
  await says(ann, 'slides', '2 of 3');
  await part(ann, 'slides').getByRole('button', { name: 'Next' }).click();
  await says(ann, 'slides', 'The presenter is at 2');
  await part(ann, 'slides').getByRole('button', { name: 'Back to the presenter' }).click();
  await says(ann, 'slides', '2 of 3');
  const late = await venue.attendee('Late');
  await says(late, 'slides', '2 of 3');
});

test('rooms have who is in them, and the host calls everyone back', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann, bob] = [await venue.host(), await venue.attendee('Ann'), await venue.attendee('Bob')];
  const room = (/** @type {import('playwright-core').Page} */ page) => page.locator('[data-room="net"]');
  await room(ann).getByRole('button', { name: 'Step in' }).click();
  await part(ann, 'rooms').getByRole('textbox', { name: 'Write a message' }).fill('Only for us');
  await ann.keyboard.press('Enter');
  await says(ann, 'rooms', 'Only for us');
  await room(bob).getByRole('button', { name: 'Step in' }).click();
  await room(host).getByText('2 people').waitFor();
  await says(bob, 'rooms', 'Only for us');
  assert.equal(await part(bob, 'chat').getByText('Only for us').count(), 0);
  // What the chat of all can do, that of a room can.
  await part(bob, 'rooms').getByRole('button', { name: 'Love (0)' }).click();
  await part(ann, 'rooms').getByRole('button', { name: 'Love (1)' }).waitFor();
  await part(ann, 'rooms').getByRole('button', { name: 'Edit' }).click();
  await part(ann, 'rooms').getByRole('textbox', { name: 'Write a message' }).fill('Only for the two of us');
  await ann.keyboard.press('Enter');
  await says(bob, 'rooms', 'Only for the two of us');
  await part(ann, 'rooms').getByRole('button', { name: 'Delete' }).click();
  await says(bob, 'rooms', 'This message was deleted');
  await host.getByRole('button', { name: 'Call everyone back' }).click();
  await says(bob, 'rooms', 'The host has called everyone back');
  await room(host).getByText('Empty').waitFor();
});

test('who comes reads those in a room once, and not once for each', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const page = await venue.attendee('Ann');
  const { presence } = (await connectedClient(t, runtime)).channels.get('event:room:net');
  await Promise.all(Array.from({ length: 200 }, (_, index) => presence.enterClient(`Guest${index}~x`)));
  await page.addInitScript(() => {
    const counted = /** @type {any} */ (window);
    counted.reads = 0;
    counted.Set = class extends Set {
      /** @param {any} [all] */
      constructor(all) {
        super(all);
        if (Array.isArray(all) && String(all[0]).startsWith('Guest')) counted.reads++;
      }
    };
  });
  await page.reload();
  await page.locator('[data-room="net"]').getByText('200 people').waitFor();
  const reads = await page.evaluate(() => /** @type {any} */ (window).reads);
  assert.ok(reads > 0 && reads < 10, `${reads} reads`);
});

test('the audience is counted', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const host = await venue.host();
  const ann = await venue.attendee('Ann');
  await ann.locator('#people').getByText('2 people here').waitFor();
  const bob = await venue.attendee('Bob');
  await host.locator('#people').getByText('3 people here').waitFor();
  await bob.context().close();
  await host.locator('#people').getByText('2 people here').waitFor();
  assert.match(await host.locator('.growth .line').getAttribute('d') ?? '', /^M[\d.]+ [\d.]+ H/u);
});

test('a cut is said, and nothing is missing after it', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const network = await Network.to(t, runtime);
  const host = await venue.host();
  const ann = await venue.attendee('Ann', { url: `http://127.0.0.1:${network.clientOptions.port}` });
  await write(host, 'Write a message', 'before the cut');
  await says(ann, 'chat', 'before the cut');
  network.cut();
  await ann.getByText('The connection is down.').waitFor();
  await photograph(t, ann, 'event-cut');
  for (const said of ['in the cut 1', 'in the cut 2', 'in the cut 3']) {
    await write(host, 'Write a message', said);
    await says(host, 'chat', said);
  }
  network.mend();
  await ann.getByText('Back, and you missed nothing').waitFor();
  await says(ann, 'chat', 'in the cut 3');
  const said = await part(ann, 'chat').locator('.said').allInnerTexts();
  assert.deepEqual(said.filter((text) => text.includes('cut')),
    ['before the cut', 'in the cut 1', 'in the cut 2', 'in the cut 3']);
});

test('the network is shaken, and the serials prove that nothing is lost', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const ann = await venue.attendee('Ann');
  await ann.locator('[data-fact="transport"]').getByText('WebSocket').waitFor();
  await ann.getByRole('button', { name: 'Shake the network' }).click();
  await ann.locator('.verdict[data-whole="true"]').waitFor();
  assert.match(await ann.locator('.verdict').innerText(),
    /^12 of 12 arrived: none missing, none twice, in order; caught up by HTTP polling/u);
  const serials = await ann.locator('.proof tbody tr').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-serial') ?? ''));
  assert.deepEqual(serials, [...new Set(serials)].toSorted());
  await ann.locator('[data-fact="transport"]').getByText('WebSocket').waitFor();
  await ann.locator('[data-fact="continuity"]').getByText('Resumed after 1 cut', { exact: true }).waitFor();
  await ann.getByText('Back, and you missed nothing').waitFor();
  await photograph(t, ann, 'event-venue');
});

const stays = unlessKilled('a crowd that stays for eight seconds may be away when it is counted').skip;

test('a crowd comes when the stage asks for it, takes part, and goes', { ...options, skip: options.skip || stays }, async (t) => {
  const own = await startRuntime();
  t.after(() => own.stop());
  const venue = await Venue.of(t, own);
  const host = await venue.host();
  const button = host.getByRole('button', { name: 'Bring a crowd' });
  assert.equal(await button.isVisible(), false, 'nobody is there who could make one');
  const maker = await standBy({ url: own.url, clientOptions: own.clientOptions, key: demoKey },
    { most: 20, stayMs: 8_000 });
  t.after(() => maker.stop());
  await openPoll(host, { question: 'Who wins?', options: ['Lund', 'Okafor'] });
  await says(host, 'polls', 'Who wins?');
  await button.click();
  await host.locator('#people').getByText(/^(?:1\d|2\d) people here/u).waitFor();
  await says(host, 'polls', '20 votes');
  await part(host, 'chat').locator('.message').nth(9).waitFor();
  await host.locator('#people').getByText('1 person here').waitFor();
  await host.locator('#crowd button:not(:disabled)').waitFor();
});

test('a page that opens an hour later shows the score, and goes on from it', options, async (t) => {
  const own = await startRuntime();
  t.after(() => own.stop());
  const venue = await Venue.of(t, own);
  const before = await venue.host();
  for (const call of ['15–0', '30–0', '40–0']) {
    await part(before, 'score').getByRole('button', { name: 'Lund' }).click();
    await before.locator('.call').getByText(call, { exact: true }).waitFor();
  }
  await before.context().close();
  await own.kill();
  own.inFront = [path.join(import.meta.dirname, 'entries/hour-later-entry.mjs')];
  await own.start();
  const late = await venue.host();
  await late.locator('.call').getByText('40–0', { exact: true }).waitFor();
  await part(late, 'score').getByRole('button', { name: 'Okafor' }).click();
  await late.locator('.call').getByText('40–15', { exact: true }).waitFor();
  await connected(late);
});

/** @param {string} name @returns {Promise<{ token: string, clientId: string }>} */
async function attendeeToken(name, seat = 'a-seat-of-a-test-client') {
  const body = JSON.stringify({ name, seat });
  return (await fetch(`${runtime.url}/event/token`, { method: 'POST', body })).json();
}
