/**
 * A WebSocket client that is light enough for thousands in a process: texts only, nothing compressed, no ping of its
 * own. Node 20 has none, and Node's own keeps more for each.
 */
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { CONNECT_MS, FRAME_MAX_BYTES } from './limits.mjs';
import { NotOurs } from './request.mjs';

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const NOTHING = Buffer.alloc(0);

const NO_WEBSOCKET = 'it speaks no WebSocket';

/** Masking is for proxies that could be deceived by what a page sends; what we send is our own. */
const MASK = Buffer.alloc(4);

/**
 * @typedef {object} Hears
 * @property {(socket: Socket) => void} opened before any text, which may have come with the answer
 * @property {(bytes: Buffer) => void} text  bytes are valid within the call
 * @property {() => void} end
 */

export class Socket {
  #socket;
  /** What came and is no whole frame yet. @type {Buffer[]} */
  #waiting = [];
  #waitingBytes = 0;
  /** How many bytes the next step needs. */
  #needed = 2;
  /** Parts of a message that goes on. @type {Buffer[]} */
  #parts = [];
  #partsBytes = 0;
  #isOver = false;

  /**
   * @param {import('node:net').Socket} socket
   * @param {Hears} hears
   */
  constructor(socket, hears) {
    this.#socket = socket;
    this.hears = hears;
    socket.setNoDelay(true);
    socket.on('data', (bytes) => this.#take(bytes)).on('error', () => {}).on('close', () => this.#over());
  }

  /**
   * Connects. Fails when the server cannot be reached, and with {@link NotOurs} when it speaks no WebSocket.
   * @param {URL} url
   * @param {Record<string, string>} headers
   * @param {Hears} hears
   * @returns {Promise<void>} when it is open
   */
  static open(url, headers, hears) {
    return new Promise((resolve, reject) => {
      const key = randomBytes(16).toString('base64');
      const version = { 'sec-websocket-version': '13', 'sec-websocket-key': key };
      const request = (url.protocol === 'https:' ? https : http)
        .request(url, { headers: { ...headers, connection: 'Upgrade', upgrade: 'websocket', ...version }, agent: false,
          timeout: CONNECT_MS });
      const failed = (/** @type {Error} */ error) => { request.destroy(); reject(error); };
      request.on('error', failed).on('timeout', () => failed(new Error('it does not answer')))
        .on('response', ({ statusCode = 0 }) => failed(refusal(url, statusCode)))
        .on('upgrade', (response, socket, head) => {
          const expected = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
          if (response.headers['sec-websocket-accept'] !== expected) return failed(new NotOurs(url, NO_WEBSOCKET));
          socket.setTimeout(0);
          const opened = new Socket(/** @type {import('node:net').Socket} */ (socket), hears);
          hears.opened(opened);
          resolve();
          if (head.length > 0) opened.#take(head);
        }).end();
    });
  }

  /** @param {string} text */
  send(text) {
    this.#write(TEXT, Buffer.from(text));
  }

  /** Ends it without waiting for an answer. */
  close() {
    this.#write(CLOSE, NOTHING);
    this.#socket.destroySoon();
    this.#over();
  }

  /** @param {number} kind @param {Buffer} payload */
  #write(kind, payload) {
    if (this.#isOver) return;
    const { length } = payload;
    const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
    head[0] = 0x80 | kind;
    head[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127);
    if (head.length === 4) head.writeUInt16BE(length, 2);
    if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
    this.#socket.write(Buffer.concat([head, MASK, payload]));
  }

  #over() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.hears.end();
  }

  /** @param {Buffer} bytes */
  #take(bytes) {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes < this.#needed || this.#isOver) return;
    let left = this.#waiting.length === 1 ? bytes : Buffer.concat(this.#waiting);
    for (let frame = frameOf(left); ; frame = frameOf(left)) {
      this.#needed = frame.end;
      if (frame.end > FRAME_MAX_BYTES) return this.close();
      if (frame.end > left.length) break;
      this.#hear(left[0] ?? 0, left.subarray(frame.start, frame.end));
      left = left.subarray(frame.end);
    }
    this.#waiting = left.length > 0 ? [left] : [];
    this.#waitingBytes = left.length;
  }

  /** @param {number} first byte of its frame @param {Buffer} payload */
  #hear(first, payload) {
    const kind = first & 0x0f;
    if (kind === CLOSE) return this.close();
    if (kind === PING) return this.#write(PONG, payload);
    if (kind === PONG) return;
    const isLast = (first & 0x80) !== 0;
    if (isLast && this.#parts.length === 0) return this.hears.text(payload);
    this.#parts.push(Buffer.from(payload));
    this.#partsBytes += payload.length;
    if (this.#partsBytes > FRAME_MAX_BYTES) return this.close();
    if (!isLast) return;
    const whole = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#partsBytes = 0;
    this.hears.text(whole);
  }
}

/** Of those below 500, what a proxy answers that lets one in later. */
const MAY_PASS = [408, 425, 429];

/** A proxy whose server is away answers with an error, and not with a page. @param {URL} url @param {number} status */
function refusal(url, status) {
  if (status < 400) return new NotOurs(url, NO_WEBSOCKET);
  const how = `it answers with status ${status}`;
  return status < 500 && !MAY_PASS.includes(status) ? new NotOurs(url, how) : new Error(how);
}

/**
 * Where the payload of the first frame begins and ends; of one whose head is not there yet, how far that goes.
 * @param {Buffer} bytes
 */
function frameOf(bytes) {
  if (bytes.length < 2) return { start: 2, end: 2 };
  const short = (bytes[1] ?? 0) & 0x7f;
  if (short < 126) return { start: 2, end: 2 + short };
  const start = short === 126 ? 4 : 10;
  if (bytes.length < start) return { start, end: start };
  return { start, end: start + (short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))) };
}
