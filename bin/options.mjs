/**
 * The options of `courtside serve`: one table, from which come the command line, the environment, the configuration
 * file, `--help` and every refusal. The command line wins over the environment, and that over the file.
 */
import tls from 'node:tls';
import { parseArgs } from 'node:util';
import { APPS_MAX_BYTES, DRAIN_SECONDS, DRAIN_SECONDS_MAX, MEMORY_MIN_MB } from './limits.mjs';
import { givenSockets } from './listening.mjs';
import { levels } from './log.mjs';
import { usualMemoryMax } from './memory.mjs';
import {
  BadOption, address, contents, described, flag, isLoopback, misread, number, oneOf, option, placeOfFault, secret, text,
  variable,
} from './readers.mjs';

export { BadOption, isLoopback };

/**
 * @typedef {object} Settings
 * @property {number} port
 * @property {string} host
 * @property {string} data
 * @property {boolean} ephemeral
 * @property {string | undefined} apps a file, or JSON
 * @property {string | undefined} adminToken
 * @property {boolean} sandbox
 * @property {string | undefined} tlsCert
 * @property {string | undefined} tlsKey
 * @property {boolean} trustProxy
 * @property {number} drain
 * @property {number[]} [descriptors] of sockets that it was given; `host` is the address of one
 * @property {number} memory
 * @property {import('./log.mjs').Level} logLevel
 */

/** The directory of data, unless another is named. */
export const dataFolder = './courtside-data';

const table = [
  option('port', 'PORT', number(0, 65_535), 8787, 'where to listen; 0 takes a free port'),
  option('host', 'ADDRESS', address, '127.0.0.1', 'on which address; 0.0.0.0 and :: are all of them'),
  option('data', 'DIR', text, dataFolder, 'where to keep everything'),
  option('ephemeral', undefined, flag, false, 'keep nothing: a directory that goes with the process'),
  option('apps', 'FILE|JSON', text, undefined, 'apps with their keys and namespaces; SIGHUP reads the file again'),
  option('admin-token', 'TOKEN|@FILE', secret, undefined, 'allows its owner to make apps by request'),
  option('sandbox', undefined, flag, false, 'allows everybody to make apps; on this machine only'),
  option('tls-cert', 'FILE', text, undefined, 'serve TLS with this certificate chain (PEM)'),
  option('tls-key', 'FILE', text, undefined, 'and this private key (PEM)'),
  option('trust-proxy', undefined, flag, false, 'believe the proxy\'s X-Forwarded-For and X-Forwarded-Proto'),
  option('drain', 'SECONDS', number(0, DRAIN_SECONDS_MAX), DRAIN_SECONDS, 'how long a stop takes to send all away'),
  option('memory', 'MB', number(MEMORY_MIN_MB, 16_777_216), usualMemoryMax(), 'start the runtime anew beyond; clients resume'),
  option('log-level', 'LEVEL', oneOf(levels), 'info', `the least that is logged: ${levels.join(', ')}`),
];

/** What `--help` says of the options. */
export function usage() {
  const more = 'a JSON file of these options by name; "apps" may be an object there';
  return described([...table, option('config', 'FILE', text, undefined, more)]);
}

/** Variables of the other commands. */
const ofOthers = ['CONFIG', 'URL', 'KEY', 'TOKEN'].map(variable);

/**
 * Variables that are named as ours are, and are none of them.
 * @param {Record<string, string | undefined>} environment
 */
export function unknownVariables(environment) {
  const known = [...table.map(({ name }) => variable(name)), ...ofOthers];
  return Object.keys(environment).filter((name) => name.startsWith(variable('')) && !known.includes(name));
}

/**
 * Reads the options. Fails with {@link BadOption}.
 * @param {string[]} args
 * @param {Record<string, string | undefined>} environment
 * @returns {Settings}
 */
export function readOptions(args, environment) {
  const given = commandLine(args);
  const file = given.config ?? (environment.COURTSIDE_CONFIG || undefined);
  const configured = file === undefined ? {} : configFile(String(file));
  /** @type {Record<string, unknown>} */
  const settings = {};
  for (const { key, name, fallback, read } of table) {
    const set = environment[variable(name)];
    if (given[name] !== undefined) settings[key] = read(String(given[name]), `--${name}`);
    else if (set !== undefined && set !== '') settings[key] = read(set, variable(name));
    else if (configured[name] !== undefined) settings[key] = read(plain(configured[name]), `"${name}" in ${file}`);
    else settings[key] = fallback;
  }
  const sockets = givenSockets(environment);
  if (sockets.length > 0) {
    // One that others can reach, if there is any.
    settings.host = (sockets.find(({ address }) => !isLoopback(address)) ?? sockets[0]).address;
    settings.descriptors = sockets.map(({ fd }) => fd);
  }
  return checked(/** @type {any} */ (settings));
}

/**
 * The same from an object, as a program gives it. Fails with {@link BadOption}.
 * @param {Partial<Record<keyof Settings, unknown>>} given
 */
