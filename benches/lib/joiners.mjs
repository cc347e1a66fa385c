/**
 * A process of late joiners: connects so many, attaches all at once when it is told to, and says when each had the set.
 *
 * They get the presence set, or with `objects` as the last argument the objects. They read frames from the TCP
 * stream and look at their beginnings only: a thousand that parse the set of twenty thousand would take most of the
 * time that they measure. The first counts members; each other must get as many bytes of SYNC as it does. Some listen
 * to messages too, as `data` a time of the monotonic clock, which processes share.
 */
import net from 'node:net';
import { randomBytes } from 'node:crypto';

const [ATTACH, ATTACHED, MESSAGE] = [10, 11, 15];
/** The action of its pages, the mode that asks for it, and what each member or entry has once. */
const [SYNC, mode, name] = process.argv[5] === 'objects' ? [20, 'object_subscribe', '"timeserial"'] : [16, 'presence_subscribe', '"clientId"'];
/** Of a frame, what is looked at. */
const headBytes = 16_384;
const shared = Buffer.alloc(1 << 20);

export const now = () => Number(process.hrtime.bigint()) / 1e6;

class Joiner {
  members = 0;
  bytes = 0;
  messages = 0;
  slowest = 0;
  syncedAt = 0;
  #counts;
  #opened = false;
  /** What came of a header that is not whole yet. */
  #header = Buffer.alloc(0);
  #left = 0;
  #length = 0;
  #head = Buffer.alloc(headBytes);
  #tail = Buffer.alloc(0);
  /** @type {(joiner: Joiner) => void} */
  #synced = () => {};

  /** @param {URL} url @param {boolean} listens @param {boolean} counts @param {() => void} opened */
  constructor(url, listens, counts, opened) {
    this.listens = listens;
    this.#counts = counts;
    this.opened = opened;
    this.socket = net.connect({
      host: url.hostname, port: Number(url.port),
      onread: { buffer: shared, callback: (length, buffer) => { this.#take(/** @type {Buffer} */ (buffer).subarray(0, length)); return true; } },
    });
    this.socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n`
      + `sec-websocket-version: 13\r\nsec-websocket-key: ${randomBytes(16).toString('base64')}\r\n\r\n`);
    this.socket.on('error', (error) => { throw error; });
  }

  attach() {
    this.#send({ action: ATTACH, channel: 'crowd', params: { modes: this.listens ? `subscribe,${mode}` : mode } });
    return new Promise((resolve) => { this.#synced = resolve; });
  }

  /** Masked with zeros, which the protocol allows. @param {object} frame */
  #send(frame) {
    const text = Buffer.from(JSON.stringify(frame));
    this.socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
  }

  /** @param {Buffer} bytes */
  #take(bytes) {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const end = Math.min(bytes.length, at + this.#left);
        const seen = this.#length - this.#left;
        if (seen < headBytes) bytes.copy(this.#head, seen, at, end);
        if (this.#counts) this.#count(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#frame();
        continue;
      }
      const header = Buffer.concat([this.#header, bytes.subarray(at)]);
      const [size, length] = this.#opened ? frameHeader(header) : [header.indexOf('\r\n\r\n') + 4, 0];
      if (size > header.length || size < 4 && !this.#opened) {
        this.#header = header;
        return;
      }
      at += size - this.#header.length;
      this.#header = Buffer.alloc(0);
      this.#length = this.#left = length;
      if (!this.#opened) {
        this.#opened = true;
        this.opened();
      }
    }
  }

  /** Members or entries, also one that the stream cuts in two. @param {Buffer} bytes */
  #count(bytes) {
    const all = Buffer.concat([this.#tail, bytes]);
    let at = -1;
    while ((at = all.indexOf(name, at + 1)) >= 0) this.members++;
    this.#tail = Buffer.from(all.subarray(Math.max(0, all.length - name.length + 1)));
  }

  #frame() {
    const head = this.#head.toString('latin1', 0, Math.min(this.#length, headBytes));
    const action = Number(/^\{"action":(\d+)/.exec(head)?.[1]);
    if (action === SYNC) {
      this.bytes += this.#length;
      if (/"channelSerial":"[^"]*:"/.test(head)) {
        this.syncedAt = now();
        this.#synced(this);
      }
    } else if (action === MESSAGE) {
      for (const [, sent] of head.matchAll(/"data":"([\d.]+)"/g)) {
        this.messages++;
        this.slowest = Math.max(this.slowest, now() - Number(sent));
      }
    } else if (action === ATTACHED && this.#counts) {
      this.members = 0;
    }
  }
}

/** The bytes of a frame's header, too many while it is not whole, and of its payload. @param {Buffer} bytes */
function frameHeader(bytes) {
  const short = bytes.length < 2 ? 0 : bytes[1] & 127;
  const size = bytes.length < 2 ? 2 : { 126: 4, 127: 10 }[short] ?? 2;
  if (bytes.length < size) return [size, 0];
  return [size, size === 2 ? short : size === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))];
}

if (process.send && process.argv[1] === import.meta.filename) {
  const [url, count, listening] = process.argv.slice(2);
  /** @type {Joiner[]} */
  const joiners = [];
  // Some at a time: the runtime takes so many handshakes, and no more.
  while (joiners.length < Number(count)) {
    await Promise.all(Array.from({ length: Math.min(100, Number(count) - joiners.length) }, () => new Promise((resolve) => {
      const index = joiners.length;
      joiners.push(new Joiner(new URL(url), index > 0 && index <= Number(listening), index === 0, () => resolve(null)));
    })));
  }
  process.send('ready');
  process.once('message', async () => {
    const [began, cpu] = [now(), process.cpuUsage()];
    await Promise.all(joiners.map((joiner) => joiner.attach()));
    const { user, system } = process.cpuUsage(cpu);
    const took = joiners.map((joiner) => joiner.syncedAt - began).sort((a, b) => a - b);
    process.send?.({
      first: took[0], median: took[took.length >> 1], last: took.at(-1), members: joiners[0].members,
      unlike: joiners.filter((joiner) => joiner.bytes !== joiners[0].bytes).length, bytes: joiners[0].bytes,
      messages: joiners.reduce((sum, joiner) => sum + joiner.messages, 0),
      slowest: Math.max(...joiners.map((joiner) => joiner.slowest)), cpu: (user + system) / 1e6,
    });
    process.exit();
  });
}
