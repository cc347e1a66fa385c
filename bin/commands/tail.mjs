/** `courtside tail`: what channels say, as it comes. */
import { events } from '../client/stream.mjs';
import { Place, withKey } from '../client/place.mjs';
import { isTerminal, printable } from '../client/terminal.mjs';
import { CHANNELS_OF_STREAM, COUNT_MAX } from '../client/limits.mjs';
import { BadOption, flag, number, option, text } from '../readers.mjs';

/** What each action of a message does; the usual one, 0, makes it. */
const actions = ['', 'update', 'delete', '', 'summary', 'append'];
const presence = ['absent', 'present', 'enter', 'leave', 'update'];

const atMost = `it follows ${CHANNELS_OF_STREAM} channels at most`;

/** @type {import('../command.mjs').Command} */
export default {
  form: 'CHANNEL... [options]',
  takes: [1, CHANNELS_OF_STREAM],
  atMost,
  options: [
    ...withKey,
    option('rewind', 'COUNT|TIME', text, undefined, 'begin with the last messages: 10, or 2m'),
    option('filter', 'EXPRESSION', text, undefined, "JMESPath over name, clientId and headers: \"name == 'goal'\""),
    option('presence', undefined, flag, false, 'members too: those who are there, who enter and who leave'),
    option('count', 'N', number(1, COUNT_MAX), undefined, 'end after so many'),
    option('json', undefined, flag, false, 'each as a line of JSON'),
  ],
  notes: `It follows ${CHANNELS_OF_STREAM} channels at most. It goes on by itself where it was cut off, and says on
standard error if something may be missing. Without a terminal, tabs stand between time, channel, name, clientId and
data.`,
  async run(values, channels) {
    const place = Place.ofClient(values);
    let left = values.count ?? Infinity;
    process.once('SIGINT', () => process.exit(0));
    for await (const { event, data } of events(place, query(values, channels), said)) {
      if (event === 'gap') said(missing(data));
      else if (event === 'message' || event === 'presence') {
        process.stdout.write(values.json ? `${JSON.stringify({ event, ...data })}\n` : line(event, data));
        if (--left === 0) return;
      }
    }
  },
};

/** @param {any} values @param {string[]} channels */
function query({ rewind, filter, presence: members }, channels) {
  const separator = [',', ';', '|', ' ', '~'].find((one) => !channels.some((channel) => channel.includes(one)));
  if (!separator) throw new BadOption('these channels cannot be listed together: follow them one by one');
  const modes = members ? 'subscribe,presence_subscribe' : undefined;
  const list = channels.length > 1 ? { channels: channels.join(separator), separator } : { channel: channels[0] };
  return { ...list, rewind, filter, modes };
}

/** @param {string} text */
const said = (text) => process.stderr.write(`courtside: ${printable(text)}\n`);

/** @param {any} gap */
const missing = ({ channel, error }) => `something may be missing on ${channel}: ${error.message} (${error.code})`;

/** @param {string} event @param {any} item */
function line(event, { timestamp, channel, name, action, clientId, data }) {
  const time = new Date(timestamp).toISOString();
  const does = event === 'presence' ? `[${presence[action] ?? action}]` : actions[action] ? `[${actions[action]}]` : '';
  const what = [does, name ?? ''].filter(Boolean).join(' ');
  const text = typeof data === 'string' ? data : JSON.stringify(data) ?? '';
  const cells = [channel, what, clientId ?? '', text].map(printable);
  if (!isTerminal()) return `${[time, ...cells].join('\t')}\n`;
  return `${time.slice(11, 23)}  ${cells.filter(Boolean).join('  ')}\n`;
}
