/**
 * What a host has the server refuse: messages of the muted, and those that come too soon in slow mode. Both are bans
 * that let the client go on reading, made with the host's key, which may administer the channels of the event.
 */
import { rowButton } from './dom.js';
import { NAMES } from './names.js';
import { markOf } from './people.js';
import { text } from './strings.js';
import { TYPING } from './typing.js';

/** @typedef {import('./main.js').Context} Context */

/** Where the muted say nothing, not by a name either, nor that they type. They go on to vote in polls. */
const SPOKEN = ['event:chat', 'event:room:*', 'event:questions', NAMES, TYPING];
/** Whom slow mode is for: all but hosts, who may delete what others say. */
const EVERYONE = '*';

export class Moderation {
  #key;

  /** @param {string} key */
  constructor(key) {
    this.#key = key;
  }

  /** @param {string} mark of a seat, whatever names it takes @param {boolean} isMuted */
  async mute(mark, isMuted) {
    for (const channels of SPOKEN) await this.#keep(channels, `*~${mark}`, isMuted ? 0 : undefined);
  }

  /** @param {string} channel @param {number} seconds between two messages of one client; 0 to end it */
  slow(channel, seconds) {
    return this.#keep(channel, EVERYONE, seconds > 0 ? seconds * 1_000 : undefined);
  }

  /** @param {string} channel @param {string} clientId @param {number | undefined} publishInterval */
  async #keep(channel, clientId, publishInterval) {
    const path = `/apps/${this.#key.split('.')[0]}/bans`;
    const ban = { clientId, channel };
    const response = publishInterval === undefined
      ? await this.#ask('DELETE', `${path}?${new URLSearchParams(ban)}`)
      : await this.#ask('POST', path, JSON.stringify({ ...ban, publishInterval }));
    // One that is not there need not be lifted.
    if (response.ok || (response.status === 404 && publishInterval === undefined)) return;
    const { error } = await response.json();
    throw Object.assign(new Error(error.message), error);
  }

  /** @param {string} method @param {string} address @param {string} [body] */
  #ask(method, address, body) {
    const headers = { authorization: `Basic ${btoa(this.#key)}`, 'content-type': 'application/json' };
    return fetch(address, { method, headers, ...(body && { body }) });
  }
}

/** @param {Context['shared']} shared @param {string} clientId */
export const isMuted = (shared, clientId) => Boolean(shared.now[`muted:${markOf(clientId)}`]);

/** Tells one state's mutes from another's. @param {Context['shared']['now']} state */
export const mutesOf = (state) => JSON.stringify(Object.entries(state).filter(([name]) => name.startsWith('muted:')));

/**
 * What a host mutes an author with, or lets speak again.
 * @param {Context} context @param {string} clientId @param {string} row what it stands beside
 */
export function muteButton({ role, shared, attempt, moderation }, clientId, row) {
  const mark = markOf(clientId);
  const muted = isMuted(shared, clientId);
  const mute = () => attempt(async () => {
    await moderation?.mute(mark, !muted);
    await shared.set(`muted:${mark}`, !muted);
  }, `mute ${!muted} ${mark}`);
  return role === 'host' && mark !== ''
    && rowButton(muted ? text.chat.unmute : text.chat.mute, row, mute, { class: 'link', 'data-does': 'mute' });
}
