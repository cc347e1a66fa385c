/** What the event page makes of a bad network, hasty hands and odd names. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { skip } from './browser.mjs';
import { connected as connectedClient, demoKey, rest } from './clients.mjs';
import { unlessEvicted } from './evictions.mjs';
import { Network } from './network.mjs';
import { startRuntime } from './runtime.mjs';
import { Venue, connected, hostKey, part, photograph, says, write } from './venue.mjs';

const options = { skip, timeout: 180_000 };
/** Actions of frames: docs/protocol.md § 3. */
const [ACK, ATTACH, DETACHED] = [1, 10, 13];
const runtime = await startRuntime();
after(() => runtime.stop());

const unresumable = unlessEvicted('that a connection has ended is known to the memory alone, so it is resumed');

test('after a cut too long to resume, what was deleted meanwhile is gone', {
  ...options, skip: options.skip || unresumable.skip,
}, async (t) => {
  const venue = await Venue.of(t, runtime);
  const network = await Network.to(t, runtime);
  const url = `http://127.0.0.1:${network.clientOptions.port}`;
  const ann = await venue.attendee('Ann', { url });
  const api = rest(runtime).channels;
  const [chat, questions] = [api.get('event:chat'), api.get('event:questions')];
  await questions.publish('question', { text: 'Is this asked?' });
  await says(ann, 'questions', 'Is this asked?');
  const { serials: [spam = null] } = await chat.publish('message', { text: 'buy rackets' });
  await says(ann, 'chat', 'buy rackets');
  // More than a page of history behind the newest; over REST they would be too many at once.
  const many = (await connectedClient(t, runtime)).channels.get('event:chat');
  for (let batch = 0; batch < 3; batch++) {
    await many.publish(Array.from({ length: 50 },
      (_, index) => ({ name: 'message', data: { text: `number ${batch * 50 + index}` } })));
  }
  await says(ann, 'chat', 'number 149');
  // Without a word, for the server then ends what it still has, which nobody can resume.
  network.vanish();
  await ann.getByText('The connection is down.').waitFor();
  await chat.deleteMessage({ serial: String(spam), data: {} });
  await operate('DELETE', '/channels/event:questions/messages');
  await chat.publish('message', { text: 'after the cut' });
  const id = await ann.locator('[data-fact="id"]').innerText();
  await operate('POST', `/apps/demo/connections/${id}/disconnect`);
  network.mend();
  await ann.getByText('The cut was too long').waitFor();
  await says(ann, 'chat', 'after the cut');
  await says(ann, 'questions', 'No questions yet');
  assert.equal(await part(ann, 'questions').locator('.question').count(), 0);
  const top = part(ann, 'chat').locator('.list-scroll');
  await ann.getByText('number 149', { exact: true }).waitFor();
  while (await ann.getByText('This message was deleted').count() === 0) {
    const first = await part(ann, 'chat').locator('.message').first().getAttribute('data-serial');
    assert.notEqual(first, spam, 'it stands there as it was');
    await top.evaluate((element) => { element.scrollTop = 0; });
    await ann.waitForFunction((known) => document.querySelector('[data-part="chat"] .message')
      ?.getAttribute('data-serial') !== known, first);
  }
});

test('a stage that could not be attached at first is followed when it can', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const host = await venue.host();
  await host.getByLabel('One slide per paragraph').fill('Welcome\n\nSecond');
  await host.getByRole('button', { name: 'Present', exact: true }).click();
  await says(host, 'slides', '1 of 2');
  const cy = await venue.open('/time', 'Cy', { isOpen: false });
  const error = { code: 50003, statusCode: 500, message: 'not now' };
  /** @type {import('playwright-core').WebSocketRoute[]} */
  const refused = [];
  await cy.routeWebSocket(/./u, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((frame) => {
      const { action, channel } = JSON.parse(String(frame));
      if (action !== ATTACH || channel !== 'event:stage' || refused.length > 0) return server.send(frame);
      refused.push(socket);
      socket.send(JSON.stringify({ action: DETACHED, channel, error }));
    });
  });
  await cy.goto(runtime.url);
  await connected(cy);
  await says(cy, 'slides', 'The presenter has not begun.');
  const [socket] = refused;
  assert.ok(socket, 'the first attach was refused');
  // The SDK attaches anew what is not attached when it comes back.
  await socket.close();
  await says(cy, 'slides', '1 of 2');
});

