/** `courtside publish`: what it is told, or what standard input says, each line once. */
import { randomBytes } from 'node:crypto';
import { withKey, Place } from '../client/place.mjs';
import { askAgain } from '../client/request.mjs';
import { LINE_MAX_BYTES, PUBLISH_BYTES, PUBLISH_MESSAGES } from '../client/limits.mjs';
import { BadOption, flag, json, option, text } from '../readers.mjs';

/** @typedef {{ id: string, name?: string, data?: unknown, clientId?: string }} Message */

/** @type {import('../command.mjs').Command} */
export default {
  form: 'CHANNEL [DATA|-] [options]',
  takes: [1, 2],
  options: [
    ...withKey,
    option('name', 'NAME', text, undefined, 'what the message is called'),
    option('json', undefined, flag, false, 'the data is JSON, an object or a list, and not text'),
    option('id', 'ID', text, undefined, 'publish it once, however often this is said within two minutes'),
    option('client-id', 'NAME', text, undefined, 'who says it'),
  ],
  notes: `With - as DATA, each line of standard input is a message. What could not be sent is sent again, and comes
once. It prints the serial of each message: its place in the channel.`,
  async run(values, [channel = '', data]) {
    if (data === undefined && values.name === undefined) {
      throw new BadOption("what is to be published? Give DATA, '' for none, or - for the lines of standard input");
    }
    const place = Place.ofClient(values);
    const path = `/channels/${encodeURIComponent(channel)}/messages`;
    const send = async (/** @type {Message[]} */ messages) => {
      const { serials } = await askAgain(place, path, { method: 'POST', body: messages, like: { serials: [''] } });
      process.stdout.write(serials.map((/** @type {string} */ serial) => `${serial}\n`).join(''));
    };
    if (data === '-') return lines(values, send);
    const { id = randomBytes(12).toString('base64url') } = values;
    await send([message(values, id, data)]);
  },
};

/** @param {any} values @param {string} id @param {string | undefined} data @returns {Message} */
function message({ name, json: isJson, clientId }, id, data) {
  const read = isJson && data !== undefined ? json(data, 'DATA') : data;
  if (isJson && data !== undefined && (read === null || typeof read !== 'object')) {
    throw new BadOption('with --json, DATA must be an object or a list');
  }
  return { id, name, data: read, clientId };
}

/**
 * Lines that come together go out together, in their order. With an id of the user, each goes alone: that the same
 * input says the same must not depend on when its lines came.
 * @param {any} values
 * @param {(messages: Message[]) => Promise<void>} send
 */
async function lines(values, send) {
  const base = values.id ?? randomBytes(12).toString('base64url');
  let number = 0;
  for await (const batch of batches(values.id ? 1 : PUBLISH_MESSAGES)) {
    const first = number;
    const isLone = batch.length === 1;
    // The messages of one publish have one base, and are numbered from 0.
    const id = (/** @type {number} */ index) => isLone ? `${base}-${first}` : `${base}-${first}:${index}`;
    await send(batch.map((line, index) => {
      try {
        return message(values, id(index), line);
      } catch (error) {
        throw new BadOption(`line ${first + index + 1}: ${/** @type {Error} */ (error).message}`);
      }
    }));
    number += batch.length;
  }
}

/** The lines of standard input, in lists of those that come together. @param {number} most lines of a list */
async function* batches(most) {
  let rest = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    checked(rest);
    yield* parts(lines.map(checked), most);
  }
  if (rest !== '') yield [checked(rest)];
}

/** A line without the rest of its end. Fails when no message has room for it. @param {string} ended */
function checked(ended) {
  const line = ended.replace(/\r$/, '');
  if (Buffer.byteLength(line) <= LINE_MAX_BYTES) return line;
  throw new Error(`a line has more than ${LINE_MAX_BYTES} bytes, and so does not fit a message`);
}

/** Lists of as many as one publish takes. @param {string[]} lines @param {number} most */
function* parts(lines, most) {
  /** @type {string[]} */
  let part = [];
  let bytes = 0;
  for (const line of lines) {
    const size = Buffer.byteLength(line);
    if (part.length > 0 && (part.length >= most || bytes + size > PUBLISH_BYTES)) {
      yield part;
      [part, bytes] = [[], 0];
    }
    part.push(line);
    bytes += size;
  }
  if (part.length > 0) yield part;
}
