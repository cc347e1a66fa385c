/** What a clientId says: who it is, and whether the event let it in as an attendee (`name~mark`) or it is a host. */

/** @param {string | undefined} clientId */
export const isHost = (clientId) => Boolean(clientId) && !String(clientId).includes('~');

/** @param {string | undefined} clientId @param {string} nobody */
export const nameOf = (clientId, nobody) => (clientId ? String(clientId).replace(/~[^~]*$/u, '') : nobody);

/**
 * The name that someone wrote, as the server takes it: without what no screen shows, and without the sign before the
 * mark. Empty where nothing is left that can be read.
 * @param {string} written
 */
export function nameFrom(written) {
  const name = written.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').replace(/[\p{Cs}~]/gu, '').trim();
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(name) ? name : '';
}

/** What stays the same when an attendee comes with another name. @param {string | undefined} clientId */
export const markOf = (clientId) => String(clientId ?? '').split('~')[1] ?? '';

/** One of six hues, always the same for one person. @param {string | undefined} clientId */
export function hueOf(clientId) {
  let sum = 0;
  for (const letter of clientId ?? '') sum = (sum * 31 + letter.charCodeAt(0)) % 997;
  return sum % 6;
}
