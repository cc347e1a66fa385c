/**
 * Steps that `platform.rs` has the platform take at once: each call out of WebAssembly costs, and each value that one
 * brings back.
 */

/** The headers of a request that are written down; src/http/head.rs reads them. */
const HEADERS = [
  'authorization', 'content-type', 'content-encoding', 'accept', 'access-control-request-headers', 'last-event-id',
  'sec-websocket-protocol', 'upgrade', 'x-ably-clientid', 'x-ably-connectionkey', 'x-ably-deviceidentitytoken',
  'x-ably-devicesecret', 'x-ably-devicetoken', 'x-ably-encoding', 'x-ably-messageid', 'x-ably-name', 'x-ably-version',
  'ably-agent', 'origin', 'traceparent',
];

/**
 * All of a request but its body. Where it came from is what stands before the worker says, which does not make the
 * request anew for the sake of a header, or the platform.
 */
export function head(request) {
  const { headers, cf } = request;
  const address = request.courtsideAddress ?? headers.get('cf-connecting-ip') ?? '';
  let text = `${request.method}\n${request.url}\n${address}\n${cf?.continent ?? ''}\n${cf?.longitude ?? ''}`;
  for (const name of HEADERS) {
    const value = headers.get(name);
    if (value !== null) text += `\n${name} ${value}`;
  }
  return text;
}

/** Ids of objects, by class and name: to make one of a name takes longer than all the rest of a stub. */
const ids = new Map();
const IDS_MAX = 10_000;

/** One object of a class, made near the place that the hint says if it must be made for this. */
function stub(env, binding, name, locationHint) {
  const [objects, key] = [env[binding], `${binding} ${name}`];
  if (!ids.has(key)) {
    if (ids.size >= IDS_MAX) ids.clear();
    ids.set(key, objects.idFromName(name));
  }
  return objects.get(ids.get(key), locationHint ? { locationHint } : {});
}

/** Brings a new connection to an object. The host is never looked up. */
export function connect(env, binding, name, locationHint, upgrade, handover) {
  const headers = { upgrade, 'courtside-handover': handover };
  return stub(env, binding, name, locationHint).fetch('https://object/connect', { headers });
}

/** Brings a request of a connection over HTTP to the object that holds it. One for a WebSocket is one there, too. */
export function passOn(env, binding, name, path, claim, request) {
  const headers = { 'courtside-claim': claim, upgrade: request.headers.get('upgrade') ?? '' };
  const init = { method: request.method, headers, body: request.body };
  return stub(env, binding, name).fetch(`https://object${path}`, init);
}

/**
 * Calls an object's method, in src/shell/entry.js. The bytes are a view of all of the memory, which would be sent, too.
 */
export const ask = (env, binding, name, about, question) => stub(env, binding, name).ask(about, question.slice());

/** Answers a request by a WebSocket, and gives the server's end, which sleeps with the object. */
export function accept(state, id, done) {
  const { 0: client, 1: server } = new WebSocketPair();
  state.acceptWebSocket(server, [`${id}`]);
  server.courtsideId = id;
  done(new Response(null, { status: 101, webSocket: client }));
  return server;
}

/** WebSockets that were refused and whose clients have not closed them. */
let unclosed = 0;

/**
 * Ends the request of a WebSocket that was closed here, unless its client closes it soon: until then it keeps its
 * descriptors. No more than `max` are waited for at once. Only the runtime of one's own server can end a request so.
 */
export function endUnclosed(request, socket, afterMs, max) {
  const context = request.courtsideContext;
  if (!context?.abort || unclosed >= max) return;
  unclosed += 1;
  context.waitUntil(new Promise((resolve) => {
    const end = (finish) => {
      if (timer === undefined) return;
      clearTimeout(timer);
      timer = undefined;
      unclosed -= 1;
      finish();
    };
    let timer = setTimeout(() => end(() => context.abort()), afterMs);
    for (const event of ['close', 'error']) socket.addEventListener(event, () => end(resolve));
  }));
}

/** Keeps bytes with a WebSocket. */
export const save = (socket, record) => socket.serializeAttachment(record.slice());

/** The body of a response of so many bytes. */
export const pipeOf = (bytes) => new FixedLengthStream(bytes);
