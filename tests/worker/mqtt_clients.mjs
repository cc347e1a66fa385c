/** Clients of MQTT: the usual one, and one that says packets as a test spells them. */
import mqtt from 'mqtt';
import packets from 'mqtt-packet';
import { cannotComeBack } from './kills.mjs';

/** @typedef {import('./runtime.mjs').Runtime} Runtime */
/** @typedef {Pick<import('node:test').TestContext, 'after'>} Scope who closes what it opened */
/** @typedef {{ topic: string, text: string, packet: import('mqtt').IPublishPacket }} Got */

export const versions = /** @type {const} */ ([
  { version: '3.1.1', protocolVersion: 4 },
  { version: '5', protocolVersion: 5 },
]);

/** An app whose keys may do little, beside the one that may do everything, and a namespace that retains. */
export const apps = {
  apps: [{
    id: 'demo',
    keys: [
      { name: 'key1', secret: 'local-only', capability: { '*': ['*'] } },
      { name: 'reader', secret: 'local-only', capability: { 'open:*': ['subscribe'] } },
      { name: 'writer', secret: 'local-only', capability: { 'open:*': ['publish'] } },
    ],
    namespaces: [{ id: 'state', persistLast: true }],
  }],
};

/** @param {Runtime} runtime @param {string} [path] */
export const addressOf = (runtime, path = '/mqtt') => runtime.url.replace('http', 'ws') + path;

/** Collects what comes, and resolves when there is as much as is wanted. @template T */
export class Heard {
  /** @type {T[]} */
  all = [];
  /** @type {(() => void)[]} */
  #watchers = [];

  hear = (/** @type {T} */ item) => {
    this.all.push(item);
    this.#watchers.splice(0).forEach((watch) => watch());
  };

  /** The first so many. @param {number} count */
  async first(count) {
    while (this.all.length < count) {
      await new Promise((/** @type {(value?: unknown) => void} */ resolve) => this.#watchers.push(resolve));
    }
    return this.all.slice(0, count);
  }
}

/** The usual client, and what it was sent. @extends {Heard<Got>} */
export class Client extends Heard {
  /** @param {import('mqtt').MqttClient} client */
  constructor(client) {
    super();
    this.client = client;
    /** @type {import('mqtt').IConnackPacket[]} */
    this.connacks = [];
    client.on('connect', (connack) => this.connacks.push(connack));
    client.on('message', (topic, payload, packet) => this.hear({ topic, text: payload.toString(), packet }));
    client.on('error', () => {});
  }

  /** The texts of so many messages. @param {number} count */
  async texts(count) {
    return (await this.first(count)).map(({ text }) => text);
  }
}

/**
 * A client that is connected, ended with the test. It does not reconnect by itself.
 * @param {Scope} t @param {Runtime} runtime @param {import('mqtt').IClientOptions} [options]
 */
export async function connect(t, runtime, options) {
  const all = { username: 'demo.key1', password: 'local-only', reconnectPeriod: 0, ...options };
  if (all.reconnectPeriod === 0) cannotComeBack();
  const client = new Client(mqtt.connect(addressOf(runtime), all));
  t.after(() => client.client.endAsync(true));
  await new Promise((resolve, reject) => client.client.once('connect', resolve).once('error', reject));
  return client;
}

/** One that says what it is told to say, over a WebSocket. @extends {Heard<any>} */
export class Raw extends Heard {
  /**
   * @param {Runtime} runtime
   * @param {{
   *   protocolVersion?: number, path?: string, protocols?: string[], headers?: Record<string, string>
   * }} [options]
   */
  constructor(runtime, { protocolVersion = 5, path, protocols = ['mqtt'], headers } = {}) {
    super();
    cannotComeBack();
    this.protocolVersion = protocolVersion;
    // Node's takes headers, too.
    const init = /** @type {any} */ ({ protocols, headers });
    this.socket = new WebSocket(addressOf(runtime, path), init);
    this.socket.binaryType = 'arraybuffer';
    this.opened = new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onerror = reject;
    });
    /** All that came, once the connection is closed. @type {Promise<any[]>} */
    this.closed = new Promise((resolve) => {
      this.socket.onclose = () => resolve(this.all);
    });
    const parser = packets.parser({ protocolVersion });
    parser.on('packet', (packet) => this.hear(packet));
    this.socket.onmessage = ({ data }) => parser.parse(Buffer.from(data));
  }

  /** @param {any} packet */
  bytes(packet) {
    return packets.generate({ dup: false, qos: 0, retain: false, ...packet }, { protocolVersion: this.protocolVersion });
  }

  /** @param {any[]} all packets, in one frame */
  say(...all) {
    this.socket.send(Buffer.concat(all.map((packet) => (Buffer.isBuffer(packet) ? packet : this.bytes(packet)))));
  }

  /** What CONNECT says, unless it is told otherwise. @param {object} [options] */
  connectPacket(options) {
    return {
      cmd: 'connect', protocolId: 'MQTT', protocolVersion: this.protocolVersion, clean: true, keepalive: 30, clientId: '',
      username: 'demo.key1', password: Buffer.from('local-only'), ...options,
    };
  }

  /** Comes in. Gives its CONNACK. @param {object} [options] */
  async connect(options) {
    await this.opened;
    this.say(this.connectPacket(options));
    return (await this.first(1))[0];
  }

  /** Subscribes, and gives what it is granted. @param {any[]} subscriptions @param {object} [properties] */
  async subscribe(subscriptions, properties) {
    const before = this.all.length;
    this.say({ cmd: 'subscribe', messageId: 7, subscriptions, properties });
    return (await this.first(before + 1))[before].granted;
  }
}
