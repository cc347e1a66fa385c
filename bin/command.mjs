/**
 * Commands that talk to a server or make something for one: their list, `--help` of each, and what they are given. The
 * command line wins over the environment, which has only what says where the server is and who asks.
 */
import { parseArgs } from 'node:util';
import { BadOption, described, misread, variable } from './readers.mjs';

/**
 * @typedef {object} Command
 * @property {string} form what stands behind its name: places and `[options]`
 * @property {[number, number]} takes how many places there are
 * @property {string} [atMost] how many places there may be, where they are many
 * @property {import('./readers.mjs').Option[]} options
 * @property {string} [notes] what `--help` says below the options
 * @property {(values: any, places: string[]) => Promise<number | void> | number | void} run its exit code; 0 for none
 */

/** Each is a file in `commands`, read when it is needed. */
export const commands = {
  token: 'sign a token for a client, with a key and without a server',
  'check-apps': 'say what is wrong with a file of apps, as a server would',
  publish: 'publish one message, or each line of standard input',
  tail: 'print the messages of channels as they come',
  top: 'show what happens now: connections, channels, rates',
  stats: 'show what happened, by minute, hour, day or month',
  kick: 'end the connections and tokens of a client',
  apps: 'list, make and end apps while the server runs, and change their keys and namespaces',
  load: 'let viewers watch a channel, and say what they get and how late',
  cost: 'what an event costs on Cloudflare',
};

/** @param {string} name @returns {Promise<Command>} */
export async function load(name) {
  return (await import(`./commands/${name.replace('-', '_')}.mjs`)).default;
}

/** Their lines in the help of all. */
export function summary() {
  return Object.entries(commands).map(([name, what]) => `courtside ${name.padEnd(28)}${what}`).join('\n');
}

/** @param {string} name @param {Command} command */
export function help(name, { form, options, notes }) {
  const about = commands[/** @type {keyof typeof commands} */ (name)];
  const variables = options.filter(({ fromEnvironment }) => fromEnvironment).map((one) => variable(one.name));
  const also = variables.length > 0 ? [`The environment may say ${variables.join(', ')} instead.`] : [];
  return `${[`courtside ${`${name} ${form}`.trim()}`, '', about, '', described(options), '',
    ...notes ? [notes, ''] : [], ...also, 'Exit codes: 0 done, 1 failed, 2 wrong usage.'].join('\n')}\n`;
}

/**
 * What a command is told. Fails with {@link BadOption}.
 * @param {string} name
 * @param {Command} command
 * @param {string[]} args
 * @param {Record<string, string | undefined>} environment
 */
export function read(name, { form, takes, atMost, options }, args, environment) {
  const { values: given, positionals } = parsed(name, options, args);
  const [least, most] = takes;
  if (positionals.length < least || positionals.length > most) {
    const why = atMost && positionals.length > most ? `${atMost}: ` : '';
    throw new BadOption(`${why}say courtside ${`${name} ${form}`.trim()}; see courtside ${name} --help`);
  }
  /** @type {Record<string, unknown>} */
  const values = {};
  for (const option of options) values[option.key] = value(option, given, environment);
  return { values, places: positionals };
}

/** @param {string} name @param {Command['options']} options @param {string[]} args */
function parsed(name, options, args) {
  const kinds = Object.fromEntries(options.map(({ name, value, many }) =>
    [name, { type: /** @type {'string' | 'boolean'} */ (value ? 'string' : 'boolean'), multiple: many ?? false }]));
  try {
    return parseArgs({ args, options: kinds, allowPositionals: true });
  } catch (error) {
    const names = options.map((option) => `--${option.name}`).join(', ');
    throw new BadOption(`${misread(error)}; courtside ${name} has ${names}`);
  }
}

/**
 * @param {import('./readers.mjs').Option} option
 * @param {Record<string, unknown>} given
 * @param {Record<string, string | undefined>} environment
 */
function value({ name, fallback, read, many, fromEnvironment, instead }, given, environment) {
  const own = given[name];
  if (many) return (/** @type {string[]} */ (own ?? [])).map((text) => read(text, `--${name}`));
  if (own !== undefined) return read(String(own), `--${name}`);
  const set = fromEnvironment && given[instead ?? ''] === undefined ? environment[variable(name)] : undefined;
  return set ? read(set, variable(name)) : fallback;
}
