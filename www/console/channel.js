/** The page of one channel: what comes as it comes, history, members, and what an operator does about them. */
import { ask, json, Refused, signed } from './api.js';
import { bounded, button, card, counted, field, inOrder, make, renew, rowButton, ROWS_MAX, shown, table, written } from './elements.js';
import { insideOf, isHeard, read, realtime } from './live.js';
import { linkTo, named } from './of_app.js';
import { together } from '../together.js';

const most = 100;
/** Who publishes here with the admin token. */
const OPERATOR = '[operator]';
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/** Rates are those of so many milliseconds. */
const rateMs = 10_000;

/** @typedef {import('ably').InboundMessage} Message */
/** @typedef {Record<'connections' | 'subscribers' | 'presenceMembers', number>} Counts */

/** @param {HTMLElement} place @param {string} rest @returns {Promise<import('./console.js').Shown>} */
export async function channel(place, rest) {
  const [app, name] = named(rest);
  const inside = insideOf(app);
  const path = `/channels/${encodeURIComponent(name)}`;
  const open = () => realtime(inside).channels.get(name);
  const problem = make('p', { role: 'alert', className: 'problem' });
  const failed = (/** @type {unknown} */ error) => { problem.textContent = reason(error); };
  const trying = (/** @type {() => Promise<unknown>} */ act) => {
    problem.textContent = '';
    return act().then(() => {}, failed);
  };
  const [state, members] = [stateLine(inside, name), make('div')];
  const acts = memberActs(app, name, trying, () => again());
  const log = messageLog(open, acts.ban, await isMutable(app, name) ? trying : undefined);
  const purge = () => trying(async () => {
    if (!confirm(`Delete all messages of ${name}, for good?`)) return;
    await ask(`${signed()?.key ? '' : `/apps/${app}`}${path}/messages`, { method: 'DELETE' });
    log.clear();
  });
  const above = signed()?.key ? [] : [make('a', { href: linkTo('app', app) }, app), ' / '];
  place.replaceChildren(make('h2', {}, make('a', { href: linkTo('channels', app) }, 'Channels'), ' / ', ...above, name), state.line, problem,
    publisher(open, trying), make('p', {}, button('Purge all messages', purge, 'danger')),
    make('div', { className: 'columns wide' }, card('Messages', log.list), card('Members', members)));

  const drawMembers = (/** @type {Member[]} */ here) => renew(members, memberTable(here.slice(0, ROWS_MAX), acts), bounded(here));
  const [asksMembers, asksCounts] = [inOrder(), inOrder()];
  const showMembers = async (/** @type {Promise<Member[]>} */ asked) => {
    const isNewest = asksMembers();
    const here = await asked;
    if (isNewest()) drawMembers(here);
  };
  const count = async () => {
    await showMembers(read(inside, `${path}/presence`, { limit: ROWS_MAX }));
    const isNewest = asksCounts();
    const [{ status: { occupancy: { metrics }, messagesPerSecond } }] = await read(inside, path);
    if (isNewest()) state.counted(metrics, messagesPerSecond);
  };
  // Who may not see the members, the counts or what was said before may hear what is said.
  const again = async () => { await Promise.all([log.read().catch(failed), count().catch(failed)]); };
  const offset = Date.now() - await realtime(inside).time();
  const heard = (/** @type {Message} */ message) => {
    if (message.name === '[meta]occupancy') {
      asksCounts()();
      state.counted(message.data.metrics);
    } else {
      log.heard(message, Math.max(0, Date.now() - offset - (message.version?.timestamp ?? message.timestamp ?? 0)));
      state.heard();
    }
    return false;
  };
  const come = together(() => { if (isHeard(inside, name)) showMembers(open().presence.get()).catch(failed); }, 500);
  await again();
  return { again, hears: () => [{ name, options: { params: { occupancy: 'metrics' } }, heard, members: come }], app: inside };
}

