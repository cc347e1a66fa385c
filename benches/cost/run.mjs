/**
 * The cost of events at the platform's prices: `npm run cost` takes about half an hour, prints the arithmetic and
 * writes it to `target/bench/cost.md`.
 *
 * Two published price examples are replayed in real time, a few minutes of each, at their full number of viewers and
 * their full rate, as they are and by the rules that go with the example; what is counted is extrapolated to the
 * length of the event. A third, too large for one machine, is computed from what one relay was seen to use.
 * `--viewers N` replays fewer viewers on a slower machine; what each uses to connect is then extrapolated too.
 * `--quick` shows that it works and counts nothing worth quoting.
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildLoad } from '../lib/load.mjs';
import { markdown } from '../lib/tables.mjs';
import { million } from './million.mjs';
import { bill, sum, times, total } from '../../bin/cost/prices.mjs';
import { replay, requests, usage } from './replay.mjs';

/**
 * @typedef {object} Event
 * @property {string} title
 * @property {string} told what of it is replayed
 * @property {number} viewers of one channel
 * @property {number} messagesPerSecond to one channel
 * @property {number} seconds
 * @property {number} channels that are alike
 * @property {string} listPrice of the hosted service
 * @property {Rule[]} rules by which it is also priced; the first is that of the list price
 *
 * @typedef {{ title: string, channel: string }} Rule  `channel`: where it holds
 *
 * @typedef {{
 *   event: Event, channelInUrl: boolean, rule?: Rule, viewers: number,
 *   counted: import('./replay.mjs').Counted, used: import('../../bin/cost/prices.mjs').Usage
 * }} Priced  `viewers` replayed
 */

/** @type {Event} */
const chat = {
  title: 'Livestream chat: 1 hour, 5,000 viewers, each sends 5 messages and 2 reactions, everyone receives all',
  told: '5,000 × 7 = 35,000 messages in 3,600 s, evenly spaced: none can share a commit, as some would in a real chat',
  viewers: 5_000,
  messagesPerSecond: 35_000 / 3_600,
  seconds: 3_600,
  channels: 1,
  listPrice: '$94.50',
  rules: [{ title: '500 ms batching', channel: 'batched' }],
};

/** @type {Event} */
const odds = {
  title: 'Live odds: 50 matches of 120 minutes, 200 viewers each, 10 updates/s',
  told: 'one match; 50 of them are alike',
  viewers: 200,
  messagesPerSecond: 10,
  seconds: 7_200,
  channels: 50,
  listPrice: '$374',
  rules: [
    { title: '500 ms conflation', channel: 'conflated' },
    { title: '500 ms conflation, `commitInterval` of 500 ms', channel: 'conflated-committed' },
    { title: '500 ms conflation, `commitInterval` of a second', channel: 'conflated-by-second' },
  ],
};

/**
 * Of the messages, how many may travel in a call together before the figures flatter. At an even pace none would,
 * without a rule.
 */
const togetherAtMost = 0.03;

/** Rows are past their time two and a half minutes after they were written; soon others are written in their place. */
const settleSeconds = 250;

const { values: { quick, viewers: viewersAtMost, out } } = parseArgs({ options: {
  quick: { type: 'boolean', default: false },
  viewers: { type: 'string', default: '5000' },
  out: { type: 'string', default: 'target/bench' },
} });
const directory = path.resolve(import.meta.dirname, '../..', out);
fs.mkdirSync(directory, { recursive: true });
buildLoad();

/** @type {Priced[]} */
const priced = [];
for (const channelInUrl of [false, true]) {
  for (const by of [-1, 0, 1, 2]) {
    const events = [chat, odds].filter(({ rules }) => by < rules.length);
    // Counting is not timing: the small one may run beside the large one.
    priced.push(...await Promise.all(events.map((event) => price(event, channelInUrl, event.rules[by]))));
  }
}
const text = report(priced);
console.log(text);
fs.writeFileSync(path.join(directory, 'cost.md'), `${text}\n`);

