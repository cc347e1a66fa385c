/**
 * What tells a page that something has changed: channels, over the one connection that the console has with a key.
 *
 * It lasts as long as somebody looks. Who has the admin token belongs to no app and has no channels.
 */
import { signed } from './api.js';

const Ably = /** @type {typeof import('ably')} */ (/** @type {any} */ (window).Ably);

/**
 * What a page hears: a channel, what is done with its messages, which says whether to ask for more, and with who is
 * present there.
 * @typedef {{
 *   name: string, options?: import('ably').ChannelOptions, heard?: (message: import('ably').InboundMessage) => boolean,
 *   members?: () => void
 * }} Source
 */

/** @type {import('ably').Realtime | undefined} */
let client;

/** Of the key that signed in. */
export function realtime() {
  const tls = location.protocol === 'https:';
  const port = Number(location.port) || (tls ? 443 : 80);
  return client ??= new Ably.Realtime({
    key: signed()?.key, endpoint: location.hostname, tls, port, tlsPort: port, disableConnectivityCheck: true,
    wsConnectivityCheckUrl: `${tls ? 'wss' : 'ws'}://${location.host}/`,
  });
}

/** Whether a channel is heard now. @param {string} name */
export const isHeard = (name) => client?.channels.get(name).state === 'attached';

export function hangUp() {
  client?.close();
  client = undefined;
}

/** The channels of the page before are left first: one that is attached again must be detached by then. */
let left = Promise.resolve();

/**
 * Hears these from now on. `news` is called where there is more to ask for, and `live` with whether all of them are
 * heard. Gives what to do at the end.
 * @param {Source[]} sources @param {() => void} news @param {(isLive: boolean) => void} live
 */
export function hear(sources, news, live) {
  const of = realtime();
  /** @type {import('ably').RealtimeChannel[]} */
  let channels = [];
  let [isOver, isLive] = [false, false];
  const are = (/** @type {string[]} */ ...states) => channels.every(({ state }) => states.includes(state));
  const judge = () => {
    if (isOver) return;
    // A key that may hear none of them needs no connection.
    if (of === client && are('failed')) hangUp();
    const isBeginning = !isLive && ['connecting', 'connected'].includes(of.connection.state) && are('initialized', 'attaching');
    isLive = of.connection.state === 'connected' && are('attached');
    if (!isBeginning) live(isLive);
  };
  left.then(() => {
    if (isOver) return;
    channels = sources.map(({ name, options }) => of.channels.get(name, options));
    of.connection.on(judge);
    channels.forEach((channel, index) => listen(channel, sources[index], news, judge));
  });
  return () => {
    isOver = true;
    of.connection.off(judge);
    left = leave(of, channels);
  };
}

/** @param {import('ably').Realtime} of @param {import('ably').RealtimeChannel[]} channels */
async function leave(of, channels) {
  for (const channel of channels) {
    channel.off();
    channel.unsubscribe();
    channel.presence.unsubscribe();
  }
  await Promise.allSettled(channels.map((channel) => channel.detach()));
  if (of === client) for (const { name } of channels) of.channels.release(name);
}

/**
 * @param {import('ably').RealtimeChannel} channel @param {Source} source
 * @param {() => void} news @param {() => void} judge
 */
async function listen(channel, { options, heard = () => true, members }, news, judge) {
  channel.on((change) => {
    judge();
    // What came in between was not heard.
    if (change.current === 'attached' && !change.resumed) news();
  });
  try {
    if (members) await channel.presence.subscribe(members);
    await channel.subscribe((message) => { if (heard(message)) news(); });
  } catch (error) {
    // Who may not see how many are there may hear what is said.
    const isRefused = options && /** @type {import('ably').ErrorInfo} */ (error).code === 40160;
    if (isRefused) await channel.setOptions({}).then(() => channel.attach()).catch(() => {});
  }
}

/** Requests that went well are those of this page, too: to ask because of them would go on for ever. */
const telling = (/** @type {Record<string, number>} */ entries) =>
  JSON.stringify(Object.entries(entries).filter(([name]) => !/^apiRequests\..*\.succeeded$/.test(name)));

/** The statistics of each minute, which say that something has happened. @returns {Source} */
export function statistics() {
  /** @type {Map<string, { told: string, whole: string }>} */
  const known = new Map();
  const nothing = telling({});
  const heard = (/** @type {import('ably').InboundMessage} */ { data: { intervalId, entries, inProgress } }) => {
    const now = { told: telling(entries), whole: JSON.stringify(entries) };
    const before = known.get(intervalId);
    // Two minutes are told of at a time.
    if (!before) [...known.keys()].slice(0, -1).forEach((id) => known.delete(id));
    known.set(intervalId, now);
    // Where all is as before, something was reported that has no name here: a refusal on a connection.
    const isNew = now.told !== before?.told || now.whole === before.whole || !inProgress;
    return now.told !== nothing && isNew;
  };
  return { name: '[meta]stats:minute', heard };
}

/** Channels that come into use and go out of it. @type {Source} */
export const lifecycle = { name: '[meta]channel.lifecycle' };

/** What operators do. @type {Source} */
export const log = { name: '[meta]log' };
