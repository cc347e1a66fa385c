/**
 * Who this browser is, and its connection. An attendee has a seat, a secret that stays here, and gets tokens for it
 * from `/event/token`. A host brings a key, in the address's fragment or by hand; it stays in this tab.
 */

import { Given } from './given.js';
import { nameFrom } from './people.js';

/** @typedef {import('ably').Realtime} Realtime */

/** The SDK and its plugin, as their scripts leave them. */
const { Ably, AblyLiveObjectsPlugin } = /** @type {{
 *   Ably: typeof import('ably'), AblyLiveObjectsPlugin: { LiveObjects: any } }} */ (/** @type {any} */ (window));

/** Storage may be closed to an embedded page: then a value lives as long as the page, also when that is loaded anew. */
const kept = new Map(Object.entries(history.state?.kept ?? {}));

/** @param {() => Storage} storage @param {string} name @returns {string | undefined} */
function read(storage, name) {
  try {
    return storage().getItem(name) ?? kept.get(name);
  } catch {
    return kept.get(name);
  }
}

/** @param {() => Storage} storage @param {string} name @param {string} value */
function keep(storage, name, value) {
  kept.set(name, value);
  try {
    storage().setItem(name, value);
  } catch {
    history.replaceState({ kept: Object.fromEntries(kept) }, '');
  }
}

const local = () => window.localStorage;
const tab = () => window.sessionStorage;

/** The name that was chosen here, if one was. @returns {string | undefined} */
export const chosenName = () => nameFrom(read(local, 'event-name') ?? '') || undefined;

/** Calls when a name was chosen in another tab. @param {() => void} then */
export const onNameChosen = (then) => addEventListener('storage', ({ key }) => {
  if (key === 'event-name' && chosenName() !== undefined) then();
});

/** @param {string} name */
export const chooseName = (name) => keep(local, 'event-name', name);

/**
 * What was written and not sent, each a line: the page may be loaded anew, and goes on from there.
 * @param {string} place @param {string[]} written
 */
export function keepDrafts(place, written) {
  const name = `event-draft ${place}`;
  const all = written.join('\n');
  if (all !== (read(tab, name) ?? '')) keep(tab, name, all);
}

/** The same. @param {string} place */
export const takeDrafts = (place) => (read(tab, `event-draft ${place}`) ?? '').split('\n').filter(Boolean);

/** What this browser gave to messages. */
export const given = () => new Given({
  read: () => read(local, 'event-given'), keep: (all) => keep(local, 'event-given', all),
});

/** 128 bits that nobody else knows. */
function seat() {
  const known = read(local, 'event-seat');
  if (known) return known;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const made = btoa(String.fromCharCode(...bytes)).replace(/[+/=]/gu, '-');
  keep(local, 'event-seat', made);
  return made;
}

/** The host's key: from `#key=…`, which is taken out of the address, or what this tab was given before. */
export function hostKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get('key');
  if (given) {
    keepHostKey(given);
    history.replaceState(history.state, '', location.pathname + location.search);
  }
  return read(tab, 'event-key');
}

/** @param {string} key */
export const keepHostKey = (key) => keep(tab, 'event-key', key);

/** Another than `Host`, if one was given in this tab. A `*` alone would stand for all clients. */
export function hostName() {
  const name = nameFrom(read(tab, 'event-host') ?? '');
  return name === '' || name === '*' ? 'Host' : name;
}

/** @param {string} name */
export const keepHostName = (name) => keep(tab, 'event-host', name);

/**
 * @param {string} name
 * @returns {Promise<import('ably').TokenDetails>}
 */
export async function fetchToken(name) {
  const body = JSON.stringify({ name, seat: seat() });
  const response = await fetch('/event/token',
    { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.error.message), answer.error);
  return answer;
}

/** What every client of this page is told: where it came from, and to ask no one else. */
function place() {
  const tls = location.protocol === 'https:';
  const port = Number(location.port) || (tls ? 443 : 80);
  return {
    endpoint: location.hostname, tls, port, tlsPort: port,
    disableConnectivityCheck: true, wsConnectivityCheckUrl: `${tls ? 'wss' : 'ws'}://${location.host}/`,
  };
}

/** @param {string} name @returns {import('ably').ClientOptions} */
function attendee(name) {
  return {
    authCallback: (_, done) => {
      fetchToken(name).then((details) => done(null, details), (error) => done(error, null));
    },
  };
}

/**
 * By tokens, whose requests are signed with the server's time: this machine's clock may be wrong.
 * @param {string} name
 * @param {string} key
 */
const hosting = (name, key) => ({ key, useTokenAuth: true, clientId: name, queryTime: true });

/** @param {{ name: string, key?: string }} who */
export function connect({ name, key }) {
  const credentials = key ? hosting(name, key) : attendee(name);
  return new Ably.Realtime({
    ...place(), ...credentials, plugins: { LiveObjects: AblyLiveObjectsPlugin.LiveObjects },
    // Sooner than the SDK would: an event does not wait for who is cut off.
    disconnectedRetryTimeout: 3_000, suspendedRetryTimeout: 10_000,
  });
}

/** Channels on which hosts alone say something; some hosts keep the score, and no more. */
const STAGE = ['event:score', 'event:polls', 'event:stage', 'event:backstage'];

/** Whether the token says that its key is a host's. @param {Realtime} ably which is connected by it */
export function mayHost({ auth }) {
  const { capability } = /** @type {{ tokenDetails?: import('ably').TokenDetails }} */ (/** @type {unknown} */ (auth))
    .tokenDetails ?? {};
  if (!capability) return true;
  return Object.entries(JSON.parse(capability)).some(([of, operations]) =>
    STAGE.some((name) => of === name || (of.endsWith('*') && name.startsWith(of.slice(0, -1))))
      && ['*', 'publish', 'object-publish'].some((operation) => operations.includes(operation)));
}

/** One that publishes over HTTP, whatever becomes of the connection. @param {{ name: string, key?: string }} who */
export function restClient({ name, key }) {
  const credentials = key ? hosting(name, key) : attendee(name);
  return new Ably.Rest({ ...place(), ...credentials });
}
