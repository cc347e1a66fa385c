/** The page of one channel: what comes as it comes, history, members, and what an operator does about them. */
import { ask, json, signed } from './api.js';
import { button, card, field, make, shown, table } from './elements.js';

const Ably = /** @type {typeof import('ably')} */ (/** @type {any} */ (window).Ably);
const most = 100;

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
  const open = ably.channels.get(name);
  /** @type {{ message: Message, latency?: number }[]} */
  let messages = [];
  const [list, members] = [make('div'), make('div')];
  const state = make('p', { role: 'status', className: 'quiet' });
  const draw = () => list.replaceChildren(messageTable(messages, open, failed));
  const failed = (/** @type {unknown} */ error) => { state.textContent = error instanceof Error ? error.message : `${error}`; };
  const purge = async () => {
    if (!confirm(`Delete all messages of ${name}, for good?`)) return;
    await ask(`/channels/${encodeURIComponent(name)}/messages`, { method: 'DELETE' }).then(() => {
      messages = [];
      draw();
    }, failed);
  };
  place.replaceChildren(make('h2', {}, make('a', { href: '#/channels' }, 'Channels'), ' / ', name), state,
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
  let seen = 0;
  const again = async () => {
    const here = await json(`/channels/${encodeURIComponent(name)}/presence?limit=100`);
    members.replaceChildren(memberTable(here, key, failed));
    const { status: { occupancy: { metrics } } } = await json(`/channels/${encodeURIComponent(name)}`);
    if (seen++ === 0 || state.textContent.includes('subscribers')) {
      state.textContent = `${metrics.connections} connections, ${metrics.subscribers} subscribers, ${metrics.presenceMembers} members`;
    }
  };
  await again();
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
      make('span', {}, button('Edit', edit), ' ', button('Delete', remove, 'danger'))];
  };
  return table(['Time', 'Serial', 'Name', 'Data', 'Latency', ''], messages.map(row), 'Nothing yet.');
}

/**
 * @param {{ clientId: string, connectionId: string, data?: unknown }[]} members @param {string} key
 * @param {(error: unknown) => void} failed
 */
function memberTable(members, key, failed) {
  const [keyName] = key.split(':');
  // By revoking its tokens: the client of a token is sent away, and let in again only with a new one.
  const send = (/** @type {string} */ clientId) => async () => {
    if (!confirm(`Revoke all tokens of ${clientId}, which ends its connections?`)) return;
    const body = JSON.stringify({ targets: [`clientId:${clientId}`] });
    const answer = await json(`/keys/${keyName}/revokeTokens`, { method: 'POST', body }).catch(failed);
    const refused = answer?.results?.find((/** @type {any} */ result) => result.error);
    if (refused) failed(new Error(refused.error.message));
  };
  const row = (/** @type {any} */ { clientId, data }) => [clientId, shown(data), button('Disconnect', send(clientId), 'danger')];
  return table(['Client', 'Data', ''], members.map(row), 'Nobody is present.');
}
