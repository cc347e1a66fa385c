/** Clients of Pusher Channels, as their users make them: `pusher-js`, and the `pusher` library of servers. */
import Client from 'pusher-js';
import Server from 'pusher';

/** The demo app's key, by its parts. */
export const demo = { appId: 'demo', key: 'demo.key1', secret: 'local-only' };

/**
 * The library of a server that has the key's secret.
 * @param {{ port: number }} runtime
 * @param {object} [options]
 */
export function serverLibrary(runtime, options) {
  return new Server({ ...demo, host: '127.0.0.1', port: String(runtime.port), useTLS: false, ...options });
}

/**
 * A client whose server signs what it asks for: presence channels for `user`.
 * @param {import('node:test').TestContext} t
 * @param {{ port: number }} runtime
 * @param {{ user?: { user_id: string | number, user_info?: object }, key?: string, secret?: string } & object}
 *   [options]
 */
export function pusherClient(t, runtime, { user, key = demo.key, secret = demo.secret, ...options } = {}) {
  const server = serverLibrary(runtime, { key, secret });
  /** @type {any} */
  const settings = {
    cluster: 'any',
    wsHost: '127.0.0.1',
    wsPort: runtime.port,
    forceTLS: false,
    enabledTransports: ['ws'],
    enableStats: false,
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, callback) => {
        const presence = channelName.startsWith('presence-') ? user : undefined;
        callback(null, server.authorizeChannel(socketId, channelName, presence));
      },
    },
    userAuthentication: {
      customHandler: ({ socketId }, callback) => {
        callback(null, server.authenticateUser(socketId, { id: String(user?.user_id), ...user?.user_info }));
      },
    },
    ...options,
  };
  const client = new Client(key, settings);
  t.after(() => client.disconnect());
  return client;
}

/**
 * The next event of that name, or of any of these names.
 * @param {{ bind: Function, unbind: Function }} emitter a client, a connection or a channel
 * @param {string} name
 * @returns {Promise<any>}
 */
export function next(emitter, name) {
  return new Promise((resolve) => {
    const heard = (data) => {
      emitter.unbind(name, heard);
      resolve(data);
    };
    emitter.bind(name, heard);
  });
}

/**
 * A channel that the client is subscribed to, and what it was told of that.
 * @param {Client} client
 * @param {string} name
 */
export async function subscribed(client, name) {
  const channel = client.subscribe(name);
  const failed = next(channel, 'pusher:subscription_error').then((error) => {
    throw new Error(`no subscription to ${name}: ${JSON.stringify(error)}`);
  });
  const told = await Promise.race([next(channel, 'pusher:subscription_succeeded'), failed]);
  return { channel, told };
}

/**
 * What a channel says from now on, by name; `until` waits for so many.
 * @param {any} channel
 * @param {(name: string) => boolean} [wanted]
 */
export function heardOn(channel, wanted = (name) => !name.startsWith('pusher:')) {
  const events = [];
  const waiting = [];
  channel.bind_global((name, data) => {
    if (!wanted(name)) return;
    events.push([name, data]);
    for (const look of waiting) look();
  });
  return {
    events,
    /** @param {number} count */
    until: (count) => new Promise((resolve) => {
      const look = () => events.length >= count && resolve(events);
      waiting.push(look);
      look();
    }),
  };
}
