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
  #channel;
  /** @type {Promise<any> | undefined} */
  #root;

  /** @param {import('ably').Realtime} ably @param {boolean} isHost */
  constructor(ably, isHost) {
    const modes = /** @type {import('ably').ChannelMode[]} */ (isHost ? ['object_subscribe', 'object_publish']
      : ['object_subscribe']);
    this.#channel = ably.channels.get('event:stage', { modes });
    // An attach that fails may succeed later: when the SDK tries again, or the connection comes back.
    this.#channel.on('attached', () => void this.#open().catch(() => {}));
    void this.#open().catch(() => {});
  }

  /** Attaches, and reads from then on; one that failed is begun anew. */
  #open() {
    this.#root ??= this.#read().catch((error) => {
      this.#root = undefined;
      throw error;
    });
    return this.#root;
  }

  async #read() {
    const root = /** @type {any} */ (await this.#channel.object.get());
    const read = () => this.#tell(root.compactJson() ?? {});
    root.subscribe(read);
    read();
    return root;
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
    const root = await this.#open();
    await (value === undefined ? root.remove(name) : root.set(name, value));
  }

  /** @param {State} state */
  #tell(state) {
    this.#now = state;
    for (const listener of this.#listeners) listener(state);
  }
}
