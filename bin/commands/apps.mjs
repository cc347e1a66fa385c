/**
 * `courtside apps`: apps that are made and ended while a server runs, and their keys and namespaces (docs/protocol.md
 * § 12.4, § 12.7).
 */
import fs from 'node:fs';
import { OVERLAP_SECONDS_MAX } from '../client/limits.mjs';
import { Place, withAdmin } from '../client/place.mjs';
import { ask } from '../client/request.mjs';
import { table } from '../client/terminal.mjs';
import { BadOption, contents, flag, json, option, seconds } from '../readers.mjs';

/**
 * An action of the command: the words that follow its name, how many there must be, and the options of its own.
 * @typedef {object} Action
 * @property {string} form
 * @property {[number, number]} takes
 * @property {string} what
 * @property {string[]} [options]
 * @property {(server: Place, places: string[], values: any) => Promise<void>} act
 */

/** @type {Record<string, Action>} */
const actions = {
  list: { form: '', takes: [0, 0], what: 'the apps, and where each comes from', act: list },
  create: { form: '[FILE|-|JSON]', takes: [0, 1], what: 'make an app, and print its keys', act: create },
  end: { form: 'APP', takes: [1, 1], what: 'end an app and its connections', act: end },
  keys: { form: 'APP', takes: [1, 1], what: 'its keys, without their secrets', act: keys },
  'add-key': { form: 'APP [CAPABILITY]', takes: [1, 2], what: 'add a key, and print it', options: ['revocable'], act: addKey },
  'rotate-key': { form: 'APP KEY', takes: [2, 2], what: 'print a key that takes the place of another', options: ['overlap'], act: rotateKey },
  'remove-key': { form: 'APP KEY', takes: [2, 2], what: 'remove a key; its clients are sent away', act: removeKey },
  namespaces: { form: 'APP', takes: [1, 1], what: 'its namespaces and their rules', act: namespaces },
  'set-namespace': { form: 'APP NAMESPACE [FILE|-|JSON]', takes: [2, 3], what: 'add a namespace, or change all its rules', act: setNamespace },
  'remove-namespace': { form: 'APP NAMESPACE', takes: [2, 2], what: 'remove a namespace', act: removeNamespace },
};

/** @param {string} name */
const formOf = (name) => `${name} ${actions[name]?.form ?? ''}`.trim();

const width = Math.max(...Object.keys(actions).map((name) => formOf(name).length)) + 2;
const listed = Object.entries(actions).map(([name, { what }]) => `  ${formOf(name).padEnd(width)}${what}`).join('\n');

/** @type {import('../command.mjs').Command} */
export default {
  form: 'ACTION …  [options]',
  takes: [1, 4],
  options: [
    ...withAdmin,
    option('revocable', undefined, flag, false, 'with add-key: its tokens can be revoked'),
    option('overlap', 'TIME', seconds(0, OVERLAP_SECONDS_MAX), undefined, 'with rotate-key: how long the old one goes on, a day otherwise'),
    option('json', undefined, flag, false, 'the answer as JSON'),
  ],
  notes: `${listed}

create takes {"keys": [{"capability": …, "revocableTokens": true}], "namespaces": [{"id": …}]};
without it, the app has one key that may do everything. A key that is made is printed once: nobody can ask for it
again. KEY is what stands behind the point of a key's name. Keys and namespaces change for apps made at run time.`,
  async run(values, [name = '', ...places]) {
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (!action) throw new BadOption(`there is no apps ${name}; there are ${Object.keys(actions).join(', ')}`);
    const [least, most] = action.takes;
    if (places.length < least || places.length > most) throw new BadOption(`say courtside apps ${formOf(name)}`);
    for (const [other, { options = [] }] of Object.entries(actions)) {
      const alien = options.find((option) => other !== name && values[option] !== undefined && values[option] !== false);
      if (alien) throw new BadOption(`--${alien} goes with ${other}`);
    }
    await action.act(Place.ofAdmin(values), places, values);
  },
};

/** The server's answers, as far as they are printed. */
const likeKey = { id: '', capability: '' };
const likeNewKey = { keyStr: '' };
const likeNamespace = { id: '' };

/** @param {string[]} parts */
const path = (...parts) => `/apps/${parts.map(encodeURIComponent).join('/')}`;

/** @param {any} values @param {unknown} answer @param {string} otherwise */
const print = ({ json }, answer, otherwise) => process.stdout.write(json ? `${JSON.stringify(answer)}\n` : otherwise);

