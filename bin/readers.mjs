/** Options of all commands: what one is, and what reads the texts that people give them. */
import fs from 'node:fs';
import net from 'node:net';

/** What is wrong with an option, for the person who set it. */
export class BadOption extends Error {}

/**
 * @typedef {object} Option
 * @property {string} key
 * @property {string} name
 * @property {string} [value] what stands for the value in `--help`; a flag has none
 * @property {string} help
 * @property {any} [fallback]
 * @property {(text: string, from: string) => unknown} read
 * @property {boolean} [many] it may be given several times, and is a list
 * @property {boolean} [fromEnvironment] a variable may say it, too
 * @property {string} [instead] another option: when the command line has that one, the environment does not count
 */

/**
 * @param {string} name
 * @param {string | undefined} value
 * @param {Option['read']} read
 * @param {any} fallback
 * @param {string} help
 * @returns {Option}
 */
export function option(name, value, read, fallback, help) {
  const key = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  return { key, name, value, read, fallback, help };
}

/** Their lines in `--help`. @param {Option[]} options */
export function described(options) {
  const forms = options.map(({ name, value }) => `--${name}${value ? ` ${value}` : ''}`);
  const width = Math.max(...forms.map((form) => form.length)) + 2;
  return options.map(({ help, fallback }, index) => {
    const usual = fallback === undefined || fallback === false ? '' : ` (${fallback})`;
    return `  ${forms[index]?.padEnd(width)}${help}${usual}`;
  }).join('\n');
}

/** The fault of a command line, in one sentence. @param {unknown} error of Node's parser */
export function misread(error) {
  const { message } = /** @type {Error} */ (error);
  const [, dashed] = message.match(/^Option '(--[\w-]+)[^']*' argument is ambiguous/) ?? [];
  return dashed ? `a value of ${dashed} that begins with a dash is written ${dashed}=…` : message.split('. ')[0];
}

/** The variable of the environment that says the same. @param {string} name */
export const variable = (name) => `COURTSIDE_${name.toUpperCase().replaceAll('-', '_')}`;

/** @param {string} host */
export function isLoopback(host) {
  const plain = host.replace(/^\[(.*)\]$/, '$1');
  return plain === 'localhost' || plain === '::1' || (net.isIPv4(plain) && plain.startsWith('127.'));
}

/** @param {string} option @param {string} file */
export function contents(option, file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    throw new BadOption(`${option}: ${file} cannot be read (${/** @type {NodeJS.ErrnoException} */ (error).code})`);
  }
}

/** @param {number} least @param {number} most */
export function number(least, most) {
  return (/** @type {string} */ text, /** @type {string} */ from) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new BadOption(`${from} must be a number from ${least} to ${most}`);
  };
}

/** @param {readonly string[]} allowed */
export function oneOf(allowed) {
  return (/** @type {string} */ text, /** @type {string} */ from) => {
    if (allowed.includes(text)) return text;
    throw new BadOption(`${from} must be one of ${allowed.join(', ')}`);
  };
}

/** @param {string} text @param {string} from */
export function flag(text, from) {
  if (text === 'true' || text === 'false') return text === 'true';
  throw new BadOption(`${from} must be true or false`);
}

/** @param {string} text @param {string} from */
export function address(text, from) {
  if (net.isIP(text) || /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(text)) return text;
  throw new BadOption(`${from} must be an IP address or a name, without a port`);
}

/** Its place is not told: it may be a secret. @param {string} text @param {string} from */
export function text(text, from) {
  if (text.trim() !== '') return text;
  throw new BadOption(`${from} must not be empty`);
}

/**
 * What is in a file that may be a secret itself, if the sign before it was no sign.
 * @param {string} file
 * @param {string} from
 */
function hidden(file, from) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    throw new BadOption(`${from}: the file behind @ cannot be read (${code})`);
  }
}

/**
 * A secret, or the file that it is in, as `@FILE`: everyone on the machine can read what stands on a command line.
 * @param {string} given
 * @param {string} from
 */
export function secret(given, from) {
  return text(given.startsWith('@') ? hidden(given.slice(1), from) : given, from).trim();
}

/** Seconds in a unit of time. */
const units = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** A time such as `90`, `90s`, `30m` or `1h`, in seconds. @param {number} least @param {number} most */
export function seconds(least, most) {
  return (/** @type {string} */ text, /** @type {string} */ from) => {
    const [, count, unit = 's'] = text.match(/^(\d{1,9})([smhd]?)$/) ?? [];
    const value = Number(count) * units[/** @type {keyof typeof units} */ (unit || 's')];
    if (value >= least && value <= most) return value;
    throw new BadOption(`${from} must be a time such as 90s, 30m or 1h, from ${least} to ${most} seconds`);
  };
}

/** @param {number} least @param {number} most */
export function decimal(least, most) {
  return (/** @type {string} */ text, /** @type {string} */ from) => {
    const value = Number(text);
    if (/^\d+(\.\d+)?$/.test(text) && value >= least && value <= most) return value;
    throw new BadOption(`${from} must be a number from ${least} to ${most}`);
  };
}

/** @param {string} given @param {string} from */
export function json(given, from) {
  try {
    return JSON.parse(given);
  } catch {
    throw new BadOption(`${from} must be JSON`);
  }
}

/**
 * The place at which a text stops to be JSON. Node's own message may show a secret, and does not always say it.
 * @param {string} text
 */
export function placeOfFault(text) {
  let [least, most] = [0, text.length];
  while (least < most) {
    const end = Math.floor((least + most) / 2);
    if (isFaulty(text.slice(0, end + 1))) most = end;
    else least = end + 1;
  }
  const lines = text.slice(0, least).split('\n');
  return `at line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`;
}

/** Whether nothing that follows makes it JSON. @param {string} beginning */
function isFaulty(beginning) {
  try {
    JSON.parse(beginning);
    return false;
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    const [, position] = message.match(/ at position (\d+)/) ?? [];
    return position === undefined ? !message.startsWith('Unexpected end') : Number(position) < beginning.length;
  }
}
