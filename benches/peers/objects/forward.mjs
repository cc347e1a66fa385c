// @ts-nocheck This runs on the platform, whose types nothing else here needs.
/** The least that a Durable Object can do: every message goes to every subscriber at once, and is stored nowhere. */
import { DurableObject } from 'cloudflare:workers';

export class Room extends DurableObject {
  fetch(request) {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, [new URL(request.url).searchParams.get('role')]);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(_, message) {
    for (const subscriber of this.ctx.getWebSockets('subscriber')) subscriber.send(message);
  }
}

export default { fetch: (request, env) => env.ROOM.get(env.ROOM.idFromName('room')).fetch(request) };
