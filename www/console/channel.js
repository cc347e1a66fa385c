/** The page of one channel: what comes as it comes, history, members, and what an operator does about them. */
import { ask, json, signed } from './api.js';
import { bounded, button, card, counted, field, make, renew, ROWS_MAX, shown, table } from './elements.js';

const Ably = /** @type {typeof import('ably')} */ (/** @type {any} */ (window).Ably);
const most = 100;
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/** @typedef {import('ably').InboundMessage} Message */

/** @param {string} key */
function connect(key) {
  const tls = location.protocol === 'https:';
  const port = Number(location.port) || (tls ? 443 : 80);
  return new Ably.Realtime({
    key, endpoint: location.hostname, tls, port, tlsPort: port, disableConnectivityCheck: true,
    wsConnectivityCheckUrl: `${tls ? 'wss' : 'ws'}://${location.host}/`,
  });
}

/** @param {HTMLElement} place @param {string} name @returns {Promise<import('./console.js').Shown>} */
export async function channel(place, name) {
  const key = signed()?.key;
  if (!key) return place.append(make('p', { className: 'quiet' }, 'Sign in with a key of the app to see a channel.')), {};
  const ably = connect(key);
  try {
    return await show(place, name, key, ably);
  } catch (error) {
    ably.close();
    throw error;
  }
}

/**
 * @param {HTMLElement} place @param {string} name @param {string} key @param {import('ably').Realtime} ably
 * @returns {Promise<import('./console.js').Shown>}
 */
async function show(place, name, key, ably) {
  const open = ably.channels.get(name);
  const path = `/channels/${encodeURIComponent(name)}`;
  /** @type {{ message: Message, latency?: number }[]} */
  let messages = [];
  let isDue = false;
  const [list, members] = [make('div'), make('div')];
  const state = make('p', { className: 'quiet' });
  const problem = make('p', { role: 'alert', className: 'problem' });
  const failed = (/** @type {unknown} */ error) => { problem.textContent = error instanceof Error ? error.message : `${error}`; };
  // However many come, they are drawn once a frame.
  const draw = () => {
    if (!isDue) requestAnimationFrame(() => { isDue = false; renew(list, messageTable(messages, open, failed)); });
    isDue = true;
  };
  const purge = async () => {
    if (!confirm(`Delete all messages of ${name}, for good?`)) return;
    await ask(`${path}/messages`, { method: 'DELETE' }).then(() => {
      messages = [];
      draw();
    }, failed);
  };
  place.replaceChildren(make('h2', {}, make('a', { href: '#/channels' }, 'Channels'), ' / ', name), state, problem,
    publisher(open, failed), make('p', {}, button('Purge all messages', purge, 'danger')),
    make('div', { className: 'columns wide' }, card('Messages', list), card('Members', members)));
  draw();

  const offset = Date.now() - await ably.time();
  await open.subscribe((message) => {
    const latency = Math.max(0, Date.now() - offset - (message.timestamp ?? 0));
    const others = messages.filter(({ message: { serial } }) => serial !== message.serial);
    messages = [{ message, latency }, ...others].slice(0, most);
    draw();
  });
  const history = await open.history({ limit: 50 }).catch((error) => (failed(error), { items: [] }));
  const known = new Set(messages.map(({ message }) => message.serial));
  const earlier = history.items.filter(({ serial }) => !known.has(serial)).map((message) => ({ message }));
  messages = [...messages, ...earlier].slice(0, most);
  draw();
  const again = async () => {
    const here = await json(`${path}/presence?limit=${ROWS_MAX}`);
    renew(members, memberTable(here, memberActs(key, name, failed, () => again().catch(failed))), bounded(here));
    const { status: { occupancy: { metrics }, messagesPerSecond } } = await json(path);
    state.textContent = [counted(metrics.connections, 'connection'), counted(metrics.subscribers, 'subscriber'),
      counted(metrics.presenceMembers, 'member'), `${number.format(messagesPerSecond)} messages a second`].join(', ');
  };
  // Who may not see the members or the counts may see the messages.
  await again().catch(failed);
  return { again, end: () => ably.close() };
}

/** @param {import('ably').RealtimeChannel} open @param {(error: unknown) => void} failed */
function publisher(open, failed) {
  const publish = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const said = new FormData(form);
    try {
      await open.publish(/** @type {string} */ (said.get('name')), said.get('data'));
      form.reset();
    } catch (error) {
      failed(error);
    }
  };
  return make('form', { onsubmit: publish }, field('Name', { name: 'name' }), field('Data', { name: 'data', required: true }),
    make('button', { className: 'main' }, 'Publish'));
}

/**
 * @param {{ message: Message, latency?: number }[]} messages @param {any} open
 * @param {(error: unknown) => void} failed
 */
function messageTable(messages, open, failed) {
  const act = (/** @type {() => Promise<unknown>} */ act) => () => act().then(() => {}, failed);
  const row = (/** @type {{ message: Message, latency?: number }} */ { message, latency }) => {
    const edit = act(async () => {
      const data = prompt('New data', shown(message.data));
      if (data !== null) await open.updateMessage({ serial: message.serial, data });
    });
    const remove = act(async () => {
      if (confirm('Delete this message?')) await open.deleteMessage({ serial: message.serial });
    });
    return [new Date(message.timestamp ?? 0).toLocaleTimeString(), make('code', {}, message.serial ?? ''),
      message.name ?? '', message.action === 'message.delete' ? '(deleted)' : shown(message.data),
      latency === undefined ? 'history' : `${Math.round(latency)} ms`,
      make('span', { className: 'actions' }, button('Edit', edit), ' ', button('Delete', remove, 'danger'))];
  };
  return table(['Time', 'Serial', 'Name', 'Data', 'Latency', ''], messages.map(row), 'Nothing yet.');
}

/**
 * What an operator does about a member.
 * @param {string} key @param {string} channel @param {(error: unknown) => void} failed @param {() => unknown} then
 */
function memberActs(key, channel, failed, then) {
  const at = `/apps/${key.split('.')[0]}`;
  const post = (/** @type {string} */ path, /** @type {object} */ body) =>
    json(at + path, { method: 'POST', body: JSON.stringify(body) }).then(then, failed);
  return {
    disconnect: async (/** @type {Member} */ { clientId, connectionId }) => {
      if (!confirm(`End the connection of ${clientId}?`)) return;
      await post(`/connections/${encodeURIComponent(connectionId)}/disconnect`, { reconnect: false });
    },
    ban: async (/** @type {Member} */ { clientId }) => {
      const reason = prompt(`Ban ${clientId} from ${channel} until you lift it. For what reason? The client is told.`, '');
      if (reason !== null) await post('/bans', { clientId, channel, reason });
    },
  };
}

/** @typedef {{ clientId: string, connectionId: string, data?: unknown }} Member */

/** @param {Member[]} members @param {ReturnType<typeof memberActs>} acts */
function memberTable(members, { disconnect, ban }) {
  const row = (/** @type {Member} */ member) => [member.clientId, make('code', {}, member.connectionId), shown(member.data),
    make('span', { className: 'actions' }, button('Disconnect', () => disconnect(member), 'danger'), ' ',
      button('Ban', () => ban(member), 'danger'))];
  return table(['Client', 'Connection', 'Data', ''], members.map(row), 'Nobody is present.');
}
