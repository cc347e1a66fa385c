/** A channel's objects as a reader of an event stream holds them, by the rules of docs/protocol.md §§ 14 and 19. */

/** @typedef {import('./event_reader.mjs').EventReader} EventReader */

export class StreamedObjects {
  /** @type {Map<string, any>} */
  #objects = new Map();
  /** @type {string | undefined} */
  #sync;
  /** What came amid a sync. @type {any[] | undefined} */
  #waiting = [];
  /** Pages of the last sync, and all operations that came. */
  pages = 0;
  operations = 0;

  #channel;

  /** @param {string} channel as the stream names it */
  constructor(channel) {
    this.#channel = channel;
  }

  get isSynced() {
    return this.#waiting === undefined;
  }

  /**
   * Takes events until it holds this. Gives the data of the messages among them.
   * @param {EventReader} reader @param {unknown} wanted
   */
  async until(reader, wanted) {
    const [text, messages] = [JSON.stringify(wanted), /** @type {any[]} */ ([])];
    while (!this.isSynced || JSON.stringify(this.tree()) !== text) {
      const event = await reader.next();
      if (event.data.channel !== this.#channel) continue;
      if (event.event === 'message') messages.push(event.data.data);
      else this.take(event);
    }
    return messages;
  }

  /** @param {import('./event_reader.mjs').StreamEvent} event */
  take({ event, data }) {
    if (event === 'object_sync') return this.#page(data);
    if (event !== 'object') throw new Error(`${event} is no event of objects`);
    this.operations++;
    if (this.#waiting) this.#waiting.push(data);
    else this.#apply(data);
  }

  /** @param {{ sync: string, last: boolean, state: any[] }} page */
  #page({ sync, last, state }) {
    if (sync !== this.#sync) [this.#sync, this.#waiting, this.pages] = [sync, [], 0];
    if (this.pages === 0) this.#objects.clear();
    this.pages++;
    for (const { object } of state) {
      const known = this.#objects.get(object.objectId);
      if (known) Object.assign(known.map.entries, object.map.entries);
      else this.#objects.set(object.objectId, object);
    }
    if (!last) return;
    this.#waiting?.forEach((operation) => this.#apply(operation));
    this.#waiting = undefined;
  }

  /** @param {{ serial: string, operation: any }} message */
  #apply({ serial, operation }) {
    const { objectId, mapCreate, mapSet, mapRemove, mapClear, counterCreate, counterInc, objectDelete } = operation;
    const empty = objectId === 'root' || objectId.startsWith('map:') ? { map: { entries: {} } } : { counter: { count: 0 } };
    const object = this.#objects.get(objectId) ?? { objectId, siteTimeserials: {}, ...empty };
    if (serial <= (object.siteTimeserials.main ?? '')) return;
    object.siteTimeserials.main = serial;
    this.#objects.set(objectId, object);
    if (mapSet) object.map.entries[mapSet.key] = { data: mapSet.value };
    if (mapRemove) delete object.map.entries[mapRemove.key];
    if (mapClear) object.map.entries = {};
    if (mapCreate && !object.createOp) object.map.entries = { ...mapCreate.entries, ...object.map.entries };
    if (counterCreate && !object.createOp) object.counter.count += counterCreate.count ?? 0;
    if (counterInc) object.counter.count += counterInc.number;
    if (mapCreate || counterCreate) object.createOp = operation;
    if (objectDelete) object.tombstone = true;
  }

  /** What can be reached, with keys in order. @returns {any} */
  tree(id = 'root') {
    const object = this.#objects.get(id);
    if (!object || object.tombstone) return undefined;
    if (object.counter) return object.counter.count;
    const there = Object.entries(object.map.entries).filter(([, entry]) => !entry.tombstone);
    const shown = there.map(([key, { data }]) => [key, data.objectId ? this.tree(data.objectId) : Object.values(data)[0]]);
    return Object.fromEntries(shown.filter(([, value]) => value !== undefined).sort(([one], [other]) => (one < other ? -1 : 1)));
  }
}
