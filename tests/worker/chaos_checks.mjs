/** Says, when a round of chaos.mjs is over, whether everybody saw what they should. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { isDeepStrictEqual } from 'node:util';
import { connected, demoKey, rest, wholeHistory } from './clients.mjs';
import { joinObjects, readerKey } from './chaos.mjs';
import { isSure, latest, marksIn, marksOfTheDeleted } from './chaos_ledger.mjs';
import { END, StreamReader, View, WaitingReader, follow } from './chaos_views.mjs';
import { delay, repeated, sorted, totals } from './trials.mjs';

/** @typedef {import('./chaos_ledger.mjs').Ledger} Ledger */
/**
 * @typedef {{
 *   runtime: import('./runtime.mjs').Runtime, name: string, ledger: Ledger, views: View[], rewinder: { views: View[] },
 *   followers: { view: View, channel: import('ably').RealtimeChannel, isFiltered: boolean }[], roots: any[],
 *   writers: { was?: string, is?: string }[]
 * }} Round
 */

/** What is not there by then does not come. */
export const SETTLED_MS = 60_000;
/** Between two looks: some of what is waited for has no event. */
const LOOK_MS = 100;

/**
 * Looks again until all is as it should be; fails with what it saw last.
 * @template T
 * @param {() => T | Promise<T>} look
 * @returns {Promise<T>}
 */
async function eventually(look) {
  const began = performance.now();
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() - began > SETTLED_MS) throw error;
      await delay(LOOK_MS);
    }
  }
}

/** @param {import('./trials.mjs').Scope} scope @param {Round} round */
export async function judge(scope, round) {
  for (const { was, is } of round.writers) assert.equal(is, was, 'writers resumed their connections');
  const views = [...round.views, ...round.rewinder.views.slice(-1)];
  for (const view of views) await eventually(() => assert.ok(view.ended, `${view.who}: the last message came; ${view.messages.size} are there, ${view.note}`));
  const history = await judgeHistory(round);
  for (const view of views) judgeView(view, history);
  for (const view of round.rewinder.views) judgeRewound(view, history);
  judgeSummariesOf(history, round);
  await judgeLateComers(scope, round, history);
  await judgeObjects(scope, round);
  await judgePresence(scope, round);
}

/**
 * History against what was acknowledged.
 * @param {Round} round
 */
async function judgeHistory({ runtime, name, ledger }) {
  const channel = rest(runtime).channels.get(name);
  const history = await wholeHistory(channel);
  const serials = history.map(({ serial }) => String(serial));
  assert.deepEqual(serials.toSorted(), serials, 'serials sort as history does');
  assert.deepEqual(repeated(serials), [], 'no serial is used twice');
  const bySerial = new Map(history.map((message) => [String(message.serial), message]));
  const lost = ledger.written.filter(({ serial }) => !bySerial.has(serial));
  assert.deepEqual(lost, [], 'every acknowledged message is in history');
  const versions = await versionsOf(channel, history.filter(({ action, serial }) => action !== 'message.create' || !isKnown(ledger, serial)));
  judgeUnsure(ledger, history, versions);
  for (const written of ledger.written) judgeMessage(written, bySerial.get(written.serial), versions.get(written.serial));
  return history;
}

/** @param {Ledger} ledger @param {string | undefined} serial */
const isKnown = (ledger, serial) => ledger.written.some((written) => written.serial === serial);

/**
 * By serial.
 * @param {import('ably').Channel} channel
 * @param {any[]} messages
 */
async function versionsOf(channel, messages) {
  /** @type {Map<string, any[]>} */
  const versions = new Map();
  const left = [...messages];
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let message = left.pop(); message; message = left.pop()) {
      const page = await channel.getMessageVersions(message.serial, { limit: 1000 });
      versions.set(message.serial, page.items);
    }
  }));
  return versions;
}

/**
 * What was not acknowledged is there once, or not at all.
 * @param {Ledger} ledger
 * @param {any[]} history
 * @param {Map<string, any[]>} versions
 */
function judgeUnsure(ledger, history, versions) {
  const others = history.filter(({ serial }) => !isKnown(ledger, serial)).map(({ serial, data }) => versions.get(serial)?.[0].data ?? data);
  assert.deepEqual(repeated(others), [], 'nothing is there twice');
  assert.deepEqual(others.filter((data) => data !== END && !ledger.unsure.has(data)), [], 'all that is there was published, once');
}

