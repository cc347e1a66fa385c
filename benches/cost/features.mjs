/**
 * Each feature has its cost at the platform's prices: `npx node benches/cost/features.mjs [acts a second] [seconds]
 * [settling seconds]`, 10, 60 and 250 unless said, takes five minutes and prints a table.
 *
 * One publisher acts at an even pace, and two subscribers get all of it, through relays. Counted is what a million of
 * such acts comes to: requests, rows and awake seconds, by the meter that the events are counted with. Settled means
 * that as many rows expire as are written. Counting is not timing, so all features run at once.
 */
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { LiveCounter, LiveObjects } from 'ably/liveobjects';
import { total } from '../../bin/cost/prices.mjs';
import { build, setUp } from '../../scripts/setup.mjs';
import { connected } from '../../tests/worker/clients.mjs';
import { Receiver } from '../../tests/worker/receiver.mjs';
import { startRuntime } from '../../tests/worker/runtime.mjs';
import { Scope } from '../../tests/worker/trials.mjs';
import { markdown } from '../lib/tables.mjs';
import { requests, usage } from './replay.mjs';

/** @typedef {(index: number) => Promise<unknown>} Act */
/**
 * @typedef {object} Feature
 * @property {string} title
 * @property {object} [rules] of the channel's namespace
 * @property {boolean} [isHooked] a webhook gets all messages
 * @property {(channel: import('ably').RealtimeChannel) => Promise<Act>} begin what is done again and again
 */

const MILLION = 1_000_000;
const [rate, seconds, settling] = [10, 60, 250].map((usual, index) => Number(process.argv[2 + index] ?? usual));
const name = 'measured';

/** @type {Feature['begin']} */
const publishes = async (channel) => (index) => channel.publish('odds', `update ${index}`);

/** @param {(channel: import('ably').RealtimeChannel, serial: string, index: number) => Promise<unknown>} act */
const onOne = (act) => async (/** @type {import('ably').RealtimeChannel} */ channel) => {
  const { serials: [serial] } = await channel.publish('odds', 'first');
  return (/** @type {number} */ index) => act(channel, String(serial), index);
};

/** @type {Feature[]} */
const features = [
  { title: 'messages', begin: publishes },
  { title: 'messages, `commitInterval` of 500 ms', rules: { commitInterval: 500 }, begin: publishes },
  { title: 'messages, conflated by 500 ms', rules: { conflationEnabled: true, conflationInterval: 500, conflationKey: '#{message.name}' },
    begin: publishes },
  { title: 'updates of a message', rules: { mutableMessages: true },
    begin: onOne((channel, serial, index) => channel.updateMessage({ serial, data: `update ${index}` })) },
  { title: 'appends to a message', rules: { mutableMessages: true },
    begin: onOne((channel, serial) => channel.appendMessage({ serial, data: '.' })) },
  { title: 'annotations of a message', rules: { mutableMessages: true },
    begin: onOne((channel, serial) => channel.annotations.publish(serial, { type: 'reaction:total.v1', name: '👍' })) },
  { title: 'operations on objects', begin: async (channel) => {
    const root = /** @type {any} */ (await channel.object.get());
    await root.set('hits', LiveCounter.create());
    return () => root.get('hits').increment(1);
  } },
  { title: 'messages with a webhook', isHooked: true, begin: publishes },
];

/** A million acts of it cost this. @param {Feature} feature */
async function measure({ title, rules = {}, isHooked, begin }) {
  const scope = new Scope();
  const webhooks = isHooked ? [{ id: 'all', url: (await Receiver.start(scope)).url('/'), key: 'key1', events: ['channel.message'] }] : [];
  const apps = { apps: [{
    id: 'demo', keys: [{ name: 'key1', secret: 'local-only', capability: { '*': ['*'] } }],
    namespaces: [{ id: name, ...rules }], webhooks,
  }] };
  const runtime = await startRuntime(apps, {
    inFront: [path.join(import.meta.dirname, 'meter-entry.mjs')], variables: { WEBHOOK_PRIVATE_ADDRESSES: 'true' }, isQuiet: true,
  });
  scope.after(() => runtime.stop());
  const meter = async () => /** @type {import('./replay.mjs').Counts} */ (await (await fetch(`${runtime.url}/bench/meter`)).json());
  const options = { plugins: { LiveObjects } };
  const [publisher, ...subscribers] = await Promise.all([1, 2, 3].map(() => connected(scope, runtime, options)));
  const modes = /** @type {const} */ (['subscribe', 'object_subscribe', 'publish', 'object_publish', 'annotation_publish']);
  const of = (/** @type {import('ably').Realtime} */ client) => client.channels.get(name, { modes: [...modes] });
  await Promise.all(subscribers.map((client) => of(client).subscribe(() => {})));
  const act = await begin(of(publisher));
  let [index, from] = [0, await meter()];
  for (const lasting of [settling, seconds]) {
    from = await meter();
    /** @type {Promise<unknown>[]} */
    const acts = [];
    for (const end = index + Math.round(rate * lasting); index < end; index++) {
      acts.push(act(index));
      await pause(1_000 / rate);
    }
    await Promise.all(acts);
  }
  const to = await meter();
  await scope.end();
  const acts = Math.round(rate * seconds);
  const gained = Object.fromEntries(Object.entries(to).map(([what, count]) => [what, (count - (from[what] ?? 0)) / acts * MILLION]));
  return { title, gained, used: usage(gained) };
}

await setUp();
await build();
const measured = await Promise.all(features.map(measure));
const count = (/** @type {number} */ number) => (number / MILLION).toFixed(2);
const rows = measured.map(({ title, gained, used }) => [title, `$${total(used).toFixed(2)}`,
  count(used.rowsWritten), count(used.rowsRead), count(used.objectRequests), count(gained['App /call'] ?? 0),
  (used.awakeSeconds / MILLION).toFixed(3)]);
console.log(`Of each act, at ${rate} a second for ${seconds} s, and what a million of them costs:\n`);
console.log(markdown(['acts', 'a million', 'rows written', 'rows read', 'calls of objects', 'of these to the app', 'awake seconds'], rows));
for (const { title, gained } of measured) {
  const calls = requests(gained).map(([what, of]) => `${what} ${count(of)}`);
  console.log(`\n${title}: ${calls.join(', ')}`);
}
process.exit();
