/** `courtside load`: what a crowd gets, and how late. */
import { Place, withKey } from '../client/place.mjs';
import { ask } from '../client/request.mjs';
import { Progress, bars, shown } from '../client/terminal.mjs';
import {
  LOAD_BYTES_MAX, LOAD_CONNECTS_MAX, LOAD_RATE_MAX, LOAD_SECONDS_MAX, LOAD_VIEWERS_MAX, PLOT_COLUMNS,
} from '../client/limits.mjs';
import { BadOption, decimal, flag, number, option, seconds, text } from '../readers.mjs';
import { Run } from '../load/run.mjs';

const [url, ...who] = withKey;

/** @type {import('../command.mjs').Command} */
export default {
  form: '--url URL --viewers N --rate R [options]',
  takes: [0, 0],
  options: [
    // Nothing is loaded that was not named.
    { .../** @type {import('../readers.mjs').Option} */ (url), fallback: undefined }, ...who,
    option('viewers', 'N', number(1, LOAD_VIEWERS_MAX), undefined, 'how many watch'),
    option('rate', 'R', decimal(0.01, LOAD_RATE_MAX), undefined, 'messages a second, such as 0.5'),
    option('seconds', 'TIME', seconds(1, LOAD_SECONDS_MAX), 30, 'for how long'),
    option('channel', 'C', text, 'load', 'which channel'),
    option('connects', 'N', number(1, LOAD_CONNECTS_MAX), 200, 'how many viewers connect a second'),
    option('size', 'BYTES', number(1, LOAD_BYTES_MAX), 100, 'of a message'),
    option('direct', undefined, flag, false, "viewers name the channel in their URL: its own object holds them"),
    option('json', undefined, flag, false, 'the result as JSON'),
  ],
  notes: `Each viewer counts what it gets, and whether it comes in order. A viewer that loses its connection comes back
by itself, as SDKs do, and must miss nothing. It ends with 1 when anything was lost, repeated, out of order or refused.
On a channel that conflates, messages are left out, and count as lost. Ctrl-C ends it early, with a result.`,
  async run(values) {
    if (!values.url) throw new BadOption('what is to be loaded? Give --url, or set COURTSIDE_URL');
    const missing = ['viewers', 'rate'].find((name) => values[name] === undefined);
    if (missing) throw new BadOption(`give --${missing}`);
    const { viewers, rate, seconds: lasts, channel, connects, size: bytes, direct } = values;
    const progress = new Progress();
    const place = Place.ofClient(values);
    const plan = { place, channel, viewers, rate, seconds: lasts, connects, bytes, direct };
    // Later on, a server that is away for a moment is waited for.
    await ask(place, '/time', { like: [0] });
    const run = new Run(plan, (part, what) => progress.tell(part, what));
    process.once('SIGINT', () => run.stop());
    try {
      await run.all();
    } finally {
      progress.end();
    }
    const result = run.result();
    process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : report(run, result));
    return isWhole(result) ? 0 : 1;
  },
};

/** @param {import('../load/run.mjs').Result} result */
const isWhole = ({ lost, repeated, outOfOrder, gaps, refused, acknowledged, published }) =>
  [lost, repeated, outOfOrder, gaps, refused].every((count) => count === 0) && acknowledged === published;

/** @param {Run} run @param {import('../load/run.mjs').Result} result */
function report(run, result) {
  const { latencyMs: ms, heldBack, whyRefused, ownMicroseconds } = result;
  const count = (/** @type {keyof typeof result} */ what) => shown(Number(result[what]));
  const lines = [
    `viewers    ${count('viewers')}, in within ${result.connectSeconds} s; ${count('reconnected')} times one came back`,
    `published  ${count('published')} in ${result.seconds} s, ${count('acknowledged')} acknowledged, `
      + `${count('refused')} refused`,
    ...heldBack > 0 ? [`held back  ${shown(heldBack)}: the server was slower than the pace`] : [],
    ...whyRefused ? [`refused    ${whyRefused}`] : [],
    `delivered  ${count('delivered')}, ${count('deliveriesPerSecond')} a second`,
    `latency    p50 ${ms.p50} ms, p90 ${ms.p90}, p99 ${ms.p99}, p99.9 ${ms.p999}, most ${ms.most}`,
    `own work   ${ownMicroseconds} µs a delivery: to read all viewers once takes `
      + `${shown(Math.ceil(ownMicroseconds * result.viewers / 1_000))} ms`,
    `lost ${count('lost')}, repeated ${count('repeated')}, out of order ${count('outOfOrder')}, gaps ${count('gaps')}`,
    '', ...plot(run),
  ];
  return `${lines.join('\n')}\n`;
}

/** p50 and p99 over time, in as many columns as there is room for. @param {Run} run */
function plot({ bySecond }) {
  const width = Math.ceil(bySecond.length / PLOT_COLUMNS);
  const starts = Array.from({ length: Math.ceil(bySecond.length / width) || 0 }, (_, at) => at * width);
  const columns = starts.map((start) => bySecond.slice(start, start + width));
  return [['p50', 0.5], ['p99', 0.99]].map(([name, part]) => {
    const highest = columns.map((seconds) => Math.max(0, ...seconds.map((one) => one?.quantile(Number(part)) ?? 0)));
    return `${name}  ${bars(highest)}  up to ${Math.max(0, ...highest).toFixed(1)} ms; a column is ${width} s`;
  });
}
