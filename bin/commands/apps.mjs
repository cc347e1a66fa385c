/** `courtside apps`: apps that are made and ended while a server runs (docs/protocol.md § 12.4). */
import fs from 'node:fs';
import { Place, withAdmin } from '../client/place.mjs';
import { ask } from '../client/request.mjs';
import { table } from '../client/terminal.mjs';
import { BadOption, contents, flag, json, option } from '../readers.mjs';

const actions = { list, create, end };

/** @type {import('../command.mjs').Command} */
export default {
  form: 'list | create [FILE|-|JSON] | end APP  [options]',
  takes: [1, 2],
  options: [...withAdmin, option('json', undefined, flag, false, 'the answer as JSON')],
  notes: `create takes {"keys": [{"capability": …, "revocableTokens": true}], "namespaces": [{"id": …}]};
without it, the app has one key that may do everything. It prints the keys, which nobody can ask for again. end ends
all connections.`,
  async run(values, [action = '', place]) {
    const isKnown = Object.hasOwn(actions, action);
    if (!isKnown) throw new BadOption(`there is no apps ${action}; there are list, create and end`);
    await actions[/** @type {keyof typeof actions} */ (action)](Place.ofAdmin(values), place, values);
  },
};

/** @typedef {(server: Place, place: string | undefined, values: any) => Promise<void>} Action */

/** @type {Action} */
async function list(server, place, values) {
  if (place) throw new BadOption('say courtside apps list, and nothing behind it');
  const apps = await ask(server, '/apps');
  const rows = apps.map((/** @type {any} */ { id, madeAtRunTime }) =>
    [id, madeAtRunTime ? 'run time' : 'configuration']);
  process.stdout.write(values.json ? `${JSON.stringify(apps)}\n` : table(['app', 'made by'], rows));
}

/** @type {Action} */
async function create(server, place, values) {
  const app = await ask(server, '/apps', { method: 'POST', body: place === undefined ? {} : description(place) });
  if (values.json) return void process.stdout.write(`${JSON.stringify(app)}\n`);
  process.stdout.write(table(['app', 'key'], app.keys.map((/** @type {any} */ { keyStr }) => [app.appId, keyStr])));
  for (const rule of app.notEffective ?? []) {
    process.stderr.write(`courtside: without effect: ${JSON.stringify(rule)}\n`);
  }
}

/** @type {Action} */
async function end(server, id, values) {
  if (!id) throw new BadOption('which? Say courtside apps end APP');
  await ask(server, `/apps/${encodeURIComponent(id)}`, { method: 'DELETE' });
  process.stdout.write(values.json ? `${JSON.stringify({ ended: id })}\n` : `${id} is ended\n`);
}

/** @param {string} place a file, standard input, or JSON */
function description(place) {
  if (place.trimStart().startsWith('{')) return json(place, 'the app');
  return place === '-' ? json(fs.readFileSync(0, 'utf8'), 'standard input') : json(contents('FILE', place), place);
}
