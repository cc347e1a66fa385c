/** `courtside kick`: ends a client's tokens and connections, or one connection, and keeps a client out. */
import { Place, nameOf, withEither } from '../client/place.mjs';
import { Refused, ask } from '../client/request.mjs';
import { BAN_SECONDS_MAX } from '../client/limits.mjs';
import { BadOption, flag, option, seconds, text } from '../readers.mjs';

/** @type {import('../command.mjs').Command} */
export default {
  form: '[options]',
  takes: [0, 0],
  options: [
    ...withEither.filter(({ name }) => name !== 'token'),
    option('client-id', 'NAME', text, undefined, 'who'),
    option('revocation-key', 'NAME', text, undefined, 'or all whose tokens have it'),
    option('channel', 'NAME', text, undefined, 'or all whose tokens name it; with --ban: of which channels'),
    option('grace', undefined, flag, false, 'give them 30 seconds, in which they are asked for another token'),
    option('ban', 'TIME', banTime, undefined, 'keep the client out for 90s, 30m, 1h or forever'),
    option('reason', 'TEXT', text, undefined, 'with --ban: what the client is told'),
    option('lift', undefined, flag, false, 'let the client in again'),
    option('connection', 'ID', text, undefined, 'or one connection, whatever it came with'),
    option('app', 'APP', text, undefined, "whose client or connection it is; without it the key's"),
    option('json', undefined, flag, false, 'the answer as JSON'),
  ],
  notes: `Tokens that were issued until now end, if their key has "revocableTokens": true; their clients may come back
with a token that is issued from now on. --ban, --lift and --connection need the admin token, or a key of the app that
may admin, and a server that can do it; if it cannot, the command says so.`,
  async run(values) {
    const { act, whom } = checked(values);
    const answer = await act(values, whom) ?? { done: whom };
    process.stdout.write(values.json ? `${JSON.stringify(answer)}\n` : `${whom} ${outcome(values)}\n`);
  },
};

/** @param {any} values */
const outcome = ({ ban, lift }) => lift ? 'may come again' : ban ? 'is banned' : 'is sent away';

/** @param {string} given @param {string} from */
function banTime(given, from) {
  return given === 'forever' ? given : seconds(1, BAN_SECONDS_MAX)(given, from);
}

/**
 * What to do, and to whom.
 * @param {any} values
 * @returns {{ act: (values: any, whom: string) => Promise<any>, whom: string }}
 */
function checked({ clientId, revocationKey, channel, connection, grace, ban, lift, reason }) {
  if (ban || lift) {
    if (!clientId || revocationKey || connection || grace || (ban && lift)) {
      throw new BadOption('--ban and --lift exclude each other, and take --client-id and --channel');
    }
    if (lift && reason) throw new BadOption('--reason goes with --ban');
    return { act: lift ? lifted : banned, whom: `clientId:${clientId}${channel ? ` on ${channel}` : ''}` };
  }
  if (reason) throw new BadOption('--reason goes with --ban');
  const targets = Object.entries({ clientId, revocationKey, channel }).filter(([, name]) => name !== undefined);
  if (targets.length + (connection ? 1 : 0) !== 1) {
    throw new BadOption('whom? Give one of --client-id, --revocation-key, --channel and --connection');
  }
  if (grace && connection) throw new BadOption('--grace is for tokens: a connection ends at once');
  if (connection) return { act: disconnect, whom: connection };
  return { act: revoke, whom: targets.map(([kind, name]) => `${kind}:${name}`).join() };
}

/** @param {any} values @param {string} target */
async function revoke(values, target) {
  if (!values.key) throw new BadOption('the key that signed the tokens ends them: give --key, or set COURTSIDE_KEY');
  const place = Place.ofClient(values);
  const body = { targets: [target], allowReauthMargin: values.grace };
  const like = { results: [{}] };
  const answer = await ask(place, `/keys/${nameOf(values.key)}/revokeTokens`, { method: 'POST', body, like });
  const failed = answer.results.find((/** @type {any} */ { error }) => error);
  if (failed) throw new Refused(failed.error.statusCode, failed.error);
  return answer;
}

/** @param {any} values @param {string} connection */
function disconnect(values, connection) {
  const path = `connections/${encodeURIComponent(connection)}/disconnect`;
  return asOperator(values, path, { method: 'POST', body: {}, like: { disconnected: 0 } });
}

/** @param {any} values */
function banned({ ban, reason, clientId, channel, ...who }) {
  const duration = ban === 'forever' ? undefined : ban * 1_000;
  const body = { clientId, channel, duration, reason };
  return asOperator(who, 'bans', { method: 'POST', body, like: { clientId: '' } });
}

/** @param {any} values */
function lifted({ clientId, channel, ...who }) {
  return asOperator(who, 'bans', { method: 'DELETE', query: { clientId, channel } });
}

/** @param {any} values @param {string} path @param {import('../client/request.mjs').Asked} asked */
async function asOperator(values, path, asked) {
  const app = values.app ?? (values.key && nameOf(values.key).split('.')[0]);
  if (!app) throw new BadOption('of which app? Give --app');
  const place = values.adminToken ? Place.ofAdmin(values) : Place.ofClient(values);
  try {
    return await ask(place, `/apps/${encodeURIComponent(app)}/${path}`, asked);
  } catch (error) {
    if (!(error instanceof Refused) || !/no such path/.test(error.message)) throw error;
    throw new Error('this server has no bans and ends no single connections; it can end tokens, by --client-id alone');
  }
}
