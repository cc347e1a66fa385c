/**
 * The scoreboard: every page shows what arrives on one channel, and any page may keep score.
 *
 * A message carries the whole score after its point, so that a page which has just opened needs the last one only, from
 * the channel's history. The SDK is the published one, told nothing but where this page came from.
 */
import { call, isScore, love, players, point, pointNames } from './tennis.js';

/** @typedef {import('./tennis.js').Score} Score */
/** @typedef {import('ably').InboundMessage} Message */

const Ably = /** @type {typeof import('ably')} */ (/** @type {any} */ (window).Ably);
const channelName = 'tennis-score-updates';
const feedLength = 20;
/** How far back the last score is looked for, behind what else was published here. */
const pagesOfHistory = 50;

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const ui = {
  connection: element('connection'), keyForm: element('key-form'), score: element('score'), call: element('call'),
  buttons: element('buttons'), refusal: element('refusal'), messages: element('messages'), empty: element('no-messages'),
};

/** What is shown, newest first; `latency` is missing for what came from history. */
/** @type {{ serial: string, text: string, latency?: number }[]} */
let shown = [];
/** The last score that came, however much else came since. */
let latest = { serial: '', score: love };
/** The score this page would add a point to. It runs ahead of `shown` while publishes are under way. */
let score = love;
let publishing = 0;
/** The last serial this page was told it had published: its own point may come back after its acknowledgement. */
let acknowledged = '';
let connected = false;
/** Whether the score is known on which a point would count. */
let loaded = false;
/** Milliseconds to add to this machine's clock to get the server's: latency needs one clock on both ends. */
let clockOffset = 0;

start();

function start() {
  drawButtons();
  draw();
  const isLocal = ['localhost', '127.0.0.1'].includes(location.hostname);
  const key = isLocal ? 'demo.key1:local-only' : sessionStorage.getItem('courtside-key');
  if (key) connect(key);
  else askForKey('This server wants a key.');
}

/** @param {string} key */
function connect(key) {
  const tls = location.protocol === 'https:';
  const port = Number(location.port) || (tls ? 443 : 80);
  const ably = new Ably.Realtime({
    key, endpoint: location.hostname, tls, port, tlsPort: port,
    // This page talks to its own server only; the SDK would otherwise ask others whether the network is up.
    disableConnectivityCheck: true, wsConnectivityCheckUrl: `${tls ? 'wss' : 'ws'}://${location.host}/`,
  });
  const channel = ably.channels.get(channelName);

  ably.connection.on((change) => {
    showConnection(change);
    if (change.current === 'connected') measureClock(ably);
    if (change.current === 'failed') refuse(ably, change.reason);
  });
  channel.on(['attached', 'update'], async (change) => {
    if (change.resumed) return;
    allow({ loaded: false });
    await loadHistory(channel);
    allow({ loaded: true });
  });
  channel.on('failed', (change) => showState('failed', `The channel refused this page: ${change.reason?.message}`));
  channel.subscribe((message) => arrive(message, latencyOf(message))).catch(() => {});

  ui.buttons.onclick = (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest('button');
    if (button && isReady()) publish(channel, button.dataset.side);
  };
}

/**
 * Publishes the score after a point, or a new match.
 * @param {import('ably').RealtimeChannel} channel
 * @param {string} [side]
 */
async function publish(channel, side) {
  if (side !== undefined && score.winner !== null) {
    ui.refusal.textContent = 'The match is over.';
    return;
  }
  score = side === undefined ? love : point(score, side === '0' ? 0 : 1);
  publishing++;
  try {
    const result = await channel.publish('score', { score, sentAt: Date.now() + clockOffset });
    acknowledged = result.serials[0] ?? '';
    ui.refusal.textContent = '';
  } catch (error) {
    ui.refusal.textContent = `Not published: ${/** @type {Error} */ (error).message}`;
  } finally {
    publishing--;
    followShown();
  }
}

/** @param {Message} message @param {number} [latency] */
function arrive(message, latency) {
  const serial = message.serial ?? message.id;
  if (shown.some((entry) => entry.serial === serial)) return;
  const sent = isScore(message.data?.score) ? message.data.score : null;
  shown.push({ serial, text: sent ? call(sent) : describe(message), latency });
  // Serials sort as they happened, whichever way they came.
  shown.sort((a, b) => (a.serial < b.serial ? 1 : -1));
  shown = shown.slice(0, feedLength);
  if (sent && serial > latest.serial) latest = { serial, score: sent };
  followShown();
  draw();
}

/** Anyone may publish here, and anything. @param {Message} message */
function describe(message) {
  return typeof message.data === 'string' ? message.data : JSON.stringify(message.data) ?? message.name ?? 'no data';
}

function followShown() {
  const caughtUp = publishing === 0 && (shown[0]?.serial ?? '') >= acknowledged;
  if (caughtUp) score = latest.score;
}

