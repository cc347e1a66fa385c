/** The pages of the console, but for that of one channel. */
import { json, lastHour, metrics, minutes, signed } from './api.js';
import { bounded, button, card, field, inOrder, make, renew, rowButton, ROWS_MAX, sparkline, table, tiles } from './elements.js';
import { deployment, insideOf, lifecycle, log, read, statistics, webhooksLog } from './live.js';
import { linkTo, ofApp } from './of_app.js';
import { webhooks } from './webhooks.js';

/** @typedef {import('./console.js').Shown} Shown */

const number = new Intl.NumberFormat();
const rate = (/** @type {number} */ count) => new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 }).format(count);

/**
 * The last hour: of the key's app, or of all together.
 * @param {HTMLElement} place @returns {Promise<Shown>}
 */
export async function overview(place) {
  const title = signed()?.key ? 'Overview' : 'Overview: all apps';
  let hour = new Map();
  const draw = () => place.replaceChildren(make('h2', {}, title), ...shownHour([...minutes(hour)]));
  const asks = inOrder();
  const again = async () => {
    const isNewest = asks();
    const asked = await lastHour();
    if (!isNewest()) return;
    hour = asked;
    draw();
  };
  // What is heard is all that there is to show, of one app.
  const heard = (/** @type {import('ably').InboundMessage} */ { data: { intervalId, entries } }) => {
    hour.set(intervalId, entries);
    draw();
    return false;
  };
  await again();
  // The hour goes on while nothing is heard.
  const timer = setInterval(draw, 60_000);
  return { again, hears: () => [{ ...statistics(), ...signed()?.key && { heard } }], end: () => clearInterval(timer) };
}

/** @param {Record<string, number>[]} minutes oldest first, the last of them not over */
function shownHour(minutes) {
  const of = (/** @type {string} */ name) => minutes.map((entries) => entries[name] ?? 0);
  const [into, out] = [of('messages.inbound.all.all.count'), of('messages.outbound.all.all.count')];
  const sum = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0);
  const peak = (/** @type {string} */ name) => Math.max(...of(name).slice(-2));
  // Of a minute that is over: of the present one not all is reported.
  const last = (/** @type {number[]} */ values) => values[values.length - 2] ?? 0;
  const refusals = ['messages.inbound.all.all.refused', 'apiRequests.all.refused', 'connections.all.refused'].flatMap(of);
  return [tiles([
    ['Connections', number.format(peak('connections.all.peak'))],
    ['Channels', number.format(peak('channels.peak'))],
    ['Messages in, a second', rate(last(into) / 60)],
    ['Messages out, a second', rate(last(out) / 60)],
    ['In, last hour', number.format(sum(into))],
    ['Out, last hour', number.format(sum(out))],
    ['Refused, last hour', number.format(sum(refusals))],
    ['Errors, last hour', number.format(sum(of('apiRequests.all.failed')))],
  ]), card('Messages a minute, last hour', sparkline(into, out, 'Messages a minute in the last hour', 'an hour ago'),
    make('p', { className: 'quiet' }, 'The line is what came in, the dashes what went out.'))];
}

/** Rates are those of so many milliseconds. */
const RATE_MS = 10_000;