/** @param {unknown[]} [rules] */
function warn(rules = []) {
  for (const rule of rules) process.stderr.write(`courtside: without effect: ${JSON.stringify(rule)}\n`);
}

/** @type {Action['act']} */
async function list(server, _, values) {
  const apps = await ask(server, '/apps', { like: [{ id: '' }] });
  const rows = apps.map((/** @type {any} */ { id, madeAtRunTime }) =>
    [id, madeAtRunTime ? 'run time' : 'configuration']);
  print(values, apps, table(['app', 'made by'], rows));
}

/** @type {Action['act']} */
async function create(server, [place], values) {
  const like = { appId: '', keys: [likeNewKey] };
  const app = await ask(server, '/apps', { method: 'POST', body: described('the app', place), like });
  print(values, app, table(['app', 'key'], app.keys.map((/** @type {any} */ { keyStr }) => [app.appId, keyStr])));
  if (!values.json) warn(app.notEffective);
}

/** @type {Action['act']} */
async function end(server, [app = ''], values) {
  await ask(server, path(app), { method: 'DELETE' });
  print(values, { ended: app }, `${app} is ended\n`);
}

/** @type {Action['act']} */
async function keys(server, [app = ''], values) {
  const all = await ask(server, path(app, 'keys'), { like: [likeKey] });
  const rows = all.map((/** @type {any} */ { id, capability, revocableTokens, validUntil }) =>
    [id, capability, revocableTokens ? 'revocable' : '', validUntil === null ? '' : new Date(validUntil).toISOString()]);
  print(values, all, table(['key', 'may', 'tokens', 'until'], rows));
}

/** @param {any} values @param {string} app @param {any} key */
const printKey = (values, app, key) => print(values, key, table(['app', 'key'], [[app, key.keyStr]]));

/** @type {Action['act']} */
async function addKey(server, [app = '', capability], values) {
  const body = {
    ...capability !== undefined && { capability: json(capability, 'CAPABILITY') }, ...values.revocable && { revocableTokens: true },
  };
  printKey(values, app, await ask(server, path(app, 'keys'), { method: 'POST', body, like: likeNewKey }));
}

/** @type {Action['act']} */
async function rotateKey(server, [app = '', key = ''], values) {
  const body = values.overlap === undefined ? {} : { overlap: values.overlap * 1_000 };
  const asked = { method: 'POST', body, like: likeNewKey };
  printKey(values, app, await ask(server, path(app, 'keys', key, 'rotate'), asked));
}

/** @type {Action['act']} */
async function removeKey(server, [app = '', key = ''], values) {
  await ask(server, path(app, 'keys', key), { method: 'DELETE' });
  print(values, { removed: key }, `${app}.${key} is removed\n`);
}

/** The rules of a namespace that differ from the defaults. @param {any} namespace */
const rulesOf = ({ id, notEffective, ...rules }) =>
  JSON.stringify(Object.fromEntries(Object.entries(rules).filter(([, value]) => value !== false && value !== null)));

/** @type {Action['act']} */
async function namespaces(server, [app = ''], values) {
  const all = await ask(server, path(app, 'namespaces'), { like: [likeNamespace] });
  print(values, all, table(['namespace', 'rules'], all.map((/** @type {any} */ one) => [one.id, rulesOf(one)])));
}

/** @type {Action['act']} */
async function setNamespace(server, [app = '', id = '', place], values) {
  const body = described('the namespace', place);
  const namespace = await ask(server, path(app, 'namespaces', id), { method: 'PUT', body, like: likeNamespace });
  print(values, namespace, table(['namespace', 'rules'], [[namespace.id, rulesOf(namespace)]]));
  if (!values.json) warn(namespace.notEffective);
}

/** @type {Action['act']} */
async function removeNamespace(server, [app = '', id = ''], values) {
  await ask(server, path(app, 'namespaces', id), { method: 'DELETE' });
  print(values, { removed: id }, `the namespace ${id} is removed\n`);
}

/**
 * Reads JSON from a file, from standard input or from the text itself; without any of them it is an empty object.
 * @param {string} what @param {string} [place]
 */
function described(what, place = '{}') {
  if (place.trimStart().startsWith('{')) return json(place, what);
  return place === '-' ? json(fs.readFileSync(0, 'utf8'), 'standard input') : json(contents('FILE', place), place);
}
