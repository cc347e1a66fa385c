/**
 * What the stage tells everyone: a LiveMap that hosts write and attendees read. Each entry is set by itself, so that
 * two hosts do not undo each other, and who comes late gets all of it.
 */

/**
 * @typedef {{ slide?: number, deck?: string, slow?: number, recall?: number, [muted: `muted:${string}`]: boolean }}
 * State
 */

export class SharedState {
  /** @type {State} */
  #now = {};
  /** @type {((state: State) => void)[]} */
  #listeners = [];
  #root;

  /** @param {import('ably').Realtime} ably @param {boolean} isHost */
  constructor(ably, isHost) {
    const modes = /** @type {import('ably').ChannelMode[]} */ (isHost ? ['object_subscribe', 'object_publish']
      : ['object_subscribe']);
    const channel = ably.channels.get('event:stage', { modes });
    this.#root = /** @type {Promise<any>} */ (channel.object.get());
    this.#root.then((root) => {
      const read = () => this.#tell(root.compactJson() ?? {});
      root.subscribe(read);
      read();
    }).catch(() => {});
  }

  get now() {
    return this.#now;
  }

  /** Calls with the state as it is, and whenever it changes. @param {(state: State) => void} listener */
  on(listener) {
    this.#listeners.push(listener);
    listener(this.#now);
  }

  /** @template {keyof State} K @param {K} name @param {State[K]} value */
  async set(name, value) {
    const root = await this.#root;
    await (value === undefined ? root.remove(name) : root.set(name, value));
  }

  /** @param {State} state */
  #tell(state) {
    this.#now = state;
    for (const listener of this.#listeners) listener(state);
  }
}