/**
 * Whether messages may be changed there, as far as whoever signed in may know.
 * @param {string} app @param {string} name
 */
async function isMutable(app, name) {
  /** @type {{ id: string, mutableMessages: boolean }[] | undefined} */
  const all = await json(`/apps/${app}/namespaces`).catch(() => undefined);
  const [id] = name.split(':');
  const rules = all?.find((one) => one.id === id) ?? all?.find((one) => one.id === '*');
  return !all || name.endsWith('::$chat') || rules?.mutableMessages === true;
}

/** What failed, with its code. @param {unknown} error */
function reason(error) {
  const { message, code } = /** @type {{ message?: string, code?: number }} */ (Object(error));
  return error instanceof Refused || !code ? message ?? `${error}` : `${message} (${code})`;
}

/** @typedef {(act: () => Promise<unknown>) => Promise<void>} Trying what shows why it failed, if it did */

/** The line that says how many are there, and how many messages come. @param {string} inside @param {string} name */
function stateLine(inside, name) {
  const line = make('p', { className: 'quiet' });
  /** @type {Counts | undefined} */
  let counts;
  let askedRate = 0;
  /** When messages were heard. @type {number[]} */
  let heardMs = [];
  const sinceMs = Date.now();
  const draw = () => {
    const now = Date.now();
    heardMs = heardMs.filter((ms) => ms > now - rateMs);
    const rate = isHeard(inside, name) && now - sinceMs > rateMs ? heardMs.length * 1_000 / rateMs : askedRate;
    if (counts) line.textContent = [counted(counts.connections, 'connection'), counted(counts.subscribers, 'subscriber'),
      counted(counts.presenceMembers, 'member'), `${number.format(rate)} messages a second`].join(', ');
  };
  // Nobody tells that no more messages come.
  const [soon, late] = [together(draw, 500), together(draw, rateMs + 500)];
  return {
    line,
    counted: (/** @type {Counts} */ now, rate = askedRate) => {
      [counts, askedRate] = [now, rate];
      draw();
    },
    heard: () => {
      heardMs.push(Date.now());
      soon();
      late();
    },
  };
}

/**
 * The messages: what is heard, and what there was before.
 * @param {() => import('ably').RealtimeChannel} open
 * @param {Ban} ban
 * @param {Trying} [trying] where they may be changed
 */
function messageLog(open, ban, trying) {
  const list = make('div');
  /** @type {{ message: Message, latency?: number }[]} */
  let messages = [];
  let isDue = false;
  const asks = inOrder();
  // However many come, they are drawn once a frame.
  const show = (/** @type {typeof messages} */ now) => {
    messages = now.slice(0, most);
    if (!isDue) requestAnimationFrame(() => { isDue = false; renew(list, messageTable(messages, open, ban, trying)); });
    isDue = true;
  };
  show([]);
  return {
    list,
    clear: () => show([]),
    heard: (/** @type {Message} */ message, /** @type {number} */ latency) =>
      show([{ message, latency }, ...messages.filter(({ message: { serial } }) => serial !== message.serial)]),
    /** What there is, with what was heard while it was asked for. */
    read: async () => {
      const [before, isNewest] = [new Map(messages.map((known) => [known.message.serial, known])), asks()];
      const { items } = await open().history({ limit: 50 });
      if (!isNewest()) return;
      const since = new Map(messages.filter((one) => before.get(one.message.serial) !== one).map((one) => [one.message.serial, one]));
      const all = items.map((message) => since.get(message.serial) ?? { ...before.get(message.serial), message });
      const known = new Set(items.map(({ serial }) => serial));
      show([...[...since.values()].filter(({ message: { serial } }) => !known.has(serial)), ...all]);
    },
  };
}

