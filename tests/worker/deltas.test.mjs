/** Deltas, with the published SDK and its decoder. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import vcdiff from '@ably/vcdiff-decoder';
import { Inbox, connected, demoKey, formats, rest } from './clients.mjs';
import { unlessEvicted } from './evictions.mjs';
import { unlessKilled } from './kills.mjs';
import { startRuntime } from './runtime.mjs';
import { transports } from './transports.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

const scores = [15, 30, 40, 50, 60].map((points) => ({ home: 'Courtside', away: 'The Others', points }));

/** The SDK's decoder, and how often it was asked. */
function counting() {
  const decoder = { calls: 0, decode: (/** @type {Uint8Array} */ delta, /** @type {Uint8Array} */ base) => (
    decoder.calls++, vcdiff.decode(delta, base)) };
  return decoder;
}

/** @param {import('node:test').TestContext} t @param {any} options */
async function reader(t, options) {
  const decoder = counting();
  const client = await connected(t, runtime, { ...options, plugins: { vcdiff: decoder } });
  return { decoder, client, channelOf: (/** @type {string} */ name) => client.channels.get(name, { params: { delta: 'vcdiff' } }) };
}

const forgotten = 'what a client was sent last is known to the memory alone, and the next message comes whole';
const known = { skip: unlessEvicted(forgotten).skip || unlessKilled(forgotten).skip };

for (const { transport, options } of transports) {
  test(`${transport}: all but the first message come as deltas, and as what was published`, known, async (t) => {
    const name = `deltas-${transport}`;
    const { decoder, channelOf } = await reader(t, options(name));
    const inbox = await Inbox.of(channelOf(name));
    for (const score of scores) await rest(runtime).channels.get(name).publish('score', score);
    await inbox.until(scores.length);
    assert.deepEqual(inbox.data, scores);
    assert.equal(decoder.calls, scores.length - 1);
    assert.deepEqual(inbox.messages[1].extras.delta, { from: inbox.messages[0].id, format: 'vcdiff' });
  });
}

for (const { format, useBinaryProtocol } of formats) {
  test(`${format}: text, bytes and large payloads come as deltas, and those of one publish too`, known, async (t) => {
    const name = `payloads-${format}`;
    const { decoder, channelOf } = await reader(t, { useBinaryProtocol });
    const inbox = await Inbox.of(channelOf(name));
    const large = Array.from({ length: 2_000 }, (_, index) => `${index}: ${(index * 7919) % 1009}`).join(', ');
    const sent = [large, `${large.slice(0, 9_000)} – ${large.slice(9_000)}`, Buffer.from(large), Buffer.from(`${large}.`)];
    const { channels } = rest(runtime);
    await channels.get(name).publish(sent.slice(0, 2).map((data) => ({ name: 'a', data })));
    await channels.get(name).publish(sent.slice(2).map((data) => ({ name: 'a', data })));
    await inbox.until(sent.length);
    assert.deepEqual(inbox.data, sent);
    assert.equal(decoder.calls, 3);
  });
}

for (const { format, useBinaryProtocol } of formats) {
  test(`${format}: what is base64 in lines, or says that it is and is not, is told as it is read`, async (t) => {
    const name = `base64-${format}`;
    const { channelOf } = await reader(t, { useBinaryProtocol });
    const inbox = await Inbox.of(channelOf(name));
    const bytes = scores.map(({ points }) => Buffer.from(`${'all the same but for '.repeat(40)}${points}`));
    const lines = bytes.map((some) => some.toString('base64').replace(/.{60}/g, '$&\n'));
    // Those who read it leave out what is no letter of base64.
    const said = [...lines.map((line) => `${line}\n`), ...lines.map((line) => `!${line}`)];
    for (const data of said) {
      const answer = await fetch(`${runtime.url}/channels/${name}/messages?key=${demoKey}`, {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ data, encoding: 'base64' }),
      });
      assert.equal(answer.status, 201);
    }
    await rest(runtime).channels.get(name).publish('a', 'and on');
    await inbox.until(said.length + 1);
    assert.deepEqual(inbox.data.map((data) => Buffer.from(data).toString()), [...bytes, ...bytes, 'and on'].map(String));
    const page = await rest(runtime, { useBinaryProtocol: true }).channels.get(name).history({ direction: 'forwards', limit: bytes.length });
    assert.deepEqual(page.items.map(({ data }) => data), bytes);
  });
}

test('a reader whose deltas do not fit recovers by itself, and misses nothing', async (t) => {
  const { decoder, channelOf } = await reader(t, {});
  const channel = channelOf('recovery');
  const inbox = await Inbox.of(channel);
  const publisher = rest(runtime).channels.get('recovery');
  await publisher.publish('score', scores[0]);
  await inbox.until(1);
  const { decode } = decoder;
  decoder.decode = () => {
    decoder.decode = decode;
    throw new Error('it does not fit');
  };
  const again = /** @type {Promise<any>} */ (channel.once('attaching'));
  for (const score of scores.slice(1)) await publisher.publish('score', score);
  assert.equal((await again).reason.code, 40018);
  await inbox.until(scores.length);
  assert.deepEqual(inbox.data, scores);
});

test('who resumes, rewinds or reads history gets whole messages first', async (t) => {
  const { decoder, channelOf, client } = await reader(t, {});
  const publisher = rest(runtime).channels.get('whole');
  for (const score of scores.slice(0, 3)) await publisher.publish('score', score);
  const rewound = client.channels.get('[?rewind=2&delta=vcdiff]whole');
  const [inbox, past] = [await Inbox.of(channelOf('whole')), await Inbox.of(rewound)];
  await past.until(2);
  assert.deepEqual([past.data, decoder.calls], [scores.slice(1, 3), 1]);
  await publisher.publish('score', scores[3]);
  await Promise.all([inbox.until(1), past.until(3)]);
  // Whole for the one, and for the other no less.
  assert.deepEqual([inbox.data, past.data.at(-1)], [[scores[3]], scores[3]]);
  const { items } = await publisher.history();
  assert.deepEqual(items.map(({ data, extras }) => [data, extras]), scores.slice(0, 4).toReversed().map((data) => [data, undefined]));
});
