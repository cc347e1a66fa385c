// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * What a server of one's own needs before the built worker: the page's files, health checks, the client's address,
 * and a control socket for the process that supervises the runtime.
 *
 * `env` is one object for all requests and objects of the process. The supervisor changes what of it may change: the
 * apps, and whether the server is stopping or full.
 */
import Built, { App, Channel as BuiltChannel, Relay as BuiltRelay } from './index.js';

export { App };

/** A load balancer asks often; so often is the disk asked. */
const PROBE_EVERY_MS = 1_000;
const PROBE_MS = 5_000;

/** Where the event page is, and its parts. */
const EVENT_PAGE = /^\/((index|stage)(\.html)?|embed\/.*)?$/;

/** Paths of the worker that are only read. */
const READ = '/time';

/** How many objects are called at once. */
const CALLS_AT_ONCE = 64;

/**
 * The objects that this process has built, by id: those that may hold connections are told when these are to leave, and
 * those in memory when there are other apps. Who has none and is not in memory needs to be told nothing.
 */
const known = new Map();

/** So many at first, and then twice as many as were left: the next look for those that need to be told nothing. */
const LOOK_AT_LEAST = 1_024;
let lookAt = LOOK_AT_LEAST;

/**
 * Connections that have come, less those that have left; how many there may be until the supervisor looks again; and
 * how many more by those who resume, since they may have a place here. Of `room` and `spare`: bin/descriptors.mjs.
 */
let connections = 0;
let most = Infinity;
let spare = 0;

/** Objects that have begun since the supervisor's last look, and those of them that were there when it began it. */
let newObjects = 0;
let newAtLook = 0;

/** The descriptors of an object, three, as connections, each of two. */
const OBJECT = 2;

function count(change, env) {
  connections += change;
  if (connections < most) env.FULL = 'false';
  else env.FULL = connections < most + spare ? 'to newcomers' : 'true';
  // For how many objects. Empty as long as there is room for all.
  env.ROOM = most === Infinity ? '' : String(Math.max(0, Math.floor((most + spare - connections) / OBJECT) - newObjects));
}

