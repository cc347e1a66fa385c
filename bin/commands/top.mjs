/** `courtside top`: what happens now. Rates are of all apps, by the admin token; channels are of one, by its key. */
import { setTimeout as pause } from 'node:timers/promises';
import { Place, withEither } from '../client/place.mjs';
import { Refused, Unreachable, askPages, askText } from '../client/request.mjs';
import { isTerminal, table } from '../client/terminal.mjs';
import { COUNT_MAX, TOP_CHANNELS, TOP_CHANNELS_ASKED, TOP_EVERY_SECONDS, TOP_PAGE } from '../client/limits.mjs';
import { BadOption, flag, number, option, seconds } from '../readers.mjs';

/** Of `/metrics`: what grows, and in which columns its rate stands. */
const rates = {
  'messages in/s': 'courtside_messages_total{direction="in"',
  'messages out/s': 'courtside_messages_total{direction="out"',
  'connects/s': 'courtside_connections_opened_total',
  'requests/s': 'courtside_requests_total',
  'refusals/s': 'courtside_refusals_total',
};

/** @type {import('../command.mjs').Command} */
export default {
  form: '[options]',
  takes: [0, 0],
  options: [
    ...withEither,
    option('every', 'TIME', seconds(1, 3_600), TOP_EVERY_SECONDS, 'how often'),
    option('count', 'N', number(1, COUNT_MAX), undefined, 'end after so many'),
    option('channels', 'N', number(0, TOP_CHANNELS_ASKED), TOP_CHANNELS, 'how many channels, the fullest first'),
    option('json', undefined, flag, false, 'a line of JSON each time'),
  ],
  notes: `With the admin token it shows rates of the whole deployment, from the second time on; they come in steps, as a
server counts for some seconds before it tells. With a key that may channel-metadata it shows channels and who is there,
as of that moment; to ask for that wakes channels that sleep. With both it shows both.`,
  async run(values) {
    const admin = values.adminToken ? Place.ofAdmin(values) : undefined;
    const client = values.key || values.token || !admin ? Place.ofClient(values) : undefined;
    /** @type {Reading | undefined} */
    let before;
    for (let left = values.count ?? Infinity; left > 0; left--) {
      const looks = client && values.channels > 0 ? client : undefined;
      const [reading, channels] = await tolerant(() => Promise.all([
        admin && metrics(admin), looks && fullest(looks, values.channels)]));
      show(values, values.url, { rates: reading && gained(before, reading), channels });
      before = reading ?? before;
      if (left > 1) await pause(values.every * 1_000);
    }
  },
};

/**
 * @typedef {{ at: number, values: Record<string, number>, connections: number, channels: number }} Reading
 * @typedef {{ name: string, occupancy: Record<string, number> }} Channel
 */

/**
 * A server that is away for a moment is no reason to end.
 * @template T
 * @param {() => Promise<T>} read
 */
async function tolerant(read) {
  try {
    return await read();
  } catch (error) {
    const passes = (error instanceof Unreachable || error instanceof Refused) && error.passes;
    if (!passes) throw error;
    process.stderr.write(`courtside: ${error.message}\n`);
    return [undefined, undefined];
  }
}

/** @param {Place} place @returns {Promise<Reading>} */
async function metrics(place) {
  const lines = (await askText(place, '/metrics', '# HELP courtside_')).split('\n')
    .filter((line) => line && !line.startsWith('#'));
  const sum = (/** @type {string} */ prefix) => lines.filter((line) => line.startsWith(prefix))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0);
  const values = Object.fromEntries(Object.entries(rates).map(([name, prefix]) => [name, sum(prefix)]));
  const [connections, channels] = [sum('courtside_connections_peak'), sum('courtside_channels_peak')];
  return { at: performance.now(), values, connections, channels };
}

/** @param {Reading | undefined} before @param {Reading} now @returns {Record<string, number>} */
function gained(before, { at, values, connections, channels }) {
  if (!before) return { connections, channels };
  const passed = (at - before.at) / 1_000;
  // Who started anew counts from zero.
  const each = Object.entries(values).map(([name, value]) =>
    [name, Math.max(0, value - (before.values[name] ?? 0)) / passed]);
  return { connections, channels, ...Object.fromEntries(each) };
}

/** @param {Place} place @param {number} most @returns {Promise<Channel[]>} */
async function fullest(place, most) {
  /** @type {any[]} */
  const channels = await askPages(place, '/channels', TOP_PAGE, TOP_CHANNELS_ASKED / TOP_PAGE);
  if (channels.some((channel) => !channel?.status?.occupancy?.metrics)) {
    throw new BadOption('this server lists no occupancy');
  }
  const found = channels.map(({ name, status }) => ({ name, occupancy: status.occupancy.metrics }));
  // Those that are equally full stay in the order of their names.
  return found.sort((one, other) => other.occupancy.connections - one.occupancy.connections).slice(0, most);
}

/**
 * @param {any} values
 * @param {string} url
 * @param {{ rates?: Record<string, number> | undefined, channels?: Channel[] | undefined }} read
 */
function show({ json, every }, url, read) {
  const time = new Date().toISOString();
  if (json) return void process.stdout.write(`${JSON.stringify({ time, ...read })}\n`);
  const head = isTerminal() ? `\u001b[H\u001b[2J${url}   ${time.slice(11, 19)}   every ${every} s\n\n` : '';
  const parts = [head];
  if (read.rates) {
    const heads = ['connections', 'channels', ...Object.keys(rates)];
    parts.push(table(heads, [heads.map((head) => read.rates?.[head] ?? '-')]));
  }
  if (read.channels) {
    const counts = ['connections', 'subscribers', 'publishers', 'presenceMembers'];
    const rows = read.channels.map(({ name, occupancy }) => [name, ...counts.map((count) => occupancy[count] ?? 0)]);
    parts.push(table(['channel', 'connections', 'subscribers', 'publishers', 'members'], rows));
  }
  process.stdout.write(parts.join(isTerminal() ? '\n' : ''));
}
