/** Requests that wait for what comes: for clients that ask, one request after another, and hold no connection. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { appsWithFewRights, demoKey, rest } from './clients.mjs';
import { unlessKilled } from './kills.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime(appsWithFewRights);
after(() => runtime.stop());

/** What src/limits allows to wait at one channel. */
const waitingMax = 500;

/** @param {string} channel @param {Record<string, string>} query @param {AbortSignal} [signal] */
async function read(channel, query, key = demoKey, signal) {
  const url = `${runtime.url}/channels/${channel}/messages?${new URLSearchParams({ key, ...query })}`;
  const response = await fetch(url, { signal });
  const next = response.headers.get('link')?.match(/<\.\/messages\?([^>]*)>; rel="next"/)?.[1];
  return { status: response.status, body: await response.json(), next: Object.fromEntries(new URLSearchParams(next)) };
}

/** @param {{ body: { data: string }[] }} page */
const data = ({ body }) => body.map((message) => message.data);

/**
 * As many as may wait at a channel, once all of them do; and one more, who is told to try again.
 * @param {string} channel
 * @param {Record<string, string>} query
 * @param {(index: number) => AbortSignal | undefined} [signalOf]
 */
async function crowd(channel, query, signalOf = () => undefined) {
  /** @type {(page: Awaited<ReturnType<typeof read>>) => void} */
  let full = () => {};
  const refused = new Promise((/** @type {typeof full} */ resolve) => { full = resolve; });
  const readers = Array.from({ length: waitingMax + 1 }, async (_, index) => {
    const page = await read(channel, query, demoKey, signalOf(index));
    if (page.status !== 200) full(page);
    return page;
  });
  const { status, body } = await refused;
  assert.deepEqual([status, body.error.code], [429, 42911]);
  return readers;
}

const lasting = unlessKilled('what is asked anew of the next process waits anew, and never for so long');

test('all who wait get what comes, and too many are told to try again', lasting, async () => {
  const channel = rest(runtime).channels.get('crowd');
  const { serials: [serial] } = await channel.publish('a', 'before');
  const readers = await crowd('crowd', { wait: '30', from_serial: String(serial) });
  await channel.publish('a', 'after');
  const pages = (await Promise.all(readers)).filter(({ status }) => status === 200);
  assert.equal(pages.length, waitingMax);
  for (const page of pages) assert.deepEqual(data(page), ['after']);
});

test('of those who leave without a word nothing is left when their time is over', lasting, async () => {
  const channel = rest(runtime).channels.get('left');
  const { serials: [serial] } = await channel.publish('a', 'before');
  const from = { from_serial: String(serial) };
  const leaving = new AbortController();
  const left = await crowd('left', { wait: '5', ...from }, () => leaving.signal);
  leaving.abort();
  assert.equal((await Promise.allSettled(left)).filter(({ status }) => status === 'rejected').length, waitingMax);
  // Nobody says that they left. Who tries again gets in when the first is over, and is over when all are.
  let page;
  do page = await read('left', { wait: '3', ...from }); while (page.status === 429);
  assert.deepEqual([page.status, page.body], [200, []]);

  // The same places are taken once more. Half of them leave, and the others don't notice.
  const half = new AbortController();
  const readers = await crowd('left', { wait: '30', ...from }, (index) => (index % 2 ? half.signal : undefined));
  half.abort();
  await Promise.allSettled(readers.filter((_, index) => index % 2));
  await channel.publish('a', 'after');
  const pages = (await Promise.all(readers.filter((_, index) => index % 2 === 0))).filter(({ status }) => status === 200);
  assert.ok(pages.length >= waitingMax / 2);
  for (const page of pages) assert.deepEqual(data(page), ['after']);
  // Waits for as long as the object has something to say to somebody.
  assert.equal(await runtime.evict('Channel', 'demo/left'), 1);
});

test('who follows the links gets everything once, whatever becomes of the channel', async () => {
  const channel = rest(runtime).channels.get('followed');
  let page = await read('followed', { wait: '0' });
  assert.deepEqual(data(page), []);
  const found = [];
  for (let round = 0; round < 6; round++) {
    // Also before anybody has published there.
    if (round % 3 < 2) await runtime.evict('Channel', 'demo/followed', 'close');
    const reading = read('followed', { ...page.next, wait: '30' });
    await channel.publish([{ data: `m${2 * round}` }, { data: `m${2 * round + 1}` }]);
    page = await reading;
    assert.equal(page.status, 200, JSON.stringify(page.body));
    found.push(...data(page));
  }
  assert.deepEqual(found, Array.from({ length: 12 }, (_, index) => `m${index}`));
  page = await read('followed', { ...page.next, wait: '1' });
  assert.deepEqual([page.status, page.body], [200, []], 'nothing came, and that is no error');
});

test('the SDK follows them too', async () => {
  const channel = rest(runtime).channels.get('followed-by-sdk');
  await channel.publish('a', 'one');
  let page = await channel.history(/** @type {any} */ ({ wait: '5' }));
  assert.deepEqual(page.items.map((message) => message.data), ['one']);
  const next = page.next();
  await channel.publish('a', 'two');
  page = /** @type {any} */ (await next);
  assert.deepEqual(page.items.map((message) => message.data), ['two']);
});

test('what cannot be waited for is refused with a code', async () => {
  const code = async (/** @type {Record<string, string>} */ query, key = demoKey) => {
    const { status, body } = await read('refused', query, key);
    return [status, body.error.code];
  };
  assert.deepEqual(await code({ wait: '31' }), [400, 40003]);
  assert.deepEqual(await code({ wait: '1', direction: 'backwards' }), [400, 40003]);
  assert.deepEqual(await code({ wait: '1', from_serial: 'nonsense' }), [400, 40003]);
  assert.deepEqual(await code({ wait: '1', from_serial: '99999999999999-000@other' }), [400, 90003]);
  assert.deepEqual(await code({ wait: '1' }, 'demo.writer:local-only'), [401, 40160]);
});
