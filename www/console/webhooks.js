/** Where webhooks fail, and what was given up: for whoever has the admin token, or a key that may `admin`. */
import { json } from './api.js';
import { card, make, table } from './elements.js';
import { named } from './of_app.js';

/** How many apps are asked for one look. */
const APPS_MAX = 50;

/** How much of what each of them gave up is shown. */
const LETTERS_MAX = 20;

/** How many were given up, and those that were kept of them. @param {any} letter */
function events({ count, events: kept = [] }) {
  if (kept.length === 0) return `${count}`;
  const more = kept.length < count ? `, the first ${kept.length}` : '';
  return make('details', {}, make('summary', {}, `${count}${more}`), make('pre', {}, JSON.stringify(kept, null, 2)));
}

const time = (/** @type {number} */ ms) => new Date(ms).toLocaleString();

/**
 * A card with the webhooks of the key's app, or of all. `sees` says whether who looks may read events.
 * @param {{ events: boolean }} sees
 */
export async function webhooks(sees) {
  const [own] = named('');
  const apps = own ? [{ id: own }] : (await json('/apps')).slice(0, APPS_MAX);
  const told = await Promise.all(apps.map(async (/** @type {any} */ { id }) => [id, await json(`/apps/${id}/webhooks`)]));
  const where = (/** @type {any} */ { app, webhookId, channel }) => [app, make('code', {}, webhookId), channel];
  const failing = told.flatMap(([app, page]) => page.troubled.map((/** @type {any} */ one) => ({ app, ...one })));
  const troubled = failing.map((one) => [...where(one), one.state, time(one.since), `${one.error.message} (${one.error.code})`]);
  const given = await Promise.all(told.map(async ([app, page]) =>
    (await letters(app, sees) ?? page.deadLetters.slice(0, LETTERS_MAX)).map((/** @type {any} */ one) => ({ app, ...one }))));
  const dead = given.flat().map((one) =>
    [...where(one), events(one), time(one.timestamp), `${one.error.message} (${one.error.code})`]);
  return card('Webhooks',
    table(['App', 'Webhook', 'Channel', 'State', 'Since', 'Why'], troubled, 'No webhook fails.'),
    make('p', { className: 'quiet' }, 'Events that were given up:'),
    table(['App', 'Webhook', 'Channel', 'Events', 'When', 'Why'], dead, 'None.'));
}

/**
 * What an app's webhooks gave up, with the events. Who may not read those asks once: a refusal counts as an error.
 * @param {string} app
 * @param {{ events: boolean }} sees
 * @returns {Promise<any[] | undefined>}
 */
async function letters(app, sees) {
  if (!sees.events) return undefined;
  return json(`/apps/${app}/webhooks/dead-letters?limit=${LETTERS_MAX}`).catch((error) => {
    if (error.code !== 40160) throw error;
    sees.events = false;
  });
}
