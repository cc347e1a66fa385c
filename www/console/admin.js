/** The pages of an app's operator: who is connected, who is kept out, its keys and namespaces, and who did what. */
import { json } from './api.js';
import { bounded, card, field, inOrder, make, renew, rowButton, ROWS_MAX, table, written } from './elements.js';
import { deployment, log, statistics } from './live.js';
import { linkTo, ofApp } from './of_app.js';

/** @typedef {import('./console.js').Shown} Shown */

const short = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: 'numeric', minute: 'numeric' });
const time = (/** @type {number | null} */ ms) => ms === null ? '' : short.format(ms);
const number = new Intl.NumberFormat();

/** @param {(error: unknown) => void} say @param {() => Promise<unknown>} act */
const trying = (say, act) => () => act().then(() => {}, say);

/** @param {SubmitEvent} event */
const said = (event) => {
  event.preventDefault();
  const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
  return (/** @type {string} */ name) => /** @type {string} */ (form.get(name) ?? '').trim();
};

const post = (/** @type {string} */ at, /** @type {object} */ body, method = 'POST') =>
  json(at, { method, body: JSON.stringify(body) });

export const connections = ofApp('Connections', 'connections', async (place, at, say) => {
  let query = '';
  const list = make('section', { className: 'card' });
  const asks = inOrder();
  const again = async () => {
    const [asked, isNewest] = [query, asks()];
    /** @type {any[]} */
    const held = await json(`${at}/connections?limit=${ROWS_MAX}${asked}`);
    if (asked !== query || !isNewest()) return;
    const heads = ['Client', 'Connection', 'By', 'Since', 'Channels', 'Unread', ''];
    renew(list, table(heads, held.map(row), query ? 'There is no such connection.' : 'Nobody is connected.'), bounded(held));
  };
  const end = (/** @type {string} */ id, /** @type {boolean} */ reconnect) => async () => {
    await post(`${at}/connections/${encodeURIComponent(id)}/disconnect`, { reconnect });
    await again();
  };
  const ban = (/** @type {string} */ clientId) => async () => {
    const reason = prompt(`Ban ${clientId} from the app until you lift it. For what reason? The client is told.`, '');
    if (reason === null) return;
    await post(`${at}/bans`, { clientId, reason });
    await again();
  };
  const nameOf = (/** @type {any} */ { clientId, connectionId }) => [...clientId ? [clientId] : [], connectionId].join(', ');
  const row = (/** @type {any} */ one) => [
    one.clientId ?? '(no name)', make('code', {}, one.connectionId), `${one.transport}, ${one.protocol}, ${one.keyName}`, time(one.since),
    written(one.channels.join(', ') + (one.channelCount > one.channels.length ? ` and ${one.channelCount - one.channels.length} more` : '')),
    `${number.format(one.unreadBytes)} B`,
    make('span', { className: 'actions' }, rowButton('Reconnect', nameOf(one), trying(say, end(one.connectionId, true))), ' ',
      rowButton('Disconnect', nameOf(one), trying(say, end(one.connectionId, false)), 'danger'),
      ...one.clientId ? [' ', rowButton('Ban', one.clientId, trying(say, ban(one.clientId)), 'danger')] : [])];
  const search = (/** @type {SubmitEvent} */ event) => {
    const of = said(event);
    query = ['clientId', 'channel'].filter((name) => of(name)).map((name) => `&${name}=${encodeURIComponent(of(name))}`).join('');
    return trying(say, again)();
  };
  place.append(make('form', { onsubmit: search, role: 'search' }, field('Of the client', { name: 'clientId', type: 'search' }),
    field('On the channel', { name: 'channel', type: 'search' }), make('button', {}, 'Search')), list);
  await again();
  return { again, hears: () => [log, statistics()] };
});

export const bans = ofApp('Bans', 'bans', async (place, at, say) => {
  const list = make('section', { className: 'card' });
  const asks = inOrder();
  const again = async () => {
    const isNewest = asks();
    const all = await json(`${at}/bans?limit=${ROWS_MAX}`);
    if (!isNewest()) return;
    renew(list, table(['Client', 'Is', 'Where', 'Since', 'Until', 'Reason', ''], all.map(row), 'Nobody is banned.'), bounded(all));
  };
  const lift = (/** @type {any} */ { clientId, channel }) => async () => {
    const query = new URLSearchParams({ clientId, ...channel && { channel } });
    await json(`${at}/bans?${query}`, { method: 'DELETE' });
    await again();
  };
  const row = (/** @type {any} */ ban) => [ban.clientId, stateOf(ban), ban.channel ?? 'the app', time(ban.since),
    ban.until === null ? 'it is lifted' : time(ban.until), ban.reason,
    rowButton('Lift', `${ban.clientId}, ${ban.channel ?? 'the app'}`, trying(say, lift(ban)))];
  const ban = (/** @type {SubmitEvent} */ event) => {
    const of = said(event);
    const form = /** @type {HTMLFormElement} */ (event.target);
    const minutes = Number(of('minutes'));
    return trying(say, async () => {
      await post(`${at}/bans`, {
        clientId: of('clientId'), reason: of('reason'),
        ...of('channel') && { channel: of('channel') }, ...minutes && { duration: minutes * 60_000 },
      });
      form.reset();
      say('');
      await again();
    })();
  };
  place.append(make('form', { onsubmit: ban }, field('Client', { name: 'clientId', required: true }),
    field('Channels, such as chat:*', { name: 'channel', placeholder: 'the whole app' }),
    field('Minutes', { name: 'minutes', type: 'number', min: 1, placeholder: 'until it is lifted' }),
    field('Reason', { name: 'reason', maxLength: 200 }), make('button', { className: 'danger' }, 'Ban')), list);
  await again();
  return { again, hears: () => [log] };
});

