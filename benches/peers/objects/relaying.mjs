// @ts-nocheck This runs on the platform, whose types nothing else here needs.
/**
 * The least that relays and channels can be: the same events as Courtside's, in the same two kinds of object, and of
 * the protocol no more than the generator speaks. What it takes, the platform takes.
 */
import { DurableObject } from 'cloudflare:workers';

const [HEARTBEAT, ACK, CONNECTED, ATTACH, ATTACHED, MESSAGE] = [0, 1, 4, 10, 11, 15];

/**
 * Holds the sockets, and remembers with each what it must know of it after it slept. What is published goes in one
 * call and in one frame with as many as went the last time, if they come within a few milliseconds.
 */
export class Relay extends DurableObject {
  published = [];
  calling = false;
  enough = 1;

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
      this.published.push({ socket, msgSerial, messages });
      await this.publish(room, channel);
    } else if (action === ATTACH) {
      this.tip ??= room.subscribe();
      const channelSerial = `${await this.tip}`;
      socket.serializeAttachment({ ...socket.deserializeAttachment(), channel, channelSerial });
      (this.subscribers ?? this.restored()).add(socket);
      socket.send(JSON.stringify({ action: ATTACHED, channel, channelSerial, flags: 0 }));
    }
  }

  async publish(room, channel) {
    if (this.calling) return;
    if (this.published.length < this.enough) {
      this.timer ??= setTimeout(() => { this.enough = 1; this.publish(room, channel); }, 8);
      return;
    }
    clearTimeout(this.timer);
    this.timer = undefined;
    this.calling = true;
    const published = this.published.splice(0);
    const last = await room.publish(published.map(({ messages }) => JSON.stringify(messages)));
    this.calling = false;
    const messages = published.flatMap((each) => each.messages);
    const frame = JSON.stringify({ action: MESSAGE, channel, channelSerial: `${last}`, messages });
    for (const subscriber of this.subscribers ?? this.restored()) subscriber.send(frame);
    for (const [socket, acknowledged] of Map.groupBy(published, (each) => each.socket)) {
      socket.send(JSON.stringify({ action: ACK, msgSerial: acknowledged[0].msgSerial, count: acknowledged.length }));
    }
    // Those who wait for these, and those who came meanwhile.
    this.enough = published.length + this.published.length;
    if (this.published.length > 0) await this.publish(room, channel);
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

  publish(published) {
    const insert = 'INSERT INTO log (data) VALUES (?) RETURNING serial';
    return published.map((data) => this.ctx.storage.sql.exec(insert, data).one().serial).at(-1);
  }

  subscribe() {
    return this.ctx.storage.sql.exec('SELECT max(serial) AS tip FROM log').one().tip ?? 0;
  }
}

export default { fetch: (request, env) => env.RELAY.get(env.RELAY.idFromName('relay')).fetch(request) };