/** @param {Event} event @param {boolean} channelInUrl @param {Rule} [rule] @returns {Promise<Priced>} */
async function price(event, channelInUrl, rule) {
  const viewers = Math.min(event.viewers, Number(viewersAtMost), quick ? 100 : Infinity);
  const [settle, seconds] = quick ? [2, 10] : [settleSeconds, 60];
  const channel = rule?.channel ?? 'bench';
  const counted = await replay({ viewers, messagesPerSecond: event.messagesPerSecond, channel, channelInUrl, settleSeconds: settle, seconds },
    path.join(directory, `cost-state-${event.viewers}`));
  const connecting = times(usage(counted.connecting), event.viewers / viewers);
  const used = times(sum(connecting, times(usage(counted.perSecond), event.seconds)), event.channels);
  // All channels have one app, which cannot be awake for longer than the event.
  const app = counted.perSecond['App awake seconds'] * event.seconds * event.channels;
  used.awakeSeconds -= Math.max(0, app - event.seconds);
  return { event, channelInUrl, rule, viewers, counted, used };
}

/** @param {Priced[]} priced */
function report(priced) {
  const model = million(priced[0].counted, priced[0].viewers);
  const rows = [...priced.map(({ event, channelInUrl, rule, used }) => ({ title: event.title.replace(/:.*/, ''),
    how: `${channelInUrl ? 'with `?channel=`' : 'through relays'}, ${rule?.title ?? 'each message at once'}`, used,
    listPrice: rule === event.rules[0] ? event.listPrice : '' })),
  { title: '1,000,000 viewers, 1 update/s, 4 hours', how: 'computed', used: model.usage, listPrice: '' }];
  const summary = markdown(['event', 'connected', 'Courtside', 'of it awake objects', 'rows', 'requests', 'hosted, list price'],
    rows.map(({ title, how, used, listPrice }) => [title, how, dollars(total(used)), ...shares(used), listPrice]));
  return [
    ...quick ? ['**Quick: too short and too small to be quoted.**'] : [],
    '# What it costs', summary,
    'Beyond the platform\'s monthly plan ($5), with nothing taken off for what that includes.',
    ...priced.flatMap(section), ...model.text, arithmetic(model.usage),
  ].join('\n\n');
}

/** @param {Priced} priced */
function section({ event, channelInUrl, rule, viewers, counted, used }) {
  const calls = requests(counted.perSecond).filter(([, rate]) => rate >= 0.005).map(([what, rate]) => `${what} ${rate.toFixed(2)}`);
  const together = channelInUrl || rule ? 0 : 1 - counted.perSecond['Channel /call'] / event.messagesPerSecond;
  return [
    `## ${event.title}${channelInUrl ? ', with `?channel=`' : ''}${rule ? `, ${rule.title}` : ''}`,
    `Replayed: ${event.told}; ${viewers} viewers over ${counted.relays} relays. Requests to objects per second: ${calls.join(', ')}.`,
    ...together > togetherAtMost
      ? [`**The machine was too slow for this pace: ${Math.round(together * 100)}% of the messages shared a call, so the price is too low.**`] : [],
    arithmetic(used),
  ];
}

/** @param {import('../../bin/cost/prices.mjs').Usage} usage */
function arithmetic(usage) {
  const lines = bill(usage).map(({ what, count, dollars: sum }) => [what, count, dollars(sum)]);
  return markdown(['billed', 'count', 'price'], [...lines, ['in all', '', dollars(total(usage))]]);
}

/** @param {import('../../bin/cost/prices.mjs').Usage} usage */
function shares(usage) {
  const [worker, objects, frames, written, read, awake] = bill(usage).map(({ dollars }) => dollars);
  return [awake, written + read, worker + objects + frames].map(dollars);
}

/** @param {number} sum */
function dollars(sum) {
  return `$${sum < 1 ? sum.toFixed(3) : sum.toFixed(2)}`;
}