/**
 * @param {import('./chaos_ledger.mjs').Written} written
 * @param {any} message of history
 * @param {any[]} versions
 */
function judgeMessage(written, message, versions = []) {
  const { serial, operations } = written;
  const story = () => `${serial}: ${JSON.stringify({ operations, versions: versions.map(({ version, action, data }) => [version?.serial, action, data]) }, null, 1)}`;
  const wanted = latest(written);
  const found = { data: message.data, version: message.version?.serial ?? serial, action: message.action };
  if (isSure(written)) assert.deepEqual(found, wanted, story());
  else assert.ok(found.version >= wanted.version, story());
  assert.deepEqual(repeated(marksIn(message.data)), [], story());
  const kept = versions.map(({ version }) => version?.serial);
  assert.deepEqual(repeated(kept), [], story());
  const missing = operations.filter(({ kind, version }) => kind !== 'append' && version && !kept.includes(version));
  assert.deepEqual(missing, [], story());
}

/** What a client has against history. @param {View} view @param {any[]} history */
function judgeView(view, history) {
  assert.deepEqual(view.faults, [], view.who);
  const wanted = new Map(history.filter(({ name }) => view.passes(name)).map((message) => [message.serial, message]));
  const unknown = [...view.messages.keys()].filter((serial) => !wanted.has(serial));
  assert.deepEqual(unknown, [], `${view.who}: no more than history has`);
  if (view.isRewound) return judgeLatest(view, wanted);
  const missing = [...wanted.keys()].filter((serial) => !view.messages.has(serial));
  // Who was told of a gap fills it from history.
  if (view.gaps === 0) assert.deepEqual(missing, [], `${view.who}: all that history has`);
  if (view.gaps === 0) judgeLatest(view, wanted);
}

/** @param {View} view @param {Map<string, any>} wanted */
function judgeLatest(view, wanted) {
  for (const [serial, { data, version, action }] of view.messages) {
    const message = wanted.get(serial);
    const latest = { data: message.data, version: message.version?.serial ?? serial, action: message.action };
    assert.deepEqual({ data, version, action }, latest, `${view.who}: ${serial} as it is now`);
  }
}

/** Who came in between has all from the first message that it was given. @param {View} view @param {any[]} history */
function judgeRewound(view, history) {
  assert.deepEqual(view.faults, [], view.who);
  const [first] = view.messages.keys();
  if (first === undefined) return assert.ok(!view.ended, `${view.who}: something came`);
  const got = [...view.messages.keys()].filter((serial) => serial >= first).sort();
  const wanted = history.map(({ serial }) => serial).filter((serial) => serial >= first);
  assert.deepEqual(got, view.ended ? wanted : wanted.slice(0, got.length), `${view.who}: all from the first`);
}

/** @param {any[]} history @param {Round} round */
function judgeSummariesOf(history, { ledger, followers }) {
  const bySerial = new Map(history.map((message) => [message.serial, message]));
  const clients = [...ledger.members.keys()];
  for (const { serial, counts } of ledger.written) {
    const wanted = counts.totals();
    judgeSummary(bySerial.get(serial).annotations?.summary, counts, clients, `${serial} in history`);
    if (Object.keys(wanted).length === 0) continue;
    for (const { view, isFiltered } of followers) {
      if (!isFiltered && view.gaps === 0) judgeSummary(view.summaries.get(serial), counts, clients, `${view.who}: ${serial}`);
    }
  }
}

/**
 * @param {any} summary
 * @param {import('./trials.mjs').Counts} counts
 * @param {string[]} clients
 * @param {string} where
 */
function judgeSummary(summary, counts, clients, where) {
  assert.deepEqual(totals(summary), counts.totals(), where);
  for (const client of clients) {
    const own = totals(summary, ({ clientIds = [] }) => Array.isArray(clientIds) ? Number(clientIds.includes(client)) : clientIds[client] ?? 0);
    const said = Object.fromEntries(Object.entries(own).filter(([, count]) => count > 0));
    assert.deepEqual(said, counts.totals(client), `${where}, by ${client}`);
  }
}