test('a history that could not be read at first is read again', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  await rest(runtime).channels.get('event:questions').publish('question', { text: 'From before?' });
  const cy = await venue.open('/time', 'Cy', { isOpen: false });
  const error = { code: 50000, statusCode: 500, message: 'not now' };
  let refused = 0;
  await cy.route(/channels\/event(?::|%3A)questions\/(?:messages|history)/u, (route) => {
    refused++;
    return route.fulfill({ status: 500, json: { error } });
  }, { times: 1 });
  await cy.goto(runtime.url);
  await connected(cy);
  await says(cy, 'questions', 'From before?');
  assert.equal(refused, 1);
});

test('whom the host mutes asks nothing, and fills no list', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann] = [await venue.host(), await venue.attendee('Ann')];
  const mallory = await venue.attendee('Mallory');
  await write(mallory, 'Ask a question', 'Buy my rackets?');
  await says(ann, 'questions', 'Buy my rackets?');
  await write(ann, 'Ask a question', 'Clay or grass?');
  const asked = part(host, 'questions').locator('.question');
  await says(host, 'questions', 'Clay or grass?');
  await asked.filter({ hasText: 'rackets' }).getByRole('button', { name: 'Mute' }).click();
  await part(ann, 'questions').getByText('Buy my rackets?').waitFor({ state: 'detached' });
  await says(mallory, 'questions', 'The host has muted you.');
  await write(mallory, 'Ask a question', 'And now?');
  await mallory.getByRole('alert').getByText('muted').waitFor();
  // What says so stands in nobody's way, also on a phone.
  await mallory.setViewportSize({ width: 390, height: 844 });
  for (const [id, field] of [['chat', 'Write a message'], ['questions', 'Ask a question']]) {
    await mallory.evaluate((hash) => { location.hash = String(hash); }, id);
    await mallory.getByRole('textbox', { name: field }).click({ trial: true });
    await photograph(t, mallory, `event-refused-${id}-phone`);
  }
  await mallory.setViewportSize({ width: 1280, height: 900 });
  await part(host, 'questions').getByRole('button', { name: 'Unmute' }).waitFor();
  // The host sees what the muted asked, after all else.
  assert.deepEqual((await asked.locator('.said').allInnerTexts()).slice(-2), ['Clay or grass?', 'Buy my rackets?']);
  await asked.last().locator('.badge', { hasText: 'muted' }).waitFor();
  await mallory.getByRole('textbox', { name: 'Write a message' }).pressSequentially('Wh');
  await write(ann, 'Write a message', 'Good evening');
  await says(host, 'chat', 'Good evening');
  assert.equal(await host.getByText('Mallory is typing…').count(), 0);
  await part(host, 'questions').getByRole('button', { name: 'Unmute' }).click();
  await says(ann, 'questions', 'Buy my rackets?');
  await part(host, 'questions').getByRole('button', { name: 'Unmute' }).waitFor({ state: 'detached' });
  assert.deepEqual(venue.complaints, []);
});

test('whatever a name has in it, its visitor gets in or is told why not', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const page = await venue.open('/');
  await page.getByRole('button', { name: 'Join the event' }).click();
  for (const unseen of ['\u0007', ' ~ ', '\u200b']) {
    await page.getByLabel('Your name').fill(unseen);
    await page.getByRole('button', { name: 'Join', exact: true }).click();
    const said = await page.getByLabel('Your name').evaluate((input) => /** @type {HTMLInputElement} */ (input)
      .validationMessage);
    assert.match(said, /^A name needs a letter/u, JSON.stringify(unseen));
  }
  await page.getByLabel('Your name').fill('An\u0001n~ \u{1f3be}');
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.locator('#who').getByText('An n \u{1f3be}', { exact: true }).waitFor();
  await connected(page);
  // As a page of an earlier build kept it.
  const late = await venue.attendee('Bo\u0007b');
  await late.locator('#who').getByText('Bo b', { exact: true }).waitFor();
  // Half of a sign, as a field that cuts it off leaves it.
  await page.evaluate(() => { localStorage.setItem('event-name', 'Zoe\ud83d'); });
  await page.reload();
  await page.locator('#who').getByText('Zoe', { exact: true }).waitFor();
  await connected(page);
  for (const [name, shown] of [['Um\u0007pire', 'Um pire'], ['*', 'Host']]) {
    const host = await venue.open('/stage', undefined, { isOpen: false });
    await host.getByLabel('Your name on stage').fill(String(name));
    await host.getByLabel('Host key').fill(hostKey);
    await host.getByRole('button', { name: 'Open', exact: true }).click();
    await connected(host);
    await write(host, 'Write a message', `from ${shown}`);
    await part(host, 'chat').locator('.message', { hasText: `from ${shown}` }).locator('.person',
      { hasText: String(shown) }).waitFor();
  }
});