/** @param {{ publishInterval: number | null }} ban */
const stateOf = ({ publishInterval }) => {
  if (publishInterval === null) return 'kept out';
  return publishInterval === 0 ? 'muted' : `slow: once in ${publishInterval / 1_000} s`;
};

/** @param {any[]} entries */
const entries = (entries) => table(['Time', 'App', 'Who', 'What', 'Of'], entries.map((one) =>
  [time(one.timestamp), make('code', {}, one.appId), one.by, one.action, one.target]), 'Nothing was done yet.');

/** Of the key's app, or of all. @param {HTMLElement} place @returns {Promise<Shown>} */
export async function audit(place) {
  const list = make('section', { className: 'card' });
  place.replaceChildren(make('h2', {}, 'Audit'), list);
  const asks = inOrder();
  const again = async () => {
    const isNewest = asks();
    const all = await json(`/audit?limit=${ROWS_MAX}`);
    if (!isNewest()) return;
    renew(list, entries(all), bounded(all));
  };
  await again();
  return { again, hears: () => [log], app: deployment };
}

/** One app: its keys and namespaces, which change where it was made by a request. */
export const app = ofApp('App', 'app', async (place, at, say, id) => {
  const [keys, namespaces, fresh] = [make('div'), make('div'), make('div', { role: 'status' })];
  const asks = inOrder();
  const again = async () => {
    const isNewest = asks();
    const shown = await json(at);
    if (!isNewest()) return;
    renew(keys, table(['Key', 'May', 'Until', ''], shown.keys.map(keyRow), 'It has no keys.'));
    renew(namespaces, table(['Namespace', 'Rules', ''], shown.namespaces.map(namespaceRow), 'It has no namespaces.'));
  };
  const did = (/** @type {() => Promise<any>} */ act) => trying(say, async () => {
    const made = await act();
    if (made?.keyStr) fresh.replaceChildren(card('The new key', make('p', {}, 'It is shown once: ', make('code', {}, made.keyStr))));
    say('');
    await again();
  });
  const remove = (/** @type {string} */ path, /** @type {string} */ what) => did(async () => {
    if (confirm(`Remove ${what}? Its clients are sent away.`)) await json(`${at}/${path}`, { method: 'DELETE' });
  });
  const keyRow = (/** @type {any} */ key) => [make('code', {}, key.keyName), make('code', {}, key.capability), time(key.validUntil),
    make('span', { className: 'actions' }, rowButton('Rotate', key.keyName, did(() => post(`${at}/keys/${key.id}/rotate`, {}))), ' ',
      rowButton('Remove', key.keyName, remove(`keys/${key.id}`, `the key ${key.keyName}`), 'danger'))];
  const namespaceRow = (/** @type {any} */ { id, notEffective: _, ...rules }) => [make('code', {}, id),
    make('code', {}, JSON.stringify(Object.fromEntries(Object.entries(rules).filter(([, value]) => value !== false)))),
    rowButton('Remove', id, remove(`namespaces/${encodeURIComponent(id)}`, `the namespace ${id}`), 'danger')];
  const add = (/** @type {SubmitEvent} */ event) => {
    const of = said(event);
    return did(() => post(`${at}/keys`, of('capability') ? { capability: of('capability') } : {}))();
  };
  const put = (/** @type {SubmitEvent} */ event) => {
    const of = said(event);
    return did(async () => post(`${at}/namespaces/${encodeURIComponent(of('id'))}`, JSON.parse(of('rules') || '{}'), 'PUT'))();
  };
  const links = ['Channels', 'Connections', 'Bans'].map((page) => make('a', { href: linkTo(page.toLowerCase(), id) }, page));
  place.append(make('p', {}, links[0], ' · ', links[1], ' · ', links[2]), fresh,
    card('Keys', keys, make('form', { onsubmit: add },
      field('Capability of another key', { name: 'capability', placeholder: '{"*":["subscribe"]}' }), make('button', {}, 'Add a key'))),
    card('Namespaces', namespaces, make('form', { onsubmit: put }, field('Namespace', { name: 'id', required: true }),
      field('Its rules', { name: 'rules', placeholder: '{"persisted":true}' }), make('button', {}, 'Add or change'))));
  await again();
  return { again, hears: () => [log] };
});