/**
 * Who comes when all is over has what the others have, and nothing of what was deleted.
 * @param {import('./trials.mjs').Scope} scope
 * @param {Round} round
 * @param {any[]} history
 */
async function judgeLateComers(scope, { runtime, name, ledger }, history) {
  const server = { runtime, up: Promise.resolve(), flow: Promise.resolve() };
  const client = await connected(scope, runtime, { key: readerKey });
  const channel = client.channels.get(name, { params: { rewind: '100' } });
  const late = await follow(new View('who came late', { isInOrder: false, isRewound: true }), channel);
  const query = { v: '2', channels: name, key: readerKey, rewind: '100' };
  const stream = await new StreamReader(server, new View('a late event stream', { isInOrder: false, isRewound: true }), query).begin();
  const waiting = await new WaitingReader(server, new View('who waits late', { isInOrder: false }), name, readerKey).begin();
  const views = [late, stream.view, waiting.view];
  for (const view of views) await eventually(() => assert.ok(view.ended, `${view.who}: the last message came; ${view.messages.size} are there, ${view.note}`));
  await Promise.all([stream.end(), waiting.end()]);
  for (const view of views) judgeView(view, history);
  for (const view of [late, stream.view]) assert.equal(view.messages.size, Math.min(100, history.length), `${view.who}: as many as it asked for`);

  const deleted = ledger.written.filter((written) => isSure(written) && marksOfTheDeleted(written).length > 0);
  const own = rest(runtime, { key: readerKey }).channels.get(name);
  const versions = await versionsOf(own, deleted);
  const read = JSON.stringify([await wholeHistory(own), ...versions.values(), ...views.map((view) => [...view.messages])]);
  const found = new Set(marksIn(read));
  assert.deepEqual(deleted.filter((written) => marksOfTheDeleted(written).some((mark) => found.has(mark))), [], 'what was deleted is nowhere');
}

/** @param {import('./trials.mjs').Scope} scope @param {Round} round */
async function judgeObjects(scope, { runtime, name, ledger, roots }) {
  const late = await joinObjects(scope, runtime, name);
  const tree = await eventually(async () => {
    const answer = await fetch(`${runtime.url}/channels/${encodeURIComponent(name)}/object?key=${demoKey}`);
    const value = sorted(await answer.json());
    for (const root of [...roots, late.root]) assert.deepEqual(sorted(root.compactJson()), value, 'everybody has the same objects');
    return value;
  });
  const { sure, perhaps } = ledger.hits;
  assert.ok(tree.hits >= sure && tree.hits <= sure + perhaps, `${tree.hits} hits, ${sure} of them acknowledged, ${perhaps} perhaps`);
}

/** @param {import('./trials.mjs').Scope} scope @param {Round} round */
async function judgePresence(scope, { runtime, name, ledger, followers }) {
  const late = (await connected(scope, runtime)).channels.get(name);
  const wanted = [...ledger.members].filter(([member, data]) => data !== null && !ledger.unsureMembers.has(member)).sort();
  const askers = [
    ...followers.filter(({ isFiltered }) => !isFiltered).map(({ view, channel }) => ({ who: view.who, get: async () => channel.presence.get() })),
    { who: 'who came late', get: async () => late.presence.get() },
    { who: 'REST', get: async () => (await rest(runtime).channels.get(name).presence.get({ limit: 1000 })).items },
  ];
  for (const { who, get } of askers) {
    await eventually(async () => {
      const members = (await get()).filter(({ clientId }) => !ledger.unsureMembers.has(clientId));
      const found = members.map(({ clientId, data }) => [clientId, data]).sort();
      if (!isDeepStrictEqual(found, wanted)) assert.deepEqual(found, wanted, `${who}: who is there; ${await presenceStory(runtime, name)}`);
    });
  }
}


/** @param {Round['runtime']} runtime @param {string} name */
async function presenceStory(runtime, name) {
  const { items } = await rest(runtime).channels.get(name).presence.history({ direction: 'forwards', limit: 1000 });
  return items.map(({ id, action, clientId, data, timestamp }) => [timestamp, id, action, clientId, data].join(' ')).join('\n');
}
