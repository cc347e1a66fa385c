/** MQTT by its usual clients, unchanged, beside the SDK on the same channels. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import mqtt from 'mqtt';
import { Inbox, connected } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

/** @typedef {import('mqtt').IClientOptions} Options */

const apps = {
  apps: [{
    id: 'demo',
    keys: [
      { name: 'key1', secret: 'local-only', capability: { '*': ['*'] } },
      { name: 'reader', secret: 'local-only', capability: { 'open:*': ['subscribe'] } },
    ],
    namespaces: [{ id: 'state', persistLast: true }],
  }],
};
const runtime = await startRuntime(apps);
after(() => runtime.stop());

const versions = /** @type {const} */ ([{ version: '3.1.1', protocolVersion: 4 }, { version: '5', protocolVersion: 5 }]);

/** What it has been sent, as it comes. */
class Client {
  /** @type {{ topic: string, text: string, packet: import('mqtt').IPublishPacket }[]} */
  got = [];
  /** @type {(() => void)[]} */
  #waiting = [];

  /** @param {import('mqtt').MqttClient} client */
  constructor(client) {
    this.client = client;
    client.on('message', (topic, payload, packet) => {
      this.got.push({ topic, text: payload.toString(), packet });
      this.#waiting.splice(0).forEach((go) => go());
    });
    client.on('error', () => {});
  }

  /** The first so many messages. @param {number} count */
  async first(count) {
    while (this.got.length < count) await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
    return this.got.slice(0, count);
  }

  /** The texts of so many. @param {number} count */
  async texts(count) {
    return (await this.first(count)).map(({ text }) => text);
  }
}

const url = () => `${runtime.url.replace('http', 'ws')}/mqtt`;

/** @param {Options} [options] @returns {Options} */
const optionsOf = (options) => ({ username: 'demo.key1', password: 'local-only', reconnectPeriod: 0, ...options });

/** A client that is connected, ended with the test. @param {import('node:test').TestContext} t @param {Options} [options] */
async function connect(t, options) {
  const client = await mqtt.connectAsync(url(), optionsOf(options), false);
  t.after(() => client.endAsync(true));
  return new Client(client);
}

for (const { version, protocolVersion } of versions) {
  test(`${version}: what one publishes the others get, by whatever they speak`, async (t) => {
    const [ann, bob] = [await connect(t, { protocolVersion }), await connect(t, { protocolVersion })];
    const sdk = await connected(t, runtime);
    const channel = sdk.channels.get(`chat:${protocolVersion}`);
    const heard = await Inbox.of(channel);
    const granted = await bob.client.subscribeAsync([`chat/${protocolVersion}`], { qos: 1 });
    assert.deepEqual(granted.map(({ topic, qos }) => [topic, qos]), [[`chat/${protocolVersion}`, 1]]);
    await ann.client.subscribeAsync(`chat/${protocolVersion}`, { qos: 0 });
    await ann.client.publishAsync(`chat/${protocolVersion}`, 'by MQTT', { qos: 1 });
    await channel.publish('name', 'by the SDK');
    await ann.client.publishAsync(`chat/${protocolVersion}`, Buffer.from([0xff, 0]), { qos: 0 });
    for (const client of [ann, bob]) {
      const [first, second, third] = await client.first(3);
      assert.deepEqual([first.text, second.text], ['by MQTT', 'by the SDK']);
      assert.deepEqual(third.packet.payload, Buffer.from([0xff, 0]));
      assert.equal(first.topic, `chat/${protocolVersion}`);
    }
    const [first, , third] = await heard.until(3);
    assert.deepEqual([first.data, third.data], ['by MQTT', Buffer.from([0xff, 0])]);
  });
}
