/**
 * What tells a page that something has changed: channels, over a connection for each app. A key hears its own app; who
 * has the admin token hears what all do, and each app while there are few.
 *
 * A connection lasts as long as somebody looks at a page that needs it.
 */
import { json, Refused, signed } from './api.js';

const Ably = /** @type {typeof import('ably')} */ (/** @type {any} */ (window).Ably);

/** What operators do in any app, and whatever is of none, is told here. */
export const deployment = '*';

/** How many apps are heard at a time, each over a connection of its own. */
const APPS_MAX = 8;

/** After how long it is tried again to hear anything. */
const retryMs = 15_000;

/**
 * What a page hears: a channel, what is done with its messages, which says whether to ask for more, and with who is
 * present there.
 * @typedef {{
 *   name: string, options?: import('ably').ChannelOptions, heard?: (message: import('ably').InboundMessage) => boolean,
 *   members?: () => void
 * }} Source
 */

/**
 * A channel that is heard, and over which connection.
 * @typedef {{ app: string, of: import('ably').Realtime, channel: import('ably').RealtimeChannel, source: Source }} Line
 */

/** By app; that of a key has no name. @type {Map<string, import('ably').Realtime>} */
const clients = new Map();

/** Where channels of an app are seen, which an operator does by a token of their own. @param {string} app */
export const insideOf = (app) => signed()?.key ? '' : `${app}/channels`;

/** @param {string} [app] which, for who has the admin token */
export function realtime(app = '') {
  const known = clients.get(app);
  if (known) return known;
  const { key } = signed() ?? {};
  const tls = location.protocol === 'https:';
  const port = Number(location.port) || (tls ? 443 : 80);
  const client = new Ably.Realtime({
    ...key ? { key } : { authCallback: tokenOf(app) },
    endpoint: location.hostname, tls, port, tlsPort: port, disableConnectivityCheck: true,
    wsConnectivityCheckUrl: `${tls ? 'wss' : 'ws'}://${location.host}/`,
  });
  clients.set(app, client);
  return client;
}

/** @param {string} app @returns {NonNullable<import('ably').ClientOptions['authCallback']>} */
const tokenOf = (app) => (_, done) => {
  const [id, scope] = app.split('/');
  const path = id === deployment ? '/tokens' : `/apps/${id}/tokens`;
  json(path, { method: 'POST', body: JSON.stringify({ scope }) }).then((token) => done(null, token), (error) => {
    // Another admin token, or no such app: to ask again would not help.
    const isFinal = error instanceof Refused && [40101, 40400].includes(error.code);
    done(new Ably.ErrorInfo(error.message, error.code ?? 40170, isFinal ? 403 : 401), null);
  });
};

/**
 * What there is at a path, asked by whom the connection is of.
 * @param {string} app @param {string} path @param {Record<string, string | number>} [query] @returns {Promise<any[]>}
 */
export async function read(app, path, query) {
  const { success, items, errorCode, errorMessage, statusCode } = await realtime(app).request('GET', path, 3, query, null, {});
  if (!success) throw new Refused(errorCode ?? statusCode, errorMessage);
  return items;
}

/** Whether a channel is heard now. @param {string} app @param {string} name */
export const isHeard = (app, name) => clients.get(app)?.channels.get(name).state === 'attached';

export const hangUp = () => keep([]);

/** Closes all connections but those of these apps. @param {string[]} apps */
function keep(apps) {
  for (const [app, of] of clients) if (!apps.includes(app)) close({ app, of });
}

/** @param {{ app: string, of: import('ably').Realtime }} line */
function close({ app, of }) {
  of.close();
  if (clients.get(app) === of) clients.delete(app);
}

/** The channels of the page before are left first: one that is attached again must be detached by then. */
let left = Promise.resolve();

/**
 * Hears something from now on, of each app or of one. `news` is called where there is more to ask for, and `live` with
 * whether all of it is heard. Gives what to do at the end.
 * @param {() => Source[]} sources @param {string | undefined} app which; without one, all
 * @param {() => void} news @param {(isLive: boolean) => void} live
 */
export function hear(sources, app, news, live) {
  let turn = 0;
  let stop = () => {};
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let retry;
  const begin = async () => {
    const mine = ++turn;
    stop();
    stop = () => {};
    const apps = await heardApps(app).catch(() => {
      if (mine === turn) retry = setTimeout(begin, retryMs);
    });
    if (mine !== turn) return;
    if (!apps) return live(false);
    const all = apps.flatMap((app) => sources().map((source) => ({ app, source })));
    if (!app && apps[0] === deployment) all.push({ app: deployment, source: { ...log, heard: changesApps } });
    stop = listenTo(all, news, live);
  };
  const changesApps = (/** @type {import('ably').InboundMessage} */ { name }) => {
    const does = name === 'create app' || name === 'delete app';
    if (does) begin();
    return does;
  };
  begin();
  return () => {
    turn = 0;
    clearTimeout(retry);
    stop();
  };
}

/** Of which apps that is, or nothing where they are too many. @param {string | undefined} app */
async function heardApps(app) {
  if (signed()?.key) return [''];
  if (app) return [app];
  /** @type {{ id: string }[]} */
  const all = await json('/apps');
  return all.length > APPS_MAX ? undefined : [deployment, ...all.map(({ id }) => id)];
}

/**
 * @param {{ app: string, source: Source }[]} all
 * @param {() => void} news @param {(isLive: boolean) => void} live
 */
function listenTo(all, news, live) {
  /** @type {Line[]} */
  let lines = [];
  let [isOver, isLive] = [false, false];
  const judge = () => {
    if (isOver) return;
    const are = (/** @type {string[]} */ connections, /** @type {string[]} */ channels) =>
      lines.every(({ of, channel }) => connections.includes(of.connection.state) && channels.includes(channel.state));
    // A key that may hear none of them needs no connection, and one that failed is of no use to the next page.
    const isVain = lines.every(({ channel }) => channel.state === 'failed');
    lines.filter(({ of }) => isVain || of.connection.state === 'failed').forEach(close);
    const isBeginning = !isLive && are(['connecting', 'connected'], ['initialized', 'attaching', 'attached']);
    isLive = are(['connected'], ['attached']);
    if (isLive || !isBeginning) live(isLive);
  };
  left.then(() => {
    if (isOver) return;
    keep(all.map(({ app }) => app));
    lines = all.map(({ app, source }) => {
      const of = realtime(app);
      return { app, of, channel: of.channels.get(source.name, source.options), source };
    });
    for (const of of new Set(lines.map(({ of }) => of))) of.connection.on(judge);
    lines.forEach(({ channel, source }) => listen(channel, source, news, judge));
  });
  return () => {
    isOver = true;
    lines.forEach(({ of }) => of.connection.off(judge));
    left = leave(lines);
  };
}

/** @param {Line[]} lines */
async function leave(lines) {
  for (const { channel } of lines) {
    channel.off();
    channel.unsubscribe();
    channel.presence.unsubscribe();
  }
  await Promise.allSettled(lines.map(({ channel }) => channel.detach()));
  for (const { app, of, channel } of lines) if (of === clients.get(app)) of.channels.release(channel.name);
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

/** How webhooks fare. @type {Source} */
export const webhooksLog = { ...log, heard: ({ name }) => /^webhook\./.test(name ?? '') };
