/**
 * What the console asks the server: as whoever signed in, and for nothing that the API does not give everyone.
 *
 * The key or admin token is kept in the tab, and gone with it.
 */

const storage = 'courtside-console';

/** @typedef {{ key?: string, adminToken?: string }} Signed */

/** @returns {Signed | undefined} */
export function signed() {
  const text = sessionStorage.getItem(storage);
  return text ? JSON.parse(text) : undefined;
}

/** A key has a colon, an admin token none that stands behind a key's name. @param {string} secret */
export function signIn(secret) {
  const isKey = /^[\w-]+\.[\w-]+:/.test(secret);
  sessionStorage.setItem(storage, JSON.stringify(isKey ? { key: secret } : { adminToken: secret }));
}

export const signOut = () => sessionStorage.removeItem(storage);

export class Refused extends Error {
  /** @param {number} code @param {string} message */
  constructor(code, message) {
    super(`${message} (${code})`);
    this.code = code;
  }
}

/** @param {string} path @param {RequestInit} [init] @returns {Promise<Response>} */
export async function ask(path, init = {}) {
  const { key, adminToken } = signed() ?? {};
  const bytes = new TextEncoder().encode(key ?? '');
  // No header holds it, and no admin token has it.
  if (adminToken && /[^\x20-\x7e]/.test(adminToken)) throw new Refused(40101, 'this is no admin token');
  const authorization = key ? `Basic ${btoa(String.fromCharCode(...bytes))}` : `Bearer ${adminToken}`;
  const headers = { authorization, 'content-type': 'application/json', ...init.headers };
  const response = await fetch(path, { ...init, headers });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new Refused(error?.code ?? response.status, error?.message ?? response.statusText);
}

/** @param {string} path @param {RequestInit} [init] */
export async function json(path, init) {
  const response = await ask(path, init);
  return response.status === 204 ? undefined : response.json();
}

/** Samples of `/metrics` by name and labels. @returns {Promise<Map<string, number>>} */
export async function metrics() {
  const lines = (await (await ask('/metrics')).text()).split('\n').filter((line) => line && !line.startsWith('#'));
  return new Map(lines.map((line) => {
    const space = line.lastIndexOf(' ');
    return [line.slice(0, space), Number(line.slice(space + 1))];
  }));
}

const minuteMs = 60_000;

/**
 * What the statistics of the last hour have, by minute: see {@link minutes}.
 * @returns {Promise<Map<string, Record<string, number>>>}
 */
export async function lastHour() {
  /** @type {{ intervalId: string, entries: Record<string, number> }[]} */
  const items = await json(`/stats?limit=61&start=${Math.floor(Date.now() / minuteMs - 60) * minuteMs}`);
  return new Map(items.map((item) => [item.intervalId, item.entries]));
}

/**
 * The minutes of the last hour, oldest first, those too in which nothing was done. Others are forgotten.
 * @param {Map<string, Record<string, number>>} known
 */
export function* minutes(known) {
  const now = Math.floor(Date.now() / minuteMs);
  const ids = Array.from({ length: 61 }, (_, index) =>
    new Date((now - 60 + index) * minuteMs).toISOString().slice(0, 16).replace('T', ':'));
  for (const id of known.keys()) if (id < ids[0]) known.delete(id);
  for (const id of ids) yield known.get(id) ?? {};
}
