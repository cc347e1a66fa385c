/** A reader of event streams: no more than HTTP, as curl has it. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { cannotComeBack } from './kills.mjs';

/** @typedef {{ id?: string, event?: string, data?: any, raw: string }} StreamEvent */

export class EventReader {
  /** Every event that came, also those already taken; blocks that are no events are left out. @type {StreamEvent[]} */
  events = [];
  /** The last id that came, with an event or without: where this reader would go on. */
  lastId = '';
  /** Comments, as they came. @type {string[]} */
  comments = [];
  ended = false;
  #taken = 0;
  #rest = '';
  /** @type {(() => void)[]} */
  #wake = [];
  /** @type {import('node:http').IncomingMessage} */
  response;
  /** @type {import('node:http').ClientRequest} */
  #request;
  /** @type {boolean} */
  #lines;

  /**
   * Resolves when the stream has begun, or was refused.
   * @param {{ url: string }} runtime
   * @param {Record<string, string>} query
   * @param {{ path?: string, headers?: Record<string, string>, method?: string }} [options]
   */
  static async open(runtime, query, { path = '/sse', headers = {}, method = 'GET' } = {}) {
    cannotComeBack();
    const request = http.request(`${runtime.url}${path}?${new URLSearchParams(query)}`, { headers, method, agent: false });
    request.end();
    const response = await new Promise((resolve, reject) => request.on('response', resolve).on('error', reject));
    return new EventReader(request, response, path === '/event-stream');
  }

  /**
   * @param {import('node:http').ClientRequest} request
   * @param {import('node:http').IncomingMessage} response
   * @param {boolean} lines
   */
  constructor(request, response, lines) {
    this.#request = request;
    this.response = response;
    this.#lines = lines;
    const end = () => {
      this.ended = true;
      this.#notify();
    };
    request.on('error', end);
    response.setEncoding('utf8').on('data', (text) => this.#take(text)).on('end', end).on('error', end).on('close', end);
  }

  get status() {
    return this.response.statusCode;
  }

  /** The body of a refusal. @returns {Promise<any>} */
  async refusal() {
    while (!this.ended) await this.#change();
    return JSON.parse(this.#rest).error;
  }

  /** The next event. @returns {Promise<StreamEvent>} */
  async next() {
    while (this.events.length === this.#taken) {
      if (this.ended) throw new Error('the stream has ended, and no more events came');
      await this.#change();
    }
    return this.events[this.#taken++];
  }

  /** The data of the messages of the next so many events. @param {number} count */
  async data(count) {
    const data = [];
    while (data.length < count) {
      const { event, data: message } = await this.next();
      assert.equal(event, 'message', JSON.stringify(message));
      data.push(message.data);
    }
    return data;
  }

  /** Resolves when the stream is attached: an id has come. */
  async attached() {
    while (!this.lastId) await this.#change();
    return this;
  }

  async end() {
    while (!this.ended) await this.#change();
  }

  /** Leaves without a word. */
  leave() {
    this.#request.destroy();
  }

  #take(/** @type {string} */ text) {
    const blocks = (this.#rest + text).split(this.#lines ? '\n' : '\n\n');
    this.#rest = /** @type {string} */ (blocks.pop());
    for (const block of blocks.filter((block) => block)) this.#lines ? this.#takeLine(block) : this.#takeBlock(block);
    this.#notify();
  }

  #takeLine(/** @type {string} */ raw) {
    const event = JSON.parse(raw);
    if (event.id) this.lastId = event.id;
    if (event.event) this.events.push({ ...event, raw });
  }

  /** As a browser reads them. */
  #takeBlock(/** @type {string} */ raw) {
    const fields = raw.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]);
    const of = (/** @type {string} */ name) => fields.filter(([known]) => known === name).map(([, value]) => value);
    this.comments.push(...of(''));
    const [id, event, data] = [of('id')[0], of('event')[0], of('data').join('\n')];
    if (id !== undefined) this.lastId = id;
    if (of('data').length === 0) return;
    this.events.push({ id, event, data: /^[{[]/.test(data) ? JSON.parse(data) : data, raw });
  }

  /** @returns {Promise<void>} */
  #change() {
    return new Promise((resolve) => { this.#wake.push(resolve); });
  }

  #notify() {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
