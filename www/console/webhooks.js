/** Where webhooks fail, and what was given up: for whoever has the admin token. */
import { json } from './api.js';
import { card, make, table } from './elements.js';

/** How many apps are asked for one look. */
const APPS_MAX = 50;

const time = (/** @type {number} */ ms) => new Date(ms).toLocaleString();

/** A card with the webhooks of all apps. */
export async function webhooks() {
  const apps = (await json('/apps')).slice(0, APPS_MAX);
  const told = await Promise.all(apps.map(async (/** @type {any} */ { id }) => [id, await json(`/apps/${id}/webhooks`)]));
  const all = (/** @type {'troubled' | 'deadLetters'} */ kind) =>
    told.flatMap(([app, page]) => page[kind].map((/** @type {any} */ one) => ({ app, ...one })));
  const where = (/** @type {any} */ { app, webhookId, channel }) => [app, make('code', {}, webhookId), channel];
  const troubled = all('troubled').map((one) => [...where(one), one.state, time(one.since), `${one.error.message} (${one.error.code})`]);
  const dead = all('deadLetters').map((one) => [...where(one), `${one.count}`, time(one.timestamp), `${one.error.message} (${one.error.code})`]);
  return card('Webhooks',
    table(['App', 'Webhook', 'Channel', 'State', 'Since', 'Why'], troubled, 'No webhook fails.'),
    make('p', { className: 'quiet' }, 'Events that were given up:'),
    table(['App', 'Webhook', 'Channel', 'Events', 'When', 'Why'], dead, 'None.'));
}
