/**
 * The configuration of the runtime, in its own language. It holds no secret: those are in the environment of the
 * runtime, and the TLS key stays in its file, which the runtime reads itself.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { objectsIn } from './data.mjs';

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..');

/** The folder with the files of the page. */
export const page = path.join(root, 'www');

/** Classes of objects by their bindings. Their keys are the names of directories: with another key all is lost. */
const classes = { CHANNEL: 'Channel', RELAY: 'Relay', APP: 'App', PROBE: 'Probe' };

/**
 * @param {{ host: string, port: number, sockets: number, data: string, control: string, http2: string,
 *   tlsCert?: string, tlsKey?: string, trustProxy: boolean, privatePush: boolean, privateReceivers: boolean,
 *   variables: string[], assets: Record<string, import('./assets.mjs').Asset>, compressed: string }} options
 *   `sockets` is how many there are for clients; `control` and `http2` are the paths of sockets; `privatePush` says
 *   whether push services may be at private addresses, and `privateReceivers` whether receivers of webhooks may;
 *   `variables` are names in the runtime's environment; `compressed` is the directory of the assets that are
 */
export function runtimeConfig({
  host, port, sockets, data, control, http2, tlsCert, tlsKey, trustProxy, privatePush, privateReceivers, variables,
  assets, compressed,
}) {
  const http = trustProxy ? '(forwardedProtoHeader = "X-Forwarded-Proto")' : '()';
  const listens = tlsCert && tlsKey
    ? `https = (options = ${http}, tlsOptions = (keypair = (
      privateKey = ${embed(tlsKey)}, certificateChain = ${embed(tlsCert)})))`
    : `http = ${http}`;
  const address = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
  const entries = Object.entries(classes);
  const namespace = (/** @type {string} */ name) =>
    `        (className = "${name}", uniqueKey = "${name.toLowerCase()}", enableSql = true),`;
  return `# Written by Courtside at each start.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  logging = (structuredLogging = true),
  services = [
    (name = "courtside", worker = (
      compatibilityDate = ${text(compatibilityDate())},
      # Compression has a window for each connection, 300 KB, and compresses each frame for each reader anew.
      compatibilityFlags = ["no_web_socket_compression"],
      modules = [
        (name = "front.mjs", esModule = ${embed(path.join(root, 'bin/worker/front.mjs'))}),
        (name = "./index.js", esModule = ${embed(path.join(root, 'build/index.js'))}),
        (name = "./index_bg.wasm", wasm = ${embed(path.join(root, 'build/index_bg.wasm'))}),
      ],
      bindings = [
${entries.map(([binding, name]) => `        (name = "${binding}", durableObjectNamespace = "${name}"),`).join('\n')}
${variables.map((name) => `        (name = "${name}", fromEnvironment = "${name}"),`).join('\n')}
        (name = "TRUST_PROXY", text = "${trustProxy}"),
        (name = "FILES", service = "files"),
        (name = "HTTP2", service = "http2"),
        (name = "WEBHOOKS", service = "receivers"),
        (name = "COMPRESSED", service = "compressed"),
        (name = "ASSETS", json = ${text(JSON.stringify(assets))}),
      ],
      durableObjectNamespaces = [
${entries.map(([, name]) => namespace(name)).join('\n')}
      ],
      durableObjectStorage = (localDisk = "objects"),
      globalOutbound = "push-services",
    )),
    # It calls nobody but these. Whatever their names lead to, nothing of this network is among them.
    (name = "push-services", network = ${network(privatePush)}),
    (name = "receivers", network = ${network(privateReceivers)}),
    # Requests that must be of HTTP/2, which the supervisor makes.
    (name = "http2", external = (address = ${text(`unix:${http2}`)}, http = (style = proxy))),
    (name = "objects", disk = (path = ${text(objectsIn(data))}, writable = true)),
    (name = "files", disk = (path = ${text(page)})),
    (name = "compressed", disk = (path = ${text(compressed)})),
  ],
  sockets = [
${Array.from({ length: sockets }, (_, index) =>
    `    (name = "${publicSocket(index)}", address = ${text(address)}, ${listens}, service = "courtside"),`).join('\n')}
    (name = "control", address = ${text(`unix:${control}`)}, http = (),
      service = (name = "courtside", entrypoint = "Control")),
  ],
);
`;
}

/** The name of a socket for clients. @param {number} index */
export const publicSocket = (index) => `public-${index}`;

/** What wrangler.toml says, so that the worker behaves alike here and there. */
function compatibilityDate() {
  const date = fs.readFileSync(path.join(root, 'wrangler.toml'), 'utf8').match(/^compatibility_date = "(.*)"$/m)?.[1];
  if (!date) throw new Error('wrangler.toml names no compatibility_date');
  return date;
}

/** The addresses that may be called. @param {boolean} isPrivate */
const network = (isPrivate) => `(
      allow = ["public"${isPrivate ? ', "private"' : ''}], tlsOptions = (trustBrowserCas = true))`;

/** @param {string} value */
const text = (value) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;

/** The runtime is told to look for these from the root of the file system. @param {string} file */
const embed = (file) => `embed ${text(path.resolve(file))}`;
