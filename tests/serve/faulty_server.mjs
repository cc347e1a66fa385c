/** A server that speaks just enough to be loaded, and makes the mistakes that it is told to make. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';

/** @typedef {import('node:net').Socket} Socket */

/**
 * @typedef {object} Faults
 * @property {(message: object, index: number) => object[]} [deliver] what viewers get when a message comes
 * @property {(index: number) => boolean} [refuse] whether it is not acknowledged but refused
 * @property {(index: number) => boolean} [cut] whether viewers lose their connections before it
 * @property {(text: string) => Buffer[]} [write] how a frame goes out
 */

/**
 * @param {import('node:test').TestContext} t
 * @param {Faults} faults
 */
export async function faultyServer(t, faults) {
  const server = http.createServer((_, response) => response.end('[0]')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const relay = new Relay(faults);
  server.on('upgrade', (request, socket) => relay.connect(request, /** @type {Socket} */ (socket)));
  t.after(() => { server.close(); relay.viewers.forEach((viewer) => viewer.destroy()); });
  return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`;
}

class Relay {
  /** @type {Set<Socket>} */
  viewers = new Set();
  #count = 0;
  #serial = 0;

  /** @param {Faults} faults */
  constructor({ deliver = (message) => [message], refuse = () => false, cut = () => false, write = whole }) {
    this.faults = { deliver, refuse, cut, write };
  }

  /** @param {http.IncomingMessage} request @param {Socket} socket */
  connect(request, socket) {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    const headers = ['upgrade: websocket', 'connection: upgrade', `sec-websocket-accept: ${accept}`];
    const head = `HTTP/1.1 101 Switching Protocols\r\n${headers.join('\r\n')}\r\n\r\n`;
    // With the first frame in the same packet.
    socket.write(Buffer.concat([Buffer.from(head), ...whole(JSON.stringify({ action: 4, connectionId: 'x' }))]));
    let rest = Buffer.alloc(0);
    socket.on('error', () => {}).on('close', () => this.viewers.delete(socket)).on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (let frame = unmasked(rest); frame; frame = unmasked(rest)) {
        rest = rest.subarray(frame.end);
        if (frame.text) this.#hear(socket, JSON.parse(frame.text));
      }
    });
  }

  /** @param {Socket} socket @param {any} frame */
  #hear(socket, { action, channel, channelSerial, msgSerial, messages }) {
    if (action === 10) {
      this.viewers.add(socket);
      this.#send(socket, { action: 11, channel, channelSerial: channelSerial ?? this.#next() });
    }
    if (action !== 15) return;
    const index = this.#count++;
    const { deliver, refuse, cut } = this.faults;
    if (refuse(index)) {
      const error = { code: 42911, statusCode: 429, message: 'too fast' };
      return this.#send(socket, { action: 2, msgSerial, count: 1, error });
    }
    if (cut(index)) for (const viewer of this.viewers) viewer.destroy();
    for (const message of deliver(messages[0], index)) {
      const frame = { action: 15, channel, channelSerial: this.#next(), messages: [message] };
      for (const viewer of this.viewers) this.#send(viewer, frame);
    }
    this.#send(socket, { action: 1, msgSerial, count: 1 });
  }

  #next() {
    return String(this.#serial++).padStart(14, '0');
  }

  /** @param {Socket} socket @param {object} frame */
  #send(socket, frame) {
    for (const bytes of this.faults.write(JSON.stringify(frame))) socket.write(bytes);
  }
}

/** @param {number} first byte @param {Buffer} payload */
export function frame(first, payload) {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = first;
  head[1] = length < 126 ? length : length < 65_536 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

/** @param {string} text */
export const whole = (text) => [frame(0x81, Buffer.from(text))];

/** The first frame of a client, if it is all there. @param {Buffer} bytes */
function unmasked(bytes) {
  if (bytes.length < 2) return undefined;
  const short = (bytes[1] ?? 0) & 0x7f;
  const start = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < start) return undefined;
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  const end = start + 4 + length;
  if (bytes.length < end) return undefined;
  const mask = bytes.subarray(start, start + 4);
  const payload = bytes.subarray(start + 4, end).map((byte, at) => byte ^ (mask[at % 4] ?? 0));
  return { end, text: ((bytes[0] ?? 0) & 0x0f) === 1 ? Buffer.from(payload).toString() : '' };
}
