/** The pages of the console, but for that of one channel. */
import { json, lastHour, metrics, signed } from './api.js';
import { bounded, button, card, field, make, renew, ROWS_MAX, sparkline, table, tiles } from './elements.js';
import { webhooks } from './webhooks.js';

/** @typedef {import('./console.js').Shown} Shown */

const number = new Intl.NumberFormat();
const rate = (/** @type {number} */ count) => new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 }).format(count);

/** How many looks at the deployment are drawn: of ten minutes. */
const LOOKS_MAX = 120;

/** @param {HTMLElement} place @returns {Promise<Shown>} */
export async function overview(place) {
  const again = signed()?.key ? () => ofApp(place) : ofDeployment(place);
  await again();
  return { again };
}

/** @param {HTMLElement} place */
async function ofApp(place) {
  const minutes = await lastHour();
  const of = (/** @type {Record<string, number>} */ entries, /** @type {string} */ name) => entries[name] ?? 0;
  const into = minutes.map(({ entries }) => of(entries, 'messages.inbound.all.all.count'));
  const out = minutes.map(({ entries }) => of(entries, 'messages.outbound.all.all.count'));
  const sum = (/** @type {string} */ name) => minutes.reduce((sum, { entries }) => sum + of(entries, name), 0);
  // A minute that is over: of the present one not all is reported.
  const last = minutes[minutes.length - 2].entries;
  const lately = minutes.slice(-2).map(({ entries }) => entries);
  const peak = (/** @type {string} */ name) => Math.max(...lately.map((entries) => of(entries, name)));
  const refusals = ['messages.inbound.all.all.refused', 'apiRequests.all.refused', 'connections.all.refused'].map(sum);
  place.replaceChildren(make('h2', {}, 'Overview'), tiles([
    ['Connections', number.format(peak('connections.all.peak'))],
    ['Channels', number.format(peak('channels.peak'))],
    ['Messages in, a second', rate(of(last, 'messages.inbound.all.all.count') / 60)],
    ['Messages out, a second', rate(of(last, 'messages.outbound.all.all.count') / 60)],
    ['In, last hour', number.format(sum('messages.inbound.all.all.count'))],
    ['Out, last hour', number.format(sum('messages.outbound.all.all.count'))],
    ['Refused, last hour', number.format(refusals.reduce((a, b) => a + b))],
  ]), card('Messages a minute, last hour', sparkline(into, out, 'Messages a minute in the last hour'),
    make('p', { className: 'quiet' }, 'The line is what came in, the dashes what went out. Numbers follow within a minute.')));
}

/** @param {HTMLElement} place */
function ofDeployment(place) {
  /** @type {Map<string, number> | undefined} */
  let before;
  let beforeMs = 0;
  /** @type {[number[], number[]]} */
  const [into, out] = [[], []];
  return async () => {
    const now = await metrics();
    const passed = (Date.now() - beforeMs) / 1_000;
    const sum = (/** @type {Map<string, number>} */ samples, /** @type {string} */ start) =>
      [...samples].reduce((sum, [name, value]) => name.startsWith(start) ? sum + value : sum, 0);
    const since = (/** @type {string} */ start) => before ? Math.max(0, sum(now, start) - sum(before, start)) / passed : 0;
    const [inbound, outbound] = ['in', 'out'].map((way) => since(`courtside_messages_total{direction="${way}"`));
    if (before) [into, out].forEach((values, index) => values.splice(0, values.length - LOOKS_MAX, [inbound, outbound][index]));
    place.replaceChildren(make('h2', {}, 'Overview: all apps'), tiles([
      ['Apps', number.format(now.get('courtside_apps') ?? 0)],
      ['Connections', number.format(now.get('courtside_connections_peak') ?? 0)],
      ['Channels', number.format(now.get('courtside_channels_peak') ?? 0)],
      ['Messages in, a second', before ? rate(inbound) : '…'],
      ['Messages out, a second', before ? rate(outbound) : '…'],
      ['Messages in, total', number.format(sum(now, 'courtside_messages_total{direction="in"'))],
      ['Messages out, total', number.format(sum(now, 'courtside_messages_total{direction="out"'))],
      ['Refusals, total', number.format(sum(now, 'courtside_refusals_total'))],
    ]), card('Messages a second, since this page was opened', sparkline(into, out, 'Messages a second since this page was opened'),
      make('p', { className: 'quiet' }, 'The line is what came in, the dashes what went out. Each app has its last hour: sign in with a key of it.')));
    [before, beforeMs] = [now, Date.now()];
  };
}

const needsKey = () => make('p', { className: 'quiet' }, 'Channels are an app\'s own: sign in with one of its keys.');