export function readObject(given) {
  /** @type {Record<string, unknown>} */
  const settings = {};
  for (const { key, fallback, read } of table) {
    const said = given[/** @type {keyof Settings} */ (key)];
    settings[key] = said === undefined ? fallback : read(plain(said), key);
  }
  const unknown = Object.keys(given).find((key) => !table.some((option) => option.key === key));
  if (unknown) {
    const names = table.map(({ key }) => key).join(', ');
    throw new BadOption(`there is no option ${unknown}; there are ${names}`);
  }
  return checked(/** @type {any} */ (settings));
}

/**
 * What backup and restore are told. Fails with {@link BadOption}.
 * @param {string[]} args
 * @param {Record<string, string | undefined>} environment
 * @param {'backup' | 'restore'} command
 */
export function readPlaces(args, environment, command) {
  const name = command === 'backup' ? 'DEST' : 'FROM';
  const form = `say courtside ${command} [--data DIR] ${name}`;
  let read;
  try {
    read = parseArgs({ args, options: { data: { type: 'string' } }, allowPositionals: true });
  } catch (error) {
    throw new BadOption(`${misread(error)}; ${form}`);
  }
  const [place, ...more] = read.positionals;
  if (!place || more.length > 0) throw new BadOption(`give one ${name}; ${form}`);
  return { data: text(read.values.data ?? (environment.COURTSIDE_DATA || dataFolder), '--data'), place };
}

/** The name of the apps in a refusal: their file, or what is no file. @param {string} apps a file, or JSON */
export const nameOfApps = (apps) => (apps.trimStart().startsWith('{') ? 'the JSON of the apps' : apps);

/**
 * The text of the apps: one line of JSON. Fails with {@link BadOption}, without telling what is in them.
 * @param {string} apps a file, or JSON
 * @param {string} [from]
 */
export function readApps(apps, from = '--apps') {
  const where = nameOfApps(apps);
  const text = where === apps ? contents(from, apps) : apps;
  let line;
  try {
    line = JSON.stringify(JSON.parse(text));
  } catch {
    throw new BadOption(`${where} is not JSON ${placeOfFault(text)}`);
  }
  if (!line.startsWith('{')) throw new BadOption(`${where} is no object, such as {"apps": [{"id": "live"}]}`);
  if (Buffer.byteLength(line) > APPS_MAX_BYTES) {
    const instead = 'with an admin token, further apps can be made by request';
    throw new BadOption(`${where} has more than ${APPS_MAX_BYTES} bytes; ${instead}`);
  }
  return line;
}

/** @param {string[]} args @returns {Record<string, string | boolean | undefined>} */
function commandLine(args) {
  const options = Object.fromEntries(table.map(({ name, value }) => [name, { type: value ? 'string' : 'boolean' }]));
  try {
    const all = /** @type {any} */ ({ ...options, config: { type: 'string' } });
    return /** @type {any} */ (parseArgs({ args, options: all }).values);
  } catch (error) {
    throw new BadOption(`${misread(error)}; see courtside serve --help`);
  }
}

/** @param {string} file @returns {Record<string, unknown>} */
function configFile(file) {
  const text = contents('--config', file);
  let options;
  try {
    options = JSON.parse(text);
  } catch {
    throw new BadOption(`${file} is not JSON ${placeOfFault(text)}`);
  }
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new BadOption(`${file} must be a JSON object of options`);
  }
  const unknown = Object.keys(options).find((name) => !table.some((option) => option.name === name));
  if (unknown) {
    const names = table.map(({ name }) => name).join(', ');
    throw new BadOption(`${file} has an option ${unknown}; there are ${names}`);
  }
  return options;
}

/** Objects, as apps may be, and numbers as they would be typed. @param {unknown} value */
function plain(value) {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** What concerns several options. @param {Settings} settings @returns {Settings} */
function checked(settings) {
  const { host, trustProxy, apps, adminToken, sandbox, tlsCert, tlsKey } = settings;
  // A proxy is there so that others can reach the server.
  const reached = isLoopback(host) ? trustProxy && 'by --trust-proxy the server' : `--host ${host}`;
  if (reached) {
    if (!apps && !adminToken) {
      const why = "can be reached by others, and the demo app's key is known to all";
      throw new BadOption(`${reached} ${why}: give --apps, or --admin-token`);
    }
    if (sandbox) throw new BadOption(`--sandbox lets everybody make apps, and ${reached} can be reached by others`);
  }
  if (sandbox && adminToken) {
    throw new BadOption('--sandbox lets everybody make apps, and --admin-token one person: give one of them');
  }
  if (Boolean(tlsCert) !== Boolean(tlsKey)) throw new BadOption('--tls-cert and --tls-key go together');
  if (tlsCert && tlsKey) {
    const [cert, key] = [contents('--tls-cert', tlsCert), contents('--tls-key', tlsKey)];
    try {
      tls.createSecureContext({ cert, key });
    } catch {
      throw new BadOption(`${tlsCert} and ${tlsKey} are not a certificate chain and its private key in PEM`);
    }
  }
  return settings;
}