export const channels = ofApp('Channels', 'channels', async (place, _at, _say, app) => {
  const inside = insideOf(app);
  let prefix = '';
  const list = make('div');
  const asks = inOrder();
  const again = async () => {
    const [asked, isNewest] = [prefix, asks()];
    const found = await read(inside, '/channels', { limit: ROWS_MAX, prefix: asked });
    if (asked !== prefix || !isNewest()) return;
    const row = (/** @type {any} */ { channelId, status: { occupancy: { metrics }, messagesPerSecond } }) => [
      make('a', { href: linkTo('channel', app, channelId) }, channelId), number.format(metrics.connections),
      number.format(metrics.subscribers), number.format(metrics.presenceMembers), rate(messagesPerSecond)];
    const none = prefix ? 'No channel in use has such a name.' : 'No channel is in use.';
    renew(list, table(['Channel', 'Connections', 'Subscribers', 'Members', 'Messages a second'], found.map(row), none), bounded(found));
    // That a channel falls quiet is told by nobody.
    return found.some((/** @type {any} */ { status }) => status.messagesPerSecond > 0) ? RATE_MS : undefined;
  };
  const search = field('Names that begin with', { name: 'prefix', type: 'search' });
  const open = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    prefix = /** @type {string} */ (new FormData(/** @type {HTMLFormElement} */ (event.target)).get('prefix'));
    return again();
  };
  const go = () => { location.hash = linkTo('channel', app, search.querySelector('input').value); };
  place.append(make('form', { onsubmit: open, role: 'search' }, search, make('button', {}, 'Search'), button('Open this channel', go)),
    make('section', { className: 'card' }, list));
  await again();
  return { again, hears: () => [lifecycle, statistics()], app: inside };
});

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
  const asks = inOrder();
  const again = async () => {
    const isNewest = asks();
    const all = await json('/apps');
    if (!isNewest()) return;
    const row = (/** @type {any} */ { id, madeAtRunTime }) => [make('a', { href: `#/app/${id}` }, id),
      madeAtRunTime ? 'made by a request' : 'in the configuration',
      madeAtRunTime ? rowButton('End', id, () => end(id), 'danger') : ''];
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
  return { again, hears: () => [log], app: deployment };
}

/** @param {HTMLElement} place @returns {Promise<Shown>} */
export async function errors(place) {
  place.replaceChildren(make('h2', {}, 'Errors'));
  const list = make('section', { className: 'card' });
  const hooks = make('div');
  /** @type {Map<string, number>} */
  const before = new Map();
  const means = await meanings().catch(() => new Map());
  place.append(list, hooks);
  // A key that may not see them asks once: a refusal is an error that this page counts.
  const sees = { hooks: true, events: true };
  const asks = inOrder();
  const again = async () => {
    const isNewest = asks();
    if (sees.hooks) await webhooks(sees).then((card) => { if (isNewest()) renew(hooks, card); }, (error) => {
      if (error.code !== 40160) throw error;
      sees.hooks = false;
    });
    const counted = await codes(before, means);
    if (isNewest()) renew(list, counted);
  };
  await again();
  return { again, hears: () => [statistics(), ...sees.hooks ? [webhooksLog] : []] };
}

/** What each code means, as the page of errors has it. @returns {Promise<Map<string, string>>} */
async function meanings() {
  const page = new DOMParser().parseFromString(await (await fetch('/errors')).text(), 'text/html');
  const rows = /** @type {NodeListOf<HTMLTableRowElement>} */ (page.querySelectorAll('tr[id]'));
  return new Map([...rows].map((row) => [row.id, row.cells[2]?.textContent ?? '']));
}

/**
 * @param {Map<string, number>} before how often each was told when it was first looked at
 * @param {Map<string, string>} means
 */
async function codes(before, means) {
  const isFirst = before.size === 0;
  const [counted, hour] = await Promise.all([metrics(), lastHour()]);
  const inHour = (/** @type {any} */ code) => [...minutes(hour)].reduce((sum, entries) => sum + (entries[`errors.${code}`] ?? 0), 0);
  const found = [...counted].flatMap(([name, count]) => {
    const code = name.match(/^courtside_refusals_total\{code="(\d+)"\}$/)?.[1];
    return code ? [[code, count]] : [];
  });
  // A code that was not there at the first look is all new. The mark says that there was one.
  for (const [code, count] of found) if (!before.has(`${code}`)) before.set(`${code}`, isFirst ? Number(count) : 0);
  before.set('', 0);
  const lately = (/** @type {any} */ [code, count]) => count - (before.get(code) ?? 0);
  const rows = found.sort((a, b) => lately(b) - lately(a) || Number(b[1]) - Number(a[1])).map((one) => [
    make('a', { href: `/errors#${one[0]}` }, one[0]), means.get(`${one[0]}`) ?? '', number.format(lately(one)), number.format(inHour(one[0])), number.format(Number(one[1]))]);
  return table(['Code', 'Means', 'Since this page was opened', 'In the last hour', 'In all'], rows, 'No client was told an error.');
}