/** @param {HTMLElement} place @returns {Promise<Shown>} */
export async function channels(place) {
  place.replaceChildren(make('h2', {}, 'Channels'));
  if (!signed()?.key) return place.append(needsKey()), {};
  let prefix = '';
  const list = make('div');
  const again = async () => {
    const found = await json(`/channels?limit=${ROWS_MAX}&prefix=${encodeURIComponent(prefix)}`);
    const row = (/** @type {any} */ { channelId, status: { occupancy: { metrics }, messagesPerSecond } }) => [
      make('a', { href: `#/channel/${encodeURIComponent(channelId)}` }, channelId), number.format(metrics.connections),
      number.format(metrics.subscribers), number.format(metrics.presenceMembers), rate(messagesPerSecond)];
    const none = prefix ? 'No channel in use has such a name.' : 'No channel is in use.';
    renew(list, table(['Channel', 'Connections', 'Subscribers', 'Members', 'Messages a second'], found.map(row), none), bounded(found));
  };
  const search = field('Names that begin with', { name: 'prefix', type: 'search' });
  const open = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    prefix = /** @type {string} */ (new FormData(/** @type {HTMLFormElement} */ (event.target)).get('prefix'));
    return again();
  };
  const go = () => { location.hash = `#/channel/${encodeURIComponent(search.querySelector('input').value)}`; };
  place.append(make('form', { onsubmit: open, role: 'search' }, search, make('button', {}, 'Search'), button('Open this channel', go)),
    make('section', { className: 'card' }, list));
  await again();
  return { again };
}

/** @param {HTMLElement} place @returns {Promise<Shown>} */
export async function apps(place) {
  place.replaceChildren(make('h2', {}, 'Apps and keys'));
  const key = signed()?.key;
  if (key) {
    const [name] = key.split(':');
    place.append(card('Your key', make('p', {}, make('code', {}, name), ' of the app ',
      make('a', { href: '#/app' }, name.split('.')[0]), '.'),
      make('p', { className: 'quiet' }, 'The apps of the deployment are shown to whoever has the admin token.')));
    return {};
  }
  const list = make('div');
  const again = async () => {
    const all = await json('/apps');
    const row = (/** @type {any} */ { id, madeAtRunTime }) => [make('a', { href: `#/app/${id}` }, id),
      madeAtRunTime ? 'made by a request' : 'in the configuration',
      madeAtRunTime ? button('End', () => end(id), 'danger') : ''];
    renew(list, table(['App', 'Where it comes from', ''], all.map(row), 'There are no apps.'));
  };
  const end = async (/** @type {string} */ id) => {
    if (!confirm(`End the app ${id}, its keys and connections, for good?`)) return;
    await json(`/apps/${id}`, { method: 'DELETE' });
    await again();
  };
  const fresh = make('div', { role: 'status' });
  const create = async () => {
    const app = await json('/apps', { method: 'POST', body: '{}' });
    fresh.replaceChildren(card('The new app', make('p', {}, 'Its key is shown once: ', make('code', {}, app.keys[0].keyStr))));
    await again();
  };
  place.append(make('section', { className: 'card' }, list), make('p', {}, button('Make an app', create, 'main')), fresh);
  await again();
  return { again };
}

/** @param {HTMLElement} place @returns {Promise<Shown>} */
export async function errors(place) {
  place.replaceChildren(make('h2', {}, 'Errors'));
  const list = make('section', { className: 'card' });
  const hooks = make('div');
  /** @type {Map<string, number>} */
  const before = new Map();
  place.append(list, hooks);
  const again = async () => {
    renew(list, signed()?.key ? await failuresOfApp() : await codes(before));
    if (!signed()?.key) renew(hooks, await webhooks());
  };
  await again();
  return { again };
}

/** @param {Map<string, number>} before how often each was told when it was first looked at */
async function codes(before) {
  const isFirst = before.size === 0;
  const found = [...await metrics()].flatMap(([name, count]) => {
    const code = name.match(/^courtside_refusals_total\{code="(\d+)"\}$/)?.[1];
    return code ? [[code, count]] : [];
  });
  // A code that was not there at the first look is all new. The mark says that there was one.
  for (const [code, count] of found) if (!before.has(`${code}`)) before.set(`${code}`, isFirst ? Number(count) : 0);
  before.set('', 0);
  const lately = (/** @type {any} */ [code, count]) => count - (before.get(code) ?? 0);
  const rows = found.sort((a, b) => lately(b) - lately(a) || Number(b[1]) - Number(a[1])).map((one) => [
    make('a', { href: `/errors#${one[0]}` }, one[0]), number.format(Number(one[1])), number.format(lately(one))]);
  return table(['Code', 'Times', 'Since this page was opened'], rows, 'No client was told an error.');
}

async function failuresOfApp() {
  const minutes = await lastHour();
  const names = [...new Set(minutes.flatMap(({ entries }) => Object.keys(entries)))].filter((name) => /\.(failed|refused)$/.test(name));
  const sum = (/** @type {string} */ name) => minutes.reduce((sum, { entries }) => sum + (entries[name] ?? 0), 0);
  const rows = names.filter((name) => !name.includes('.all.')).sort().map((name) => [make('code', {}, name), number.format(sum(name))]);
  return table(['In the last hour', 'Times'], rows, 'Nothing was refused in the last hour. Codes are shown to the operator.');
}
