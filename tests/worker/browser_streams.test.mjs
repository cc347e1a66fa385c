/** A real browser without an SDK: `EventSource` and an HTML form. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { launch, skip } from './browser.mjs';
import { demoKey, rest, wholeHistory } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

/**
 * A page that comes from somewhere else, with a policy of its own: the same machine by another name.
 * @param {import('node:test').TestContext} t
 */
async function elsewhere(t) {
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage({ bypassCSP: true });
  await page.goto(`http://localhost:${runtime.port}/event/event.css`);
  return page;
}

test('EventSource hears everything once, across the death of the server', { skip }, async (t) => {
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${runtime.url}/event/event.css`);
  await page.evaluate((key) => {
    const heard = /** @type {string[]} */ ([]);
    const source = new EventSource(`/sse?channels=persisted:a,persisted:b&v=2&key=${key}`);
    source.onmessage = ({ data }) => heard.push(JSON.parse(data).data);
    source.onopen = () => { Object.assign(window, { opened: true }); };
    Object.assign(window, { heard, source });
  }, demoKey);
  const heard = (/** @type {number} */ count) =>
    page.waitForFunction((wanted) => /** @type {any} */ (window).heard.length >= wanted, count, { timeout: 60_000 });
  const publish = (/** @type {string} */ channel, /** @type {string} */ data) => rest(runtime).channels.get(channel).publish('a', data);

  await page.waitForFunction(() => /** @type {any} */ (window).opened);
  // Both are attached when something of both has come; what comes before may be missed.
  for (let tried = 0; ; tried++) {
    await Promise.all([publish('persisted:a', `begin a ${tried}`), publish('persisted:b', `begin b ${tried}`)]);
    const begun = await page.evaluate(() => {
      const all = /** @type {string[]} */ (/** @type {any} */ (window).heard);
      return ['begin a', 'begin b'].every((start) => all.some((data) => data.startsWith(start)));
    });
    if (begun) break;
  }
  await publish('persisted:a', 'before');
  await page.waitForFunction(() => /** @type {any} */ (window).heard.includes('before'));
  const known = await page.evaluate(() => /** @type {any} */ (window).heard.splice(0).length);
  assert.ok(known >= 3);

  await runtime.kill();
  await runtime.start();
  const sent = ['while down 1', 'while down 2', 'while down 3'];
  for (const [index, data] of sent.entries()) await publish(index % 2 ? 'persisted:a' : 'persisted:b', data);
  await heard(3);
  await publish('persisted:a', 'after');
  await heard(4);
  const all = await page.evaluate(() => /** @type {any} */ (window).heard);
  assert.deepEqual(all.toSorted(), ['after', ...sent]);
});

test('a page of another origin reads with credentials, as EventSource and the SDK ask for it', { skip }, async (t) => {
  const page = await elsewhere(t);
  await rest(runtime).channels.get('credentials').publish('a', 'published');
  const heard = await page.evaluate(([url, key]) => new Promise((resolve) => {
    const source = new EventSource(`${url}/sse?channels=credentials&rewind=1&key=${key}`, { withCredentials: true });
    source.onmessage = ({ data }) => { source.close(); resolve(JSON.parse(data).data); };
    source.onerror = () => resolve('refused');
  }), [runtime.url, demoKey]);
  assert.equal(heard, 'published');
  await page.addScriptTag({ url: `${runtime.url}/vendor/ably.min.js` });
  const read = await page.evaluate(async ([key, port]) => {
    const { Ably } = /** @type {any} */ (window);
    const options = { key, endpoint: '127.0.0.1', port: Number(port), tls: false, logLevel: 0 };
    const client = new Ably.Rest({ ...options, clientId: 'ann' });
    const channel = client.channels.get('credentials');
    await channel.publish('b', 'by the page');
    return (await channel.history()).items.map((/** @type {any} */ { data, clientId }) => [data, clientId ?? null]);
  }, [demoKey, `${runtime.port}`]);
  assert.deepEqual(read, [['by the page', 'ann'], ['published', null]]);
});

test('an HTML form publishes', { skip }, async (t) => {
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.setContent(`
    <form method="post" action="${runtime.url}/channels/form/messages?key=${demoKey}">
      <input name="name" value="score"><input name="data" value="15–0 & more"><button>Send</button>
    </form>`);
  await page.getByRole('button').click();
  await page.getByText('"serials"').waitFor();
  const [message] = await wholeHistory(rest(runtime).channels.get('form'));
  assert.deepEqual([message.name, message.data], ['score', '15–0 & more']);
});
