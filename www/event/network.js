/**
 * How good the connection is, and the proof that a bad one loses nothing: the page cuts its own socket, blocks
 * WebSocket, publishes meanwhile over HTTP, and compares what came with what the server keeps.
 */
import { button, h } from './dom.js';
import { restClient } from './session.js';
import { text } from './strings.js';

/** @typedef {import('./main.js').Context} Context */
/** @typedef {{ serial: string, name: string, late: boolean }} Arrival */

const MESSAGES = 12;
/** How often the round trip is measured. */
const PING_EVERY_MS = 10_000;
/** How long the way back may take, before the page says that it was not found. */
const PATIENCE_MS = 60_000;

const sockets = /** @type {{ blocked: boolean, drop: () => void }} */ (/** @type {any} */ (window).courtsideSockets);

/** @param {HTMLElement} element @param {Context} context */
export function network(element, context) {
  const { ably, attempt } = context;
  const facts = Object.fromEntries(['transport', 'latency', 'continuity',
    'id'].map((name) => [name, h('dd', { 'data-fact': name }, text.network.none)]));
  const labels = /** @type {Record<string, string>} */ (/** @type {unknown} */ (text.network));
  const list = h('dl', { class: 'facts' },
    ...Object.entries(facts).map(([name, value]) => h('div', {}, h('dt', {}, labels[name] ?? ''), value)));
  const verdict = h('p', { class: 'verdict', role: 'status' });
  const proof = h('div', { class: 'proof', hidden: true });
  const shake = button(text.network.shake, () => attempt(run, 'shake'), { class: 'primary' });
  element.append(list, h('p', { class: 'faint' }, text.network.intro), shake, verdict, proof);

  let cuts = 0;
  let broken = false;
  /** @param {string} name @param {string} value */
  const say = (name, value) => { const fact = facts[name]; if (fact) fact.textContent = value; };
  const tell = () => {
    say('transport', transportOf(ably));
    say('id', ably.connection.id ?? text.network.none);
    say('continuity', broken ? text.network.broken : cuts === 0 ? text.network.unbroken : text.network.resumedOf(cuts));
  };
  let before = '';
  let isShaking = false;
  let isCounted = false;
  ably.connection.on('connected', () => {
    if (before !== '') {
      // A shake is one cut, by whatever ways the SDK comes back from it.
      if (!isShaking || !isCounted) cuts++;
      isCounted = true;
      broken = before !== ably.connection.id;
    }
    before = ably.connection.id ?? '';
    tell();
    void ping();
  });
  // The SDK may change to another transport without a word.
  setInterval(() => void ping(), PING_EVERY_MS);

  async function ping() {
    if (ably.connection.state !== 'connected') return;
    tell();
    const ms = await ably.connection.ping().catch(() => undefined);
    if (ms !== undefined) say('latency', text.network.ms(Math.max(1, Math.round(ms))));
  }

  async function run() {
    shake.setAttribute('aria-disabled', 'true');
    verdict.textContent = text.network.shaking;
    isShaking = true;
    isCounted = false;
    try {
      const { arrivals, kept, transport } = await shaken(context);
      show(arrivals, kept, transport);
    } finally {
      sockets.blocked = false;
      await goBack(context.ably);
      shake.removeAttribute('aria-disabled');
      isShaking = false;
      tell();
    }
  }

  /** @param {Arrival[]} arrivals @param {string[]} kept serials, in the channel's order @param {string} transport */
  function show(arrivals, kept, transport) {
    const came = arrivals.map(({ serial }) => serial);
    const isWhole = kept.length === MESSAGES && came.join() === kept.join();
    verdict.dataset.whole = String(isWhole);
    verdict.textContent = isWhole
      ? text.network.whole(text.network.proof(came.length, kept.length), text.network.by(transport))
      : text.network.wrong;
    const head = h('tr', {}, ...[text.network.message, text.network.came,
      text.network.serial].map((title) => h('th', { scope: 'col' }, title)));
    const rows = arrivals.map(({ serial, name, late }) => h('tr', { 'data-serial': serial }, h('td', {}, name),
      h('td', {}, late ? text.network.late : text.network.live), h('td', {}, h('code', {}, serial))));
    proof.hidden = false;
    proof.replaceChildren(h('table', {}, h('thead', {}, head), h('tbody', {}, ...rows)));
  }
}

/**
 * The SDK looks for a better transport when it connects, and connects when the browser says that it is online. It may
 * be connected before it has found one, and knows the next time.
 * @param {import('ably').Realtime} ably
 */
async function goBack(ably) {
  const { connection } = ably;
  for (let tries = 0; tries < 4 && transportOf(ably) !== text.network.web_socket; tries++) {
    await connection.whenState('connected');
    const again = new Promise((resolve) => connection.once('connected', resolve));
    for (const name of ['offline', 'online']) window.dispatchEvent(new Event(name));
    await again;
  }
}

/** @param {Context} context */
async function shaken({ ably, who }) {
  const name = `event:shake:${crypto.randomUUID()}`;
  const channel = ably.channels.get(name);
  /** @type {Arrival[]} */
  const arrivals = [];
  let wasCut = false;
  let all = () => {};
  const complete = new Promise((resolve, reject) => {
    all = () => arrivals.length >= MESSAGES && resolve(undefined);
    setTimeout(() => reject(new Error(text.network.wrong)), PATIENCE_MS);
  });
  try {
    await channel.subscribe(({ serial = '', name: said = '' }) => {
      arrivals.push({ serial, name: said, late: wasCut });
      all();
    });
    const rest = restClient(who).channels.get(name);
    for (let number = 1; number <= MESSAGES; number++) {
      if (number === 4) {
        wasCut = true;
        const down = new Promise((resolve) => ably.connection.once('disconnected', resolve));
        sockets.blocked = true;
        sockets.drop();
        // From here on nothing can come by a WebSocket.
        if (transportOf(ably) === text.network.web_socket) await down;
      }
      await rest.publish(`${number}`, null);
    }
    await complete;
    const { items } = await channel.history({ limit: 100, direction: 'forwards' });
    return { arrivals, kept: items.map(({ serial = '' }) => serial), transport: transportOf(ably) };
  } finally {
    await channel.detach().catch(() => {});
    ably.channels.release(name);
  }
}

/** What the SDK uses now: it has no public word for it. @param {import('ably').Realtime} ably */
function transportOf(ably) {
  const { connectionManager } = /** @type {any} */ (ably.connection);
  const name = connectionManager?.activeProtocol?.transport?.shortName;
  return name === 'web_socket' || name === 'xhr_polling'
    ? text.network[/** @type {'web_socket' | 'xhr_polling'} */ (name)] : text.network.none;
}