test('what is written before a name is chosen is there after it', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  for (const [id, field] of [['questions', 'Ask a question'], ['chat', 'Write a message']]) {
    const page = await venue.open('/');
    await write(page, String(field), 'Nice to be here');
    await page.getByLabel('Your name').fill('Zoe');
    await page.keyboard.press('Enter');
    await page.locator('#who').getByText('Zoe', { exact: true }).waitFor();
    const line = part(page, String(id)).getByRole('textbox');
    assert.equal(await line.inputValue(), 'Nice to be here');
    await line.press('Enter');
    await part(page, String(id)).locator('.said', { hasText: 'Nice to be here' }).waitFor();
    await page.reload();
    await connected(page);
    assert.equal(await line.inputValue(), '', 'once');
    await page.context().close();
  }
});

test('who joins in one tab has joined in others', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const one = await venue.open('/');
  const [idle, busy] = [await one.context().newPage(), await one.context().newPage()];
  for (const page of [idle, busy]) {
    await page.goto(runtime.url);
    await connected(page);
  }
  const line = part(busy, 'chat').getByRole('textbox');
  await line.fill('Half a sent');
  await one.getByRole('button', { name: 'Join the event' }).click();
  await one.getByLabel('Your name').fill('Zoe');
  await one.keyboard.press('Enter');
  await idle.locator('#who').getByText('Zoe', { exact: true }).waitFor();
  // What is being written does not go.
  assert.equal(await line.inputValue(), 'Half a sent');
  await line.press('Enter');
  await busy.locator('#who').getByText('Zoe', { exact: true }).waitFor();
  assert.equal(await line.inputValue(), 'Half a sent');
});

test('a second press before the first has been answered counts as it is meant', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann] = [await venue.host(), await venue.attendee('Ann')];
  await host.getByLabel('One slide per paragraph').fill('One\n\nTwo\n\nThree\n\nFour');
  await host.getByRole('button', { name: 'Present', exact: true }).click();
  await says(host, 'slides', '1 of 4');
  await twice(part(host, 'slides').getByRole('button', { name: 'Next' }));
  await says(host, 'slides', '3 of 4');
  await says(ann, 'slides', '3 of 4');
  await twice(part(host, 'slides').getByRole('button', { name: 'Next' }));
  await says(ann, 'slides', '4 of 4');

  await ann.getByLabel('Ask a question').fill('Only once?');
  await twice(part(ann, 'questions').getByRole('button', { name: 'Ask' }));
  await host.getByLabel('Question', { exact: true }).fill('Which one?');
  await host.getByLabel('Options, one per line').fill('This\nThat');
  await twice(host.getByRole('button', { name: 'Open the poll' }));
  await write(ann, 'Ask a question', 'And then?');
  await says(host, 'questions', 'And then?');
  assert.equal(await part(host, 'questions').getByText('Only once?').count(), 1);

  // What is written while an edit is under way is a message of its own.
  await write(ann, 'Write a message', 'Frist');
  const chat = part(ann, 'chat');
  await chat.locator('.message', { hasText: 'Frist' }).waitFor();
  await chat.getByRole('textbox').fill('a draft');
  await chat.locator('.message', { hasText: 'Frist' }).getByRole('button', { name: 'Edit' }).click();
  await chat.locator('form').evaluate((form) => {
    const [input] = form.getElementsByTagName('input');
    for (const said of ['First', 'Second']) {
      if (input) input.value = said;
      /** @type {HTMLFormElement} */ (form).requestSubmit();
    }
  });
  await says(host, 'chat', 'Second');
  assert.deepEqual((await part(host, 'chat').locator('.said').allInnerTexts()).slice(-2), ['First', 'Second']);
  await write(ann, 'Write a message', 'a draft');
  await chat.locator('.message', { hasText: 'Second' }).getByRole('button', { name: 'Edit' }).click();
  await chat.getByRole('button', { name: 'Cancel' }).click();
  assert.equal(await chat.getByRole('textbox').inputValue(), '', 'what is edited no longer is not in the line');

  // Who goes to one room and changes their mind is in the other, and nowhere else.
  await ann.evaluate(() => {
    for (const id of ['net', 'baseline', 'baseline']) {
      /** @type {HTMLElement} */ (document.querySelector(`[data-room="${id}"] button`)).click();
    }
  });
  await host.locator('[data-room="baseline"]').getByText('1 person').waitFor();
  await host.locator('[data-room="net"]').getByText('Empty').waitFor();
  assert.equal(await part(host, 'polls').locator('.poll', { hasText: 'Which one?' }).count(), 1);
  assert.deepEqual(venue.complaints, []);
});

