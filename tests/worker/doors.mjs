/** Every other protocol by which a client can come, with its published client. What holds for one holds for all, as far
 * as its protocol can say it: transports.test.mjs. */
import mqtt from 'mqtt';
import { io } from 'socket.io-client';
import { Heard } from './clients.mjs';
import { pusherClient } from './pusher.mjs';

/** @typedef {Pick<import('node:test').TestContext, 'after'>} Scope who closes what it opened */
/** @typedef {{ id: string, secret: string }} Key */

/**
 * A client that is in one channel: the texts that it hears, what it says, which is done when it is acknowledged where
 * its protocol does that, and its next coming back, which tells whether the server says that it missed nothing.
 * @typedef {{ heard: Heard, publish: (text: string) => Promise<unknown>, back: () => Promise<boolean> }} Client
 */

/**
 * `channel` is the full name of a channel where this protocol can do all that the table does. A client that `resumes`
 * gets what it missed; `wrongKey` and `tooLarge` are how a refusal is told.
 * @typedef {{
 *   door: string, channel: (name: string) => string, hearsItself: boolean, acknowledges: boolean, resumes: boolean,
 *   last: (name: string) => string,
 *   come: (scope: any, server: { port: number }, channel: string, key?: Key) => Promise<Client>,
 *   wrongKey: (error: any) => unknown, tooLarge: (error: any) => unknown,
 * }} Row
 */

const demo = { id: 'demo.key1', secret: 'local-only' };

/** Whether an error of ours has a code. @param {number} code */
const isCode = (code) => (/** @type {any} */ error) => (error.data?.code ?? error.code) === code;

/** @param {any} error */
const said = (error) => String(error.error ?? error.data?.message ?? error.message);

/** @type {Row} */
const pusher = {
  door: 'Pusher',
  channel: (name) => `private-${name}`,
  last: (name) => `private-cache-${name}`,
  hearsItself: false,
  acknowledges: false,
  resumes: false,
  wrongKey: (error) => /40101/.test(said(error)),
  tooLarge: (error) => /40009/.test(said(error)),
  async come(scope, server, channel, { id, secret } = demo) {
    const client = pusherClient(scope, server, { key: id, secret });
    const heard = new Heard();
    const asked = client.subscribe(channel);
    asked.bind_global((/** @type {string} */ name, /** @type {any} */ data) => {
      if (!name.startsWith('pusher:')) heard.hear(data);
    });
    const refused = new Promise((_, reject) => asked.bind('pusher:subscription_error', reject));
    await Promise.race([new Promise((resolve) => asked.bind('pusher:subscription_succeeded', resolve)), refused]);
    const publish = (/** @type {string} */ text) => new Promise((resolve, reject) => {
      client.connection.bind('error', reject);
      asked.trigger('client-a', text);
      // What is refused is told before the answer to this.
      client.connection.bind('message', ({ event = '' }) => event === 'pusher:pong' && resolve(undefined));
      client.connection.send_event('pusher:ping', {});
    });
    const back = async () => {
      await new Promise((resolve) => asked.bind('pusher:subscription_succeeded', resolve));
      return false;
    };
    return { heard, publish, back };
  },
};

/** @type {Row} */
const socketIo = {
  door: 'Socket.IO',
  channel: (name) => name,
  last: (name) => name,
  hearsItself: false,
  acknowledges: true,
  resumes: true,
  wrongKey: isCode(40101),
  tooLarge: isCode(40009),
  async come(scope, { port }, channel, { id, secret } = demo) {
    const auth = { key: `${id}:${secret}`, ...channel.startsWith('last') && { params: { rewind: '1' } } };
    const options = { auth, transports: ['websocket'], forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100 };
    const socket = io(`http://127.0.0.1:${port}/${channel}`, options);
    scope.after(() => void socket.disconnect());
    const heard = new Heard();
    socket.onAny((_, text) => heard.hear(text));
    await new Promise((resolve, reject) => socket.once('connect', () => resolve(undefined)).once('connect_error', reject));
    const publish = async (/** @type {string} */ text) => {
      const { error } = await socket.emitWithAck('a', text);
      if (error) throw error;
    };
    const back = () => new Promise((resolve) => void socket.once('connect', () => resolve(socket.recovered)));
    return { heard, publish, back };
  },
};

let sessions = 0;

/** @param {4 | 5} protocolVersion @returns {Row} */
const mqttOf = (protocolVersion) => ({
  door: protocolVersion === 5 ? 'MQTT 5' : 'MQTT 3.1.1',
  channel: (name) => name,
  last: (name) => `state:${name}`,
  hearsItself: true,
  acknowledges: true,
  resumes: true,
  wrongKey: isCode(protocolVersion === 5 ? 0x86 : 4),
  // What is wrong with a publish version 3.1.1 cannot say.
  tooLarge: protocolVersion === 5 ? isCode(0x97) : () => true,
  async come(scope, { port }, channel, { id, secret } = demo) {
    const topic = channel.replace(':', '/');
    const client = mqtt.connect(`ws://127.0.0.1:${port}/mqtt`, {
      protocolVersion, username: id, password: secret, clientId: `table${sessions++}`, clean: false, reconnectPeriod: 50,
      ...protocolVersion === 5 && { properties: { sessionExpiryInterval: 600 } },
    });
    scope.after(() => client.endAsync(true));
    const heard = new Heard();
    client.on('message', (_, payload) => heard.hear(payload.toString()));
    await new Promise((resolve, reject) => client.once('connect', resolve).once('error', reject));
    client.on('error', () => {});
    await client.subscribeAsync(topic, { qos: 1 });
    const gone = new Promise((_, reject) => client.once('close', () => reject(new Error('the connection ended'))));
    gone.catch(() => {});
    // What cannot be refused in words ends the connection.
    const publish = (/** @type {string} */ text) => (
      Promise.race([client.publishAsync(topic, text, { qos: 1 }), ...text.length > 65_536 ? [gone] : []]));
    const back = () => new Promise((resolve) => void client.once('connect', ({ sessionPresent }) => resolve(sessionPresent)));
    return { heard, publish, back };
  },
});

export const doors = [pusher, socketIo, mqttOf(4), mqttOf(5)];
