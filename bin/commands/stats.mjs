/** `courtside stats`: what an app counted (docs/protocol.md § 21). */
import { Place, withKey } from '../client/place.mjs';
import { ask } from '../client/request.mjs';
import { table } from '../client/terminal.mjs';
import { flag, number, oneOf, option, text } from '../readers.mjs';

/** What stands in a column, of the entries of an interval. */
const columns = {
  'messages in': 'messages.inbound.all.all.count',
  'messages out': 'messages.outbound.all.all.count',
  'bytes out': 'messages.outbound.all.all.data',
  'connections': 'connections.all.peak',
  'channels': 'channels.peak',
  'requests': 'apiRequests.all.succeeded',
  'refused': 'apiRequests.all.refused',
};

/** @type {import('../command.mjs').Command} */
export default {
  form: '[options]',
  takes: [0, 0],
  options: [
    ...withKey,
    option('unit', 'UNIT', oneOf(['minute', 'hour', 'day', 'month']), 'minute', 'minute, hour, day or month'),
    option('start', 'TIME', text, undefined, 'from then on: milliseconds, or 2026-11-28:20:15 or less of that, in UTC'),
    option('end', 'TIME', text, undefined, 'until then, itself included'),
    option('limit', 'N', number(1, 1_000), 30, 'so many, the last ones'),
    option('json', undefined, flag, false, 'all that was counted, as JSON'),
  ],
  notes: 'It needs the operation stats on *. Connections and channels are the most at a time.',
  async run(values) {
    const { unit, start, end, limit } = values;
    const query = { unit, start, end, limit: String(limit) };
    const items = await ask(Place.ofClient(values), '/stats', { query, like: [{ intervalId: '', entries: {} }] });
    if (values.json) return void process.stdout.write(`${JSON.stringify(items)}\n`);
    const rows = items.toReversed().map((/** @type {any} */ { intervalId, entries }) =>
      [intervalId, ...Object.values(columns).map((name) => entries[name] ?? 0)]);
    process.stdout.write(table([unit, ...Object.keys(columns)], rows));
  },
};