/** @param {() => import('ably').RealtimeChannel} open @param {Trying} trying */
function publisher(open, trying) {
  const publish = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const said = new FormData(form);
    return trying(async () => {
      await open().publish(/** @type {string} */ (said.get('name')), said.get('data'));
      form.reset();
    });
  };
  return make('form', { onsubmit: publish }, field('Name', { name: 'name' }), field('Data', { name: 'data', required: true }),
    make('button', { className: 'main' }, 'Publish'));
}

/**
 * @param {{ message: Message, latency?: number }[]} messages @param {any} open @param {Ban} ban
 * @param {Trying} [trying] where they may be changed
 */
function messageTable(messages, open, ban, trying) {
  const act = (/** @type {() => Promise<unknown>} */ act) => () => trying?.(act);
  const row = (/** @type {{ message: Message, latency?: number }} */ { message, latency }) => {
    const edit = act(async () => {
      const data = prompt('New data', shown(message.data));
      if (data !== null) await open().updateMessage({ serial: message.serial, data });
    });
    const remove = act(async () => {
      if (confirm('Delete this message?')) await open().deleteMessage({ serial: message.serial });
    });
    const clientId = message.clientId ?? '';
    const what = [clientId, message.name, shown(message.data).slice(0, 60)].filter(Boolean).join(', ');
    const isDeleted = message.action === 'message.delete';
    const changes = trying && !isDeleted ? [rowButton('Edit', what, edit), ' ', rowButton('Delete', what, remove, 'danger'), ' '] : [];
    const bans = clientId === '' || clientId === OPERATOR ? [] : [rowButton('Ban', what, () => ban({ clientId }), 'danger')];
    const time = make('details', {}, make('summary', {}, new Date(message.timestamp ?? 0).toLocaleTimeString()),
      make('code', { title: 'Serial' }, message.serial ?? ''));
    return [time, clientId, message.name ?? '', isDeleted ? '(deleted)' : written(shown(message.data)),
      latency === undefined ? 'history' : `${Math.round(latency)} ms`,
      make('span', { className: 'actions' }, ...changes, ...bans)];
  };
  return table(['Time', 'Client', 'Name', 'Data', 'Latency', ''], messages.map(row), 'Nothing yet.');
}

/**
 * What an operator does about a member.
 * @param {string} app @param {string} channel @param {Trying} trying @param {() => unknown} then
 */
function memberActs(app, channel, trying, then) {
  const at = `/apps/${app}`;
  const post = (/** @type {string} */ path, /** @type {object} */ body) =>
    trying(() => json(at + path, { method: 'POST', body: JSON.stringify(body) }).then(then));
  return {
    disconnect: async (/** @type {Member} */ { clientId, connectionId }) => {
      if (!confirm(`End the connection of ${clientId}?`)) return;
      await post(`/connections/${encodeURIComponent(connectionId)}/disconnect`, { reconnect: false });
    },
    ban: async (/** @type {{ clientId: string }} */ { clientId }) => {
      const reason = prompt(`Ban ${clientId} from ${channel} until you lift it. For what reason? The client is told.`, '');
      if (reason !== null) await post('/bans', { clientId, channel, reason });
    },
  };
}

/** @typedef {{ clientId: string, connectionId: string, data?: unknown }} Member */
/**
 * Keeps a client from the channel, once that is confirmed.
 * @typedef {(client: { clientId: string }) => Promise<void>} Ban
 */

/** @param {Member[]} members @param {ReturnType<typeof memberActs>} acts */
function memberTable(members, { disconnect, ban }) {
  const nameOf = (/** @type {Member} */ { clientId, connectionId }) => `${clientId}, ${connectionId}`;
  const row = (/** @type {Member} */ member) => [member.clientId, make('code', {}, member.connectionId), written(shown(member.data)),
    make('span', { className: 'actions' }, rowButton('Disconnect', nameOf(member), () => disconnect(member), 'danger'), ' ',
      rowButton('Ban', nameOf(member), () => ban(member), 'danger'))];
  return table(['Client', 'Connection', 'Data', ''], members.map(row), 'Nobody is present.');
}
