// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, unchanged, and a crowd inside the runtime: `GET /bench/enter?sessions=n` opens so many WebSockets
 * to the worker, attaches each to one channel, and answers with a line for each quarter: how many are attached, on how
 * many relays, and the memory of the WebAssembly instance. They stay until the answer is given up.
 */
import memory from './memory-entry.mjs';
import courtside from './index.js';

export * from './index.js';

const entrance = 'http://relay/?key=demo.key1:local-only';

/** Resolves with the relay that it is on, once it is attached. */
async function enter(context, env) {
  const request = new Request(entrance, { headers: { upgrade: 'websocket' } });
  const { webSocket, status } = await new courtside(context, env).fetch(request);
  if (!webSocket) throw new Error(`refused with ${status}`);
  return new Promise((resolve, reject) => {
    let relay;
    webSocket.addEventListener('close', ({ code }) => reject(new Error(`closed with ${code}`)));
    webSocket.addEventListener('message', ({ data }) => {
      const { action, connectionDetails } = JSON.parse(data);
      if (action === 4) {
        relay = connectionDetails.connectionKey.split('!')[1].split('-')[0];
        webSocket.send(JSON.stringify({ action: 10, channel: 'crowd' }));
      }
      if (action === 11) resolve(relay);
    });
    webSocket.accept();
  });
}

async function crowd(context, env, sessions, tell) {
  const relays = new Set();
  relays.add(await enter(context, env));
  tell(1, relays);
  for (let entered = 1, quarter = 1; quarter <= 4; quarter++) {
    for (const until = Math.round(sessions * quarter / 4); entered < until;) {
      const some = Math.min(50, until - entered);
      (await Promise.all(Array.from({ length: some }, () => enter(context, env)))).forEach((relay) => relays.add(relay));
      entered += some;
    }
    tell(Math.round(sessions * quarter / 4), relays);
  }
  // Their sockets would end with this.
  await new Promise(() => {});
}

export default {
  fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== '/bench/enter') return memory.fetch(request, env, context);
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    const write = (line) => writer.write(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
    const wasmBytes = () => globalThis.wasmMemories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
    const tell = (entered, relays) => write({ sessions: entered, relays: relays.size, wasmBytes: wasmBytes() });
    context.waitUntil(crowd(context, env, Number(searchParams.get('sessions')), tell).catch((error) => write({ error: String(error) })));
    return new Response(readable);
  },
};