test('a button that is held down holds up its own list, and nothing else of the page', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const [host, ann] = [await venue.host(), await venue.attendee('Ann')];
  await write(host, 'Ask a question', 'Held?');
  const held = part(ann, 'questions').locator('.question', { hasText: 'Held?' });
  await held.getByRole('button', { name: /Upvote/u }).hover();
  await ann.mouse.down();
  await write(host, 'Ask a question', 'Another?');
  await says(host, 'questions', 'Another?');
  await write(host, 'Write a message', 'Hello to who holds');
  await says(ann, 'chat', 'Hello to who holds');
  assert.equal(await part(ann, 'questions').getByText('Another?').count(), 0);
  await ann.mouse.up();
  await says(ann, 'questions', 'Another?');
  await held.locator('[aria-pressed="true"]').waitFor();
});

test('what shows before it is answered can be undone at once', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const ann = await venue.open('/time', 'Ann', { isOpen: false });
  let isHeld = false;
  await ann.routeWebSocket(/./u, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((frame) => {
      if (!isHeld || JSON.parse(String(frame)).action !== ACK) socket.send(frame);
    });
  });
  await ann.goto(runtime.url);
  await connected(ann);
  await write(ann, 'Ask a question', 'Up and down?');
  const question = part(ann, 'questions').locator('.question', { hasText: 'Up and down?' });
  await question.waitFor();
  isHeld = true;
  for (const votes of [1, 0]) {
    await question.getByRole('button', { name: /Upvote/u }).click();
    await question.getByText(String(votes), { exact: true }).waitFor();
  }
});

test('what is told of a message is newer than what was read before and comes after', options, async (t) => {
  const venue = await Venue.of(t, runtime);
  const { serials: [asked] } = await rest(runtime).channels.get('event:questions').publish('question', { text: 'Read?' });
  const ann = await venue.open('/time', 'Ann', { isOpen: false });
  const read = new Promise((resolve) => {
    void ann.route(/event(:|%3A)questions\/messages/u, async (route) => {
      const answer = await route.fetch();
      resolve(() => route.fulfill({ response: answer }));
    });
  });
  await ann.goto(runtime.url);
  await connected(ann);
  const give = await read;
  // Nobody is told of it before it is here, too.
  await rest(runtime).channels.get('event:questions').updateMessage({ serial: String(asked), data: { text: 'Told?' } });
  const question = part(ann, 'questions').locator('.question', { hasText: 'Told?' });
  await question.getByRole('button', { name: /Upvote/u }).click();
  await question.getByText('1', { exact: true }).waitFor();
  const shown = ann.waitForResponse(/event(:|%3A)questions\/messages/u);
  await give();
  await (await shown).finished();
  await write(ann, 'Ask a question', 'Behind it?');
  await says(ann, 'questions', 'Behind it?');
  await question.getByText('1', { exact: true }).waitFor();
});

/** Before anything can come back. @param {import('playwright-core').Locator} button */
const twice = (button) => button.evaluate((element) => {
  for (let press = 0; press < 2; press++) /** @type {HTMLElement} */ (element).click();
});

/** @param {string} method @param {string} path */
async function operate(method, path) {
  const answer = await fetch(runtime.url + path, { method, headers: { authorization: `Basic ${btoa(demoKey)}` } });
  assert.ok(answer.ok, await answer.text());
}
