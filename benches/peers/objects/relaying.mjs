// @ts-nocheck This runs on the platform, whose types nothing else here needs.
/**
 * The least that relays and channels can be: the same events as Courtside's, in the same two kinds of object, and of
 * the protocol no more than the generator speaks. What it takes, the platform takes.
 */
import { DurableObject } from 'cloudflare:workers';

const [HEARTBEAT, ACK, CONNECTED, ATTACH, ATTACHED, MESSAGE] = [0, 1, 4, 10, 11, 15];

/** Holds the sockets, and remembers with each what it must know of it after it slept. */
export class Relay extends DurableObject {
  fetch() {
    const { 0: client, 1: server } = new WebSocketPair();
    const connectionId = crypto.randomUUID();
    this.ctx.acceptWebSocket(server);
    server.serializeAttachment({ connectionId });
    server.send(JSON.stringify({ action: CONNECTED, connectionId, connectionDetails: { connectionKey: connectionId } }));
    return new Response(null, { status: 101, webSocket: client });
  }

  async webSocketMessage(socket, text) {
    const { action, channel, msgSerial, messages } = JSON.parse(text);
    if (action === HEARTBEAT) return;
    const room = this.env.ROOM.get(this.env.ROOM.idFromName(channel));
    if (action === MESSAGE) {
      const first = await room.publish(JSON.stringify(messages));
      const frame = JSON.stringify({ action: MESSAGE, channel, channelSerial: `${first}`, messages });
      for (const subscriber of this.subscribers ?? this.restored()) subscriber.send(frame);
      socket.send(JSON.stringify({ action: ACK, msgSerial, count: 1 }));
    } else if (action === ATTACH) {
      this.tip ??= room.subscribe();
      const channelSerial = `${await this.tip}`;
      socket.serializeAttachment({ ...socket.deserializeAttachment(), channel, channelSerial });
      (this.subscribers ?? this.restored()).add(socket);
      socket.send(JSON.stringify({ action: ATTACHED, channel, channelSerial, flags: 0 }));
    }
  }

  restored() {
    const attached = this.ctx.getWebSockets().filter((socket) => socket.deserializeAttachment().channel);
    return this.subscribers = new Set(attached);
  }
}

/** Numbers the messages and stores each, before its answer goes out. */
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS log (serial INTEGER PRIMARY KEY, data TEXT)');
  }

  publish(data) {
    return this.ctx.storage.sql.exec('INSERT INTO log (data) VALUES (?) RETURNING serial', data).one().serial;
  }

  subscribe() {
    return this.ctx.storage.sql.exec('SELECT max(serial) AS tip FROM log').one().tip ?? 0;
  }
}

export default { fetch: (request, env) => env.RELAY.get(env.RELAY.idFromName('relay')).fetch(request) };
