/**
 * `courtside check-apps`: the server itself reads the apps, started for a moment with them and with the variables of
 * the environment, by which it refuses some.
 */
import fs from 'node:fs';
import { constants } from 'node:os';
import { temporaryData } from '../data.mjs';
import { Log } from '../log.mjs';
import { readApps, readObject } from '../options.mjs';
import { BadOption, flag, option } from '../readers.mjs';
import { table } from '../client/terminal.mjs';

/** Of one variable of a Worker: 5 KB. */
const SECRET_MAX_BYTES = 5_000;
/** An id of an app or key, or a secret, that the SDK for Ruby can read. */
const READ_BY_RUBY = /^[\w-]{2,}$/u;
const EXAMPLE = '{"apps": [{"id": "live"}]}';

/** @type {import('../command.mjs').Command} */
export default {
  form: 'FILE|-|JSON [options]',
  takes: [1, 1],
  options: [option('json', undefined, flag, false, 'what there is, or what is wrong, as JSON')],
  notes: `It names the first thing that is wrong by its place, such as apps[0].keys[1].secret, and never shows a secret.
It also names what of a key the SDK for Ruby cannot read.
A server that is told to read such a file again keeps the apps that it has.`,
  async run(values, [place = '']) {
    const apps = readApps(place === '-' ? piped() : place, 'FILE');
    const wrong = await refusal(apps);
    const { length } = Buffer.from(apps);
    if (length > SECRET_MAX_BYTES) {
      process.stderr.write(`courtside: they have ${length} bytes; a secret on Cloudflare has ${SECRET_MAX_BYTES} at most\n`);
    }
    for (const at of wrong ? [] : unreadBy(apps)) {
      process.stderr.write(`courtside: ${at}: the SDK for Ruby takes two or more letters, digits, - and _ alone\n`);
    }
    const answer = wrong ? { ok: false, error: wrong } : { ok: true, apps: contentsOf(apps) };
    if (values.json) process.stdout.write(`${JSON.stringify(answer)}\n`);
    else if (wrong) process.stderr.write(`courtside: ${wrong}\n`);
    else process.stdout.write(table(['app', 'keys', 'namespaces'], contentsOf(apps).map(Object.values)));
    return wrong ? 1 : 0;
  },
};

/** What a server says of them, if it would not serve them. @param {string} apps */
async function refusal(apps) {
  const { Server } = await import('../server.mjs');
  const data = temporaryData();
  const clear = () => fs.rmSync(data, { recursive: true, force: true, maxRetries: 10 });
  const silent = new Log('error', () => {});
  // Not ephemeral: what is served from there may have short secrets.
  const server = new Server(readObject({ apps, data, port: 0, drain: 0, logLevel: 'error' }), silent);
  // Behind what the server does then, which ends the runtime.
  process.on('exit', clear);
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGINT', 'SIGHUP'])) {
    process.on(signal, () => process.exit(128 + constants.signals[signal]));
  }
  try {
    await server.start();
    return undefined;
  } catch (error) {
    return /** @type {Error} */ (error).message.replace(/^the JSON of the apps: /, '');
  } finally {
    await server.stop();
    clear();
  }
}

/**
 * Only of what the server has read. @param {string} text
 * @returns {{ id: string, keys: number, namespaces: number }[]}
 */
function contentsOf(text) {
  const { apps = [] } = JSON.parse(text);
  return apps.map((/** @type {any} */ { id, keys = [], namespaces = [] }) =>
    ({ id, keys: keys?.length ?? 0, namespaces: namespaces?.length ?? 0 }));
}

/**
 * Parts of keys that this SDK cannot read, by their places. Only of apps that the server has read.
 * @param {string} text @returns {string[]}
 */
function unreadBy(text) {
  const isUnread = (/** @type {unknown} */ part) => typeof part === 'string' && !READ_BY_RUBY.test(part);
  const { apps = [] } = JSON.parse(text);
  return apps.flatMap((/** @type {any} */ { id, keys }, /** @type {number} */ app) => [
    ...isUnread(id) && keys?.length > 0 ? [`apps[${app}].id`] : [],
    ...(keys ?? []).flatMap((/** @type {any} */ key, /** @type {number} */ index) => ['name', 'secret']
      .filter((part) => isUnread(key[part])).map((part) => `apps[${app}].keys[${index}].${part}`)),
  ]);
}

function piped() {
  const text = fs.readFileSync(0, 'utf8').trim();
  if (text.startsWith('{')) return text;
  throw new BadOption(`standard input ${isJson(text) ? `is no object, such as ${EXAMPLE}` : 'is not JSON'}`);
}

/** @param {string} text */
function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
