/**
 * The messages of one channel, as they are now: each once, in the channel's order, with what was changed, deleted and
 * annotated since. Reads the history when it attaches, and again after a gap.
 */

/** @typedef {import('ably').InboundMessage} Message */
/**
 * @typedef {object} Entry
 * @property {string} key the message's serial
 * @property {number} version counts its changes
 * @property {string} clientId of its author; empty for nobody
 * @property {string} changedBy who changed it last
 * @property {string} name
 * @property {any} data
 * @property {number} at
 * @property {boolean} deleted
 * @property {boolean} edited
 * @property {Record<string, any>} summary of its annotations, by type
 * @property {boolean} live whether it came as it was published
 */

/** How many are kept in a page: what an hour of a lively chat brings. */
const ENTRIES_MAX = 2_000;
/** How many are read when it begins. */
const HISTORY = 100;
/** A page after a gap, where all that is kept here is read again: as many as the server gives at once. */
const GAP_HISTORY = 1_000;
/** How long to wait, at least, before a reading that failed is begun anew. */
const AGAIN_MS = 2_000;

export class Log {
  /** @type {Map<string, Entry & { versionSerial: string }>} */
  #entries = new Map();
  /** @type {Entry[] | undefined} */
  #sorted = [];
  /** @type {import('ably').PaginatedResult<Message> | null} */
  #page = null;
  /** How often it was read: what an earlier reading brings no longer counts. */
  #loads = 0;
  /** Pages that are under way, and what was told of messages meanwhile: it is newer than what they bring. */
  #reading = 0;
  /** @type {Map<string, Record<string, any>>} */
  #told = new Map();
  #changed;
  #first;
  channel;

  /**
   * @param {import('ably').RealtimeChannel} channel @param {(log: Log, entry?: Entry) => void} changed
   * @param {number} [first] how many are read when it begins
   */
  constructor(channel, changed, first = HISTORY) {
    this.channel = channel;
    this.#changed = changed;
    this.#first = first;
    channel.on(['attached', 'update'], (change) => {
      if (!change.resumed) void this.#load();
    });
    channel.subscribe((message) => this.#take(message, true)).catch(() => {});
    // That of a room is, since it shows who is in there.
    if (channel.state === 'attached') void this.#load();
  }

  /** In order. @returns {Entry[]} */
  get entries() {
    this.#sorted ??= [...this.#entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    return this.#sorted;
  }

  /** Whether the server keeps more than is here. */
  get hasEarlier() {
    return Boolean(this.#page?.hasNext()) && this.#entries.size < ENTRIES_MAX;
  }

  async earlier() {
    const load = this.#loads;
    await this.#read(async () => this.#page?.next(), load);
    this.#changed(this);
  }

  /**
   * A page, if nothing has begun anew meanwhile.
   * @param {() => Promise<import('ably').PaginatedResult<Message> | null | undefined>} ask @param {number} load
   */
  async #read(ask, load) {
    this.#reading++;
    try {
      const page = await ask() ?? null;
      if (load !== this.#loads) return null;
      this.#page = page;
      page?.items.forEach((message) => this.#take(message, false));
      return page;
    } finally {
      if (--this.#reading === 0) this.#told.clear();
    }
  }

  /**
   * Reads the newest, and all that is here already: what was changed or deleted in a gap may be as old as the oldest.
   * What the server does not have any more goes.
   */
  async #load() {
    const load = ++this.#loads;
    // Of what was before the gap.
    this.#told.clear();
    const before = this.entries.map(({ key }) => key);
    const [oldest] = before;
    const kept = new Set();
    try {
      const limit = before.length > HISTORY ? GAP_HISTORY : this.#first;
      let page = await this.#read(() => this.channel.history({ limit }), load);
      while (page) {
        for (const { serial } of page.items) kept.add(serial);
        const last = page.items.at(-1)?.serial;
        const isWhole = oldest === undefined || (last !== undefined && last <= oldest);
        if (isWhole || kept.size >= ENTRIES_MAX || !page.hasNext()) break;
        page = await this.#read(page.next.bind(page), load);
      }
      if (load === this.#loads) this.#drop(before.filter((key) => !kept.has(key)));
    } catch (error) {
      this.#again(load, /** @type {import('ably').ErrorInfo} */ (error));
    }
    this.#changed(this);
  }

  /**
   * Where the connection went, the next attach reads it; and what is not allowed now will not be later.
   * @param {number} load @param {import('ably').ErrorInfo} error
   */
  #again(load, { statusCode = 500 }) {
    if (statusCode < 500 && statusCode !== 429) return;
    // Not all of a crowd at once.
    setTimeout(() => {
      if (load === this.#loads && this.channel.state === 'attached') void this.#load();
    }, AGAIN_MS * (1 + Math.random()));
  }

  /** @param {Message} message @param {boolean} live */
  #take(message, live) {
    const key = message.serial;
    if (!key) return;
    const known = this.#entries.get(key);
    const entry = known ?? {
      key, version: 0, versionSerial: '', clientId: message.clientId ?? '', changedBy: '', name: message.name ?? '',
      data: undefined, at: message.timestamp ?? 0, deleted: false, edited: false, summary: {}, live,
    };
    const summary = (live ? undefined : this.#told.get(key)) ?? message.annotations?.summary;
    if (live && summary && this.#reading > 0) this.#told.set(key, summary);
    if (summary) entry.summary = summary;
    if (message.action !== 'message.summary') change(entry, message);
    entry.version++;
    // A summary of what is not here says nothing of who wrote it: the history does.
    if (!known && message.action === 'message.summary') return;
    this.#entries.set(key, entry);
    this.#sorted = known ? this.#sorted : this.#appended(entry);
    this.#bound();
    if (live) this.#changed(this, entry);
  }

  /** Most come at the end: then nothing is sorted anew. @param {Entry} entry */
  #appended(entry) {
    const last = this.#sorted?.at(-1);
    if (!this.#sorted || (last && last.key > entry.key)) return undefined;
    this.#sorted.push(entry);
    return this.#sorted;
  }

  #bound() {
    if (this.#entries.size <= ENTRIES_MAX) return;
    this.#drop(this.entries.slice(0, ENTRIES_MAX / 10).map(({ key }) => key));
  }

  /** @param {string[]} keys */
  #drop(keys) {
    for (const key of keys) this.#entries.delete(key);
    this.#sorted = undefined;
  }
}

/** @param {Entry & { versionSerial: string }} entry @param {Message} message */
function change(entry, message) {
  const version = message.version?.serial ?? message.serial ?? '';
  if (version < entry.versionSerial) return;
  const isFirst = version === message.serial;
  entry.versionSerial = version;
  entry.changedBy = isFirst ? '' : message.version?.clientId ?? '';
  entry.deleted = message.action === 'message.delete';
  entry.edited = !isFirst && !entry.deleted;
  entry.data = message.data;
}
