/** `courtside cost`: what an event costs on Cloudflare, by the prices of the platform, and what it assumes. */
import { VIEWERS_PER_RELAY, relaysOf, usageOf } from '../cost/model.mjs';
import { bill, prices, times, total } from '../cost/prices.mjs';
import { COUNTED_AT, steps } from '../cost/steps.mjs';
import { table } from '../client/terminal.mjs';
import {
  COST_CHANNELS_MAX, COST_CONNECTS_MAX, COST_HOURS_MAX, COST_RATE_MAX, COST_VIEWERS_MAX, INTERVAL_MAX_MS,
  INTERVAL_MIN_MS,
} from '../client/limits.mjs';
import { BadOption, decimal, flag, number, option } from '../readers.mjs';

/** @type {import('../command.mjs').Command} */
export default {
  form: '--viewers N --hours H --rate R [options]',
  takes: [0, 0],
  options: [
    option('viewers', 'N', number(1, COST_VIEWERS_MAX), undefined, 'how many watch one channel'),
    option('hours', 'H', decimal(0.01, COST_HOURS_MAX), undefined, 'for how long'),
    option('rate', 'R', decimal(0, COST_RATE_MAX), undefined, 'messages a second to one channel, whoever sends them'),
    option('channels', 'N', number(1, COST_CHANNELS_MAX), 1, 'so many channels that are alike'),
    option('interval', 'MS', number(INTERVAL_MIN_MS, INTERVAL_MAX_MS), undefined, 'between batched deliveries'),
    option('connects', 'N', decimal(1, COST_CONNECTS_MAX), 1.5, 'how often a viewer connects'),
    option('json', undefined, flag, false, 'as JSON'),
  ],
  run(values) {
    const missing = ['viewers', 'hours', 'rate'].find((name) => values[name] === undefined);
    if (missing) throw new BadOption(`give --${missing}`);
    const { viewers, hours, rate, channels, interval, connects } = values;
    const seconds = hours * 3_600;
    const event = { viewers, seconds, messagesPerSecond: rate, connectsPerViewer: connects, intervalMs: interval };
    const usage = times(usageOf(event, steps), channels);
    const assumed = assumptions(values);
    if (values.json) {
      const answer = { dollars: total(usage), items: bill(usage), usage, prices, assumptions: assumed };
      return void process.stdout.write(`${JSON.stringify(answer)}\n`);
    }
    const rows = bill(usage).map(({ what, count, dollars: sum }) => [what, count, dollars(sum)]);
    process.stdout.write(table(['billed', 'count', 'price'], [...rows, ['in all', '', dollars(total(usage))]]));
    process.stdout.write(`\n${assumed.map((line) => `- ${line}\n`).join('')}`);
  },
};

/** @param {number} sum */
const dollars = (sum) => `$${sum.toFixed(sum < 1 ? 4 : 2)}`;

/** @param {any} values */
function assumptions({ viewers, rate, connects, channels, interval }) {
  const { connect, message } = steps;
  const relays = relaysOf(viewers);
  const count = (/** @type {number} */ number) => number.toLocaleString('en');
  return [
    'on Cloudflare, beyond the plan of $5 a month, with nothing taken off for what that includes',
    `prices as they were known in ${COUNTED_AT}: look up today's`,
    `each viewer connects ${connects} times, as networks change and phones sleep: `
      + `${connect.workerRequests.toFixed(2)} requests to the worker, `
      + `${connect.objectRequests.toFixed(2)} to objects and ${connect.frames.toFixed(2)} frames each time`,
    `all are in one region, which is the dearest: ${count(relays)} ${relays === 1 ? 'relay' : 'relays'} of at most `
      + `${count(VIEWERS_PER_RELAY)} viewers${channels > 1 ? ` for each of ${count(channels)} channels` : ''}, awake`,
    `a message is one call to its channel, which writes ${message.rowsWritten.toFixed(2)} rows and reads `
      + `${message.rowsRead.toFixed(2)}; none shares a commit`,
    interval ? `a delivery each ${interval} ms at most, to each relay`
      : 'each message is a delivery to each relay; --interval says otherwise',
    `what goes out to viewers is free: ${count(Math.round(viewers * rate * channels))} messages a second`,
  ];
}
