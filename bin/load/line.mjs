/** A connection that comes back by itself, for viewers and publishers alike (docs/protocol.md §§ 3–6). */
import { setTimeout as pause } from 'node:timers/promises';
import { NotOurs, Refused } from '../client/request.mjs';
import { Socket } from '../client/socket.mjs';
import { COMES_BACK_MAX_MS, COMES_BACK_MS, SIGN_OF_LIFE_BYTES } from '../client/limits.mjs';

export const action = {
  heartbeat: 0, ack: 1, nack: 2, connected: 4, disconnected: 6, error: 9, attach: 10, attached: 11, detached: 13,
  message: 15,
};

/** @typedef {{ action: number } & Record<string, any>} Frame */

export class Line {
  /** Connections after the first. */
  returns = 0;
  /** Whether the server has let it in. */
  isUp = false;
  #isClosed = false;
  /** @type {Socket | undefined} */
  #socket;
  #unheardBytes = 0;
  #place;
  #query;

  /**
   * @param {import('../client/place.mjs').Place} place
   * @param {Record<string, string>} query
   * @param {(bytes: Buffer) => Frame} read
   * @param {(frame: Frame) => void} hear
   */
  constructor(place, query, read, hear) {
    this.#place = place;
    this.#query = query;
    this.read = read;
    this.hear = hear;
  }

  /** Goes on until it is closed. Fails when the server refuses it for good, or is none of ours. */
  async run() {
    for (let wait = COMES_BACK_MS; !this.#isClosed; wait = Math.min(wait * 2, COMES_BACK_MAX_MS)) {
      const refused = await this.#once();
      if (this.#isClosed) return;
      if (refused instanceof NotOurs) throw refused;
      if (refused && !refused.passes && !isOfTransport(refused)) throw refused;
      // Nobody waits for it when the run is over.
      await pause(wait * (0.5 + Math.random()), undefined, { ref: false });
      this.returns += 1;
    }
  }

  /** @param {object} frame */
  send(frame) {
    this.#unheardBytes = 0;
    this.#socket?.send(JSON.stringify(frame));
  }

  close() {
    this.#isClosed = true;
    this.#socket?.close();
  }

  /** Nothing where it is no frame. @param {Buffer} bytes */
  #frame(bytes) {
    try {
      return this.read(bytes);
    } catch {
      return undefined;
    }
  }

  /** One transport, until it ends. @returns {Promise<Refused | NotOurs | undefined>} why the server ended it */
  async #once() {
    const url = this.#place.at('/', { v: '4', ...this.#query });
    /** @type {Refused | NotOurs | undefined} */
    let refused;
    const ended = /** @type {{ promise: Promise<void>, resolve: () => void }} */ ({});
    ended.promise = new Promise((resolve) => { ended.resolve = resolve; });
    const text = (/** @type {Buffer} */ bytes) => {
      const frame = this.#frame(bytes);
      if (!frame) {
        refused = new NotOurs(url);
        this.#socket?.close();
        return;
      }
      this.#unheardBytes += bytes.length;
      // Else the server takes a client that only listens for one that does not read.
      if (this.#unheardBytes > SIGN_OF_LIFE_BYTES) this.send({ action: action.heartbeat });
      if (frame.error && [action.disconnected, action.error].includes(frame.action)) {
        const { channel, error } = frame;
        refused = new Refused(error.statusCode, channel ? { ...error, message: `${channel}: ${error.message}` } : error);
        // Of its one channel: the connection alone is of no use.
        if (channel) this.#socket?.close();
        return;
      }
      if (frame.action === action.connected) this.isUp = true;
      this.hear(frame);
    };
    try {
      const opened = (/** @type {Socket} */ socket) => { this.#socket = socket; };
      await Socket.open(url, this.#place.headers, { opened, text, end: ended.resolve });
      if (this.#isClosed) this.#socket?.close();
      await ended.promise;
      return refused;
    } catch (error) {
      if (error instanceof NotOurs) return error;
      const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
      if (code === 'EMFILE') throw new Error('this process may open no more connections: raise the limit, ulimit -n');
      return new Refused(503, { code: 50003, message: `${url.origin} cannot be reached: ${code ?? message}` });
    } finally {
      this.isUp = false;
      this.#socket = undefined;
    }
  }
}

/** What ends a transport and asks its client to come back. @param {Refused} refused */
const isOfTransport = ({ code }) => [80003, 80008, 80018].includes(code);