/**
 * On the first attach and after a gap: what the channel still has, down to a score that is new or known.
 * @param {import('ably').RealtimeChannel} channel
 */
async function loadHistory(channel) {
  const known = latest.serial;
  try {
    /** @type {import('ably').PaginatedResult<Message> | null} */
    let page = await channel.history({ limit: feedLength });
    for (let pages = 1; page; pages++) {
      page.items.forEach((message) => arrive(message));
      if (latest.serial !== known || page.items.some((message) => (message.serial ?? '') <= known)) break;
      page = pages < pagesOfHistory ? await page.next() : null;
    }
  } catch (error) {
    ui.empty.textContent = `The history can't be read: ${/** @type {Error} */ (error).message}`;
  }
}

/** @param {Message} message */
function latencyOf(message) {
  const sentAt = Number(message.data?.sentAt ?? message.timestamp);
  return Number.isFinite(sentAt) ? Math.max(0, Date.now() + clockOffset - sentAt) : undefined;
}

/** @param {import('ably').Realtime} ably */
async function measureClock(ably) {
  const before = Date.now();
  const server = await ably.time().catch(() => undefined);
  // The server read its clock about half-way through the round trip.
  if (server !== undefined) clockOffset = server - (before + Date.now()) / 2;
}

/** @param {import('ably').ConnectionStateChange} change */
function showConnection({ current, reason, retryIn }) {
  const retry = retryIn ? ` Trying again in ${Math.ceil(retryIn / 1000)} s.` : '';
  const why = reason ? ` (${reason.message})` : '';
  const texts = /** @type {Record<string, string>} */ ({
    connecting: 'Connecting…',
    connected: 'Connected: points arrive as they are played.',
    disconnected: `The connection is down. What you see may be old.${retry}`,
    suspended: `The connection has been down for a while. What you see is old.${retry}`,
    failed: `The server refused the connection${why}.`,
    closed: 'The connection is closed.',
  });
  // Between attempts the banner stays as it was: "Connecting…" each time would flicker and say less.
  const wasDown = ['disconnected', 'suspended'].includes(ui.connection.dataset.state ?? '');
  if (current === 'connecting' && wasDown) return;
  showState(current, texts[current] ?? current);
}

/** @param {string} state @param {string} text */
function showState(state, text) {
  ui.connection.dataset.state = state;
  ui.connection.textContent = text;
  allow({ connected: state === 'connected' });
}

function isReady() {
  return connected && loaded;
}

/** Points are given only on top of the score that there is. @param {{ connected?: boolean, loaded?: boolean }} known */
function allow(known) {
  connected = known.connected ?? connected;
  loaded = known.loaded ?? loaded;
  for (const button of ui.buttons.children) button.setAttribute('aria-disabled', String(!isReady()));
}

/** @param {import('ably').Realtime} ably @param {import('ably').ErrorInfo} [reason] */
function refuse(ably, reason) {
  ably.close();
  sessionStorage.removeItem('courtside-key');
  askForKey(`The server refused the connection: ${reason?.message ?? 'no reason given'}`);
}

/** @param {string} why */
function askForKey(why) {
  showState('failed', why);
  const form = /** @type {HTMLFormElement} */ (ui.keyForm);
  form.hidden = false;
  form.onsubmit = (event) => {
    event.preventDefault();
    const key = String(new FormData(form).get('key')).trim();
    sessionStorage.setItem('courtside-key', key);
    form.hidden = true;
    connect(key);
  };
}

function drawButtons() {
  const labels = [...players, 'New match'];
  ui.buttons.replaceChildren(...labels.map((label, side) => {
    const button = create('button', label);
    button.type = 'button';
    if (side < players.length) button.dataset.side = String(side);
    else button.className = 'quiet';
    button.setAttribute('aria-disabled', 'true');
    return button;
  }));
}

function draw() {
  const current = latest.score;
  const names = pointNames(current);
  ui.score.replaceChildren(...players.map((player, side) => {
    const row = create('tr');
    const name = create('th', player);
    name.scope = 'row';
    if (current.winner === null && current.serving === side) name.append(create('span', 'serving', 'serving'));
    row.append(name);
    for (let set = 0; set < 3; set++) row.append(create('td', String(current.sets[set]?.[side] ?? '')));
    row.append(create('td', current.winner === null ? names[side] : current.winner === side ? 'Won' : '', 'points'));
    return row;
  }));
  ui.call.textContent = shown[0]?.text ?? 'No point yet';
  ui.empty.hidden = shown.length > 0;
  ui.messages.replaceChildren(...shown.map(({ text, latency, serial }) => {
    const row = create('tr');
    row.append(create('td', text), create('td', latency === undefined ? 'history' : `${Math.round(latency)} ms`),
      create('td', serial, 'serial'));
    return row;
  }));
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} [text] @param {string} [className]
 * @returns {HTMLElementTagNameMap[T]}
 */
function create(tag, text = '', className = '') {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}