const noted = (Class, binding) => class extends Class {
  #entry;

  constructor(state, env) {
    super(state, env);
    const id = state.id.toString();
    // The sockets of an object outlive its place in memory.
    this.#entry = known.get(id) ?? { id, binding, sockets: 0 };
    Object.assign(this.#entry, { coming: 0, hasClients: false, inMemory: new WeakRef(this) });
    known.set(id, this.#entry);
    newObjects++;
    count(0, env);
    if (known.size >= lookAt) forget();
  }

  /** Other objects call a method: only clients come by requests, and the supervisor, whom no router hands over. */
  async fetch(request) {
    if (!['handover', 'claim'].some((name) => request.headers.has(`courtside-${name}`))) return super.fetch(request);
    const entry = this.#entry;
    entry.coming++;
    const response = await super.fetch(request).finally(() => { entry.coming--; });
    if (response.webSocket) {
      entry.sockets++;
      count(1, this.env);
    } else entry.hasClients = true;
    return response;
  }

  webSocketClose(socket, ...how) {
    this.#left(socket);
    return super.webSocketClose(socket, ...how);
  }

  webSocketError(socket, ...how) {
    this.#left(socket);
    return super.webSocketError(socket, ...how);
  }

  #left(socket) {
    this.#entry.sockets--;
    count(-1, this.env);
    // To look each time who is there would take too long when a crowd leaves.
    if (this.#entry.sockets > 0) return;
    this.#entry.sockets = this.ctx.getWebSockets().filter((other) => other !== socket).length;
  }
};

/** Of whose connections over HTTP nobody here sees the end: it may have some as long as it is in memory. */
const mayHoldClients = ({ coming, sockets, hasClients, inMemory }) =>
  coming > 0 || sockets > 0 || (hasClients && inMemory.deref());

function forget() {
  for (const [id, { sockets, inMemory }] of known) if (sockets === 0 && !inMemory.deref()) known.delete(id);
  lookAt = Math.max(LOOK_AT_LEAST, 2 * known.size);
}

export const Channel = noted(BuiltChannel, 'CHANNEL');
export const Relay = noted(BuiltRelay, 'RELAY');

export default class extends Built {
  fetch(request) {
    if (request.headers.get('upgrade') === null) {
      // The runtime hands on whatever the header says, and takes no such address itself.
      if (!URL.canParse(request.url)) return refused(40000, 400, 'the header Host names no host');
      const { pathname } = new URL(request.url);
      // Without an event its pages are not there, and the worker says so.
      const asset = this.env.EVENT_KEY || !EVENT_PAGE.test(pathname) ? this.env.ASSETS[pathname] : undefined;
      if (asset || pathname === '/health' || pathname === '/ready') {
        if (request.method === 'GET' || request.method === 'HEAD') {
          if (asset) return file(asset, request, this.env);
          return pathname === '/health' ? said(200, 'ok') : ready(this.env);
        }
        // It is refused as at any path of the worker's that is only read.
        request = new Request(new URL(READ, request.url), request);
      }
    }
    // Read by src/shell/platform.js, in place of the header that the edge sets.
    request.courtsideAddress = addressOf(request, this.env);
    return this.#answered(request);
  }

  /** A WebSocket that only says why nobody is let in takes descriptors, too, until the supervisor looks again. */
  async #answered(request) {
    const response = await super.fetch(request);
    // Set by src/shell/platform.rs.
    if (request.courtsideTold) count(1, this.env);
    return response;
  }
}

/** Says whether a write reaches the disk. */
export class Probe {
  #state;
  #wroteAt = 0;

  constructor(state) {
    this.#state = state;
  }

  fetch() {
    const { sql } = this.#state.storage;
    const now = Date.now();
    if (Math.abs(now - this.#wroteAt) >= PROBE_EVERY_MS) {
      sql.exec('CREATE TABLE IF NOT EXISTS probe (id INTEGER PRIMARY KEY, at INTEGER NOT NULL)');
      sql.exec('INSERT OR REPLACE INTO probe VALUES (0, ?)', now);
      this.#wroteAt = now;
    }
    // The runtime holds the answer back until what was written is on disk.
    return said(200, 'ok');
  }
}

/** What the supervisor says, over a socket that only its user can open. */
export const Control = {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    switch (`${request.method} ${pathname}`) {
      case 'GET /apps':
        return checked(env, context);
      case 'PUT /apps': {
        const apps = await request.text();
        const check = await checked({ ...env, APPS: apps }, context);
        if (!check.ok) return check;
        const before = env.APPS;
        env.APPS = apps;
        // The answer begins at once: from now on these are the apps.
        return begun(tell(env, ({ sockets, inMemory }) => sockets > 0 || inMemory.deref(), '/reconfigure', before));
      }
      case 'GET /room':
        newAtLook = newObjects;
        return said(200, String(connections));
      case 'PUT /room': {
        const told = await request.json();
        most = told.room === null ? Infinity : (told.after ?? connections) + told.room;
        spare = told.spare;
        newObjects -= told.after === undefined ? newObjects : newAtLook;
        newAtLook = 0;
        count(0, env);
        return said(200, 'ok');
      }
      case 'POST /leave':
        env.STOPPING = 'true';
        return said(200, await tell(env, mayHoldClients, '/leave', await request.text()));
      case 'POST /hand-on':
        return begun(handOn(request, env));
      case 'POST /report':
        return said(200, await tell(env, ({ inMemory }) => inMemory.deref(), '/report'));
      default:
        return said(404, 'no such command');
    }
  },
};

/** Whether the worker can read the apps: it says so to everyone who asks for anything. */
async function checked(env, context) {
  const answer = await new Built(context, env).fetch(new Request('http://courtside/time'));
  return answer.ok ? said(200, 'ok') : said(400, (await answer.json()).error.message);
}

/** Once the rest of the request is there: by then the runtime takes nobody in, and who comes back is for the next. */
async function handOn(request, env) {
  await request.text();
  const told = await tell(env, mayHoldClients, '/leave', '1');
  await tell(env, ({ inMemory }) => inMemory.deref(), '/report');
  return told;
}

/** Calls those objects, and says how many there were. */
async function tell(env, isMeant, path, body) {
  const objects = [...known.values()].filter(isMeant);
  const count = objects.length;
  while (objects.length > 0) {
    await Promise.all(objects.splice(0, CALLS_AT_ONCE).map(async ({ id, binding }) => {
      try {
        const namespace = env[binding];
        await namespace.get(namespace.idFromString(id)).fetch(`http://courtside${path}`, { method: 'POST', body });
      } catch (error) {
        console.error(`an object could not be told ${path}: ${error}`);
      }
    }));
  }
  return String(count);
}

async function file(asset, request, env) {
  const encoding = asset.isCompressed ? encodingFor(request) : undefined;
  const tag = encoding ? asset.tag.replace(/"$/, `-${encoding}"`) : asset.tag;
  const caching = { etag: tag, 'cache-control': 'public, max-age=0, must-revalidate' };
  const headers = { ...asset.headers, 'content-type': asset.type, ...caching };
  if (asset.isCompressed) headers.vary = 'accept-encoding';
  if (request.headers.get('if-none-match') === tag) return new Response(null, { status: 304, headers });
  const { method } = request;
  const { status, body, headers: found } = await (encoding
    ? env.COMPRESSED.fetch(`http://files${asset.file}.${encoding}`, { method })
    : env.FILES.fetch(`http://files${asset.file}`, { method }));
  if (status !== 200) return new Response('not found', { status: 404 });
  headers['content-length'] = found.get('content-length');
  if (!encoding) return new Response(body, { headers });
  // Else the runtime would encode it once more.
  return new Response(body, { headers: { ...headers, 'content-encoding': encoding }, encodeBody: 'manual' });
}

/** The best encoding that the client takes. */
function encodingFor(request) {
  const listed = (request.headers.get('accept-encoding') ?? '').toLowerCase().split(',');
  const taken = listed.filter((one) => !/;\s*q=0(\.0*)?\s*$/.test(one)).map((one) => one.split(';')[0].trim());
  return ['br', 'gzip'].find((encoding) => taken.includes(encoding));
}

async function ready(env) {
  if (env.STOPPING === 'true') return said(503, 'stopping');
  const probed = env.PROBE.getByName('probe').fetch('http://courtside/').then((answer) => answer.ok, (error) => {
    console.error(`storage failed: ${error}`);
    return false;
  });
  const tooLate = new Promise((resolve) => setTimeout(resolve, PROBE_MS, false));
  return await Promise.race([probed, tooLate]) ? said(200, 'ok') : said(503, 'storage cannot be written');
}

/** The address that a request came from, which nobody can forge: the proxy's word, or the runtime's, without a port. */
function addressOf(request, env) {
  const proxied = env.TRUST_PROXY === 'true' ? forwarded(request) : undefined;
  return proxied ?? (request.cf?.clientIp ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

/** The last one is what our own proxy saw; what stands before it may be the client's invention. */
function forwarded(request) {
  return request.headers.get('x-forwarded-for')?.split(',').at(-1).trim() || undefined;
}

/** As the worker refuses. */
function refused(code, statusCode, message) {
  const headers = { 'x-ably-errorcode': String(code), 'x-ably-errormessage': message, 'cache-control': 'no-store' };
  return Response.json({ error: { code, statusCode, message } }, { status: statusCode, headers });
}

/** An answer that begins at once, and says later what it has to. */
function begun(text) {
  return new Response(new ReadableStream({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode(await text));
      controller.close();
    },
  }));
}

function said(status, text) {
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' };
  return new Response(`${text}\n`, { status, headers });
}
