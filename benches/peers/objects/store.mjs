// @ts-nocheck This runs on the platform, whose types nothing else here needs.
/** The least that is durable: a row per message, before it goes to anyone. The platform holds the sends until then. */
import { DurableObject } from 'cloudflare:workers';

export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS log (serial INTEGER PRIMARY KEY, data TEXT)');
  }

  fetch(request) {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, [new URL(request.url).searchParams.get('role')]);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(_, message) {
    this.ctx.storage.sql.exec('INSERT INTO log (data) VALUES (?)', message);
    for (const subscriber of this.ctx.getWebSockets('subscriber')) subscriber.send(message);
  }
}

export default { fetch: (request, env) => env.ROOM.get(env.ROOM.idFromName('room')).fetch(request) };
