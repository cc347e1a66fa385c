/** A client of the wire itself: sends what no SDK would, and hears every frame. */
import assert from 'node:assert/strict';
import { cannotComeBack } from './kills.mjs';
import { decode, encode } from './msgpack.mjs';

/** Actions of protocol frames that these tests name. */
export const action = {
  HEARTBEAT: 0, ACK: 1, NACK: 2, CONNECTED: 4, DISCONNECT: 5, DISCONNECTED: 6, CLOSE: 7, CLOSED: 8, ERROR: 9, ATTACH: 10,
  ATTACHED: 11, DETACH: 12, DETACHED: 13, PRESENCE: 14, MESSAGE: 15, PING: 22, PONG: 23,
};

/** @typedef {Record<string, any> & { action: number }} Frame */

export class RawClient {
  /** Every frame that came, also those already taken. @type {Frame[]} */
  heard = [];
  #taken = 0;
  /** @type {(() => void) | undefined} */
  #wake;
  /** @type {CloseEvent | undefined} */
  end;
  #msgpack;
  #socket;

  /**
   * @param {{ url: string }} runtime
   * @param {Record<string, string>} [query]
   */
  constructor(runtime, query = {}) {
    cannotComeBack();
    const url = `${runtime.url.replace('http', 'ws')}/?${new URLSearchParams(query)}`;
    this.#msgpack = query.format === 'msgpack';
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onmessage = ({ data }) => {
      assert.equal(typeof data === 'string', !this.#msgpack, 'frames come in the format of the connection');
      this.heard.push(typeof data === 'string' ? JSON.parse(data) : decode(new Uint8Array(data)));
      this.#wake?.();
    };
    this.#socket.onclose = (event) => {
      this.end = event;
      this.#wake?.();
    };
  }

  /** The next frame, whatever it is. @returns {Promise<Frame>} */
  async any() {
    while (this.heard.length === this.#taken) {
      if (this.end) throw new Error(`the socket is closed (${this.end.code}), and no more frames came`);
      await this.#change();
    }
    return this.heard[this.#taken++];
  }

  /** The next frame that is no heartbeat of the server's own. @returns {Promise<Frame>} */
  async next() {
    const frame = await this.any();
    return frame.action === action.HEARTBEAT && !frame.id ? this.next() : frame;
  }

  /** The next frame, which must be of this action. @param {number} wanted */
  async expect(wanted) {
    const frame = await this.next();
    assert.equal(frame.action, wanted, JSON.stringify(frame));
    return frame;
  }

  /** Resolves with the status of the close, once it is closed and no frame is left. */
  async closed() {
    while (!this.end) await this.#change();
    assert.deepEqual(this.heard.slice(this.#taken), []);
    return this.end.code;
  }

  /** @param {object} frame */
  send(frame) {
    this.#socket.send(this.#msgpack ? encode(frame) : JSON.stringify(frame));
  }

  /** Text or bytes as they are. @param {string | Uint8Array<ArrayBuffer>} data */
  sendRaw(data) {
    this.#socket.send(data);
  }

  /** @returns {Promise<void>} until a frame comes or the socket closes */
  #change() {
    return new Promise((resolve) => { this.#wake = resolve; });
  }

  /** Ends without saying so. */
  close() {
    this.#socket.close();
  }
}
