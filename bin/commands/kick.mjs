/** `courtside kick`: ends a client's tokens and, with them, its connections; or one connection. */
import { Place, nameOf, withEither } from '../client/place.mjs';
import { Refused, ask } from '../client/request.mjs';
import { BadOption, flag, option, text } from '../readers.mjs';

/** @type {import('../command.mjs').Command} */
export default {
  form: '[options]',
  takes: [0, 0],
  options: [
    ...withEither.filter(({ name }) => name !== 'token'),
    option('client-id', 'NAME', text, undefined, 'who'),
    option('revocation-key', 'NAME', text, undefined, 'or all whose tokens have it'),
    option('channel', 'NAME', text, undefined, 'or all whose tokens name just that channel'),
    option('grace', undefined, flag, false, 'give them 30 seconds, in which they are asked for another token'),
    option('connection', 'ID', text, undefined, 'one connection, whatever it came with; with the admin token'),
    option('app', 'APP', text, undefined, "with --connection: whose; the key's, without it"),
    option('json', undefined, flag, false, 'the answer as JSON'),
  ],
  notes: `Tokens that were issued until now end, if their key has "revocableTokens": true; their clients may come back
with a token that is issued from now on. Who has a key has no token: change the key, or end the connection.`,
  async run(values) {
    const { target, connection } = checked(values);
    const answer = target ? await revoke(values, target) : await disconnect(values, connection);
    if (values.json) process.stdout.write(`${JSON.stringify(answer)}\n`);
    else process.stdout.write(`${target ?? connection} is sent away\n`);
  },
};

/** @param {any} values */
function checked({ clientId, revocationKey, channel, connection, grace }) {
  const targets = Object.entries({ clientId, revocationKey, channel }).filter(([, name]) => name !== undefined);
  if (targets.length + (connection ? 1 : 0) !== 1) {
    throw new BadOption('whom? Give one of --client-id, --revocation-key, --channel and --connection');
  }
  if (grace && connection) throw new BadOption('--grace is for tokens: a connection ends at once');
  const [target] = targets.map(([kind, name]) => `${kind}:${name}`);
  return { target, connection };
}

/** @param {any} values @param {string} target */
async function revoke(values, target) {
  if (!values.key) throw new BadOption('the key that signed the tokens ends them: give --key, or set COURTSIDE_KEY');
  const place = Place.ofClient(values);
  const body = { targets: [target], allowReauthMargin: values.grace };
  const answer = await ask(place, `/keys/${nameOf(values.key)}/revokeTokens`, { method: 'POST', body });
  const [result] = answer.results;
  if (result.error) throw new Refused(result.error.statusCode, result.error);
  return answer;
}

/** @param {any} values @param {string} connection */
async function disconnect(values, connection) {
  const app = values.app ?? (values.key && nameOf(values.key).split('.')[0]);
  if (!app) throw new BadOption('of which app is the connection? Give --app');
  const path = `/apps/${encodeURIComponent(app)}/connections/${encodeURIComponent(connection)}/disconnect`;
  try {
    return await ask(Place.ofAdmin(values), path, { method: 'POST', body: {} });
  } catch (error) {
    if (!(error instanceof Refused) || !/no such path/.test(error.message)) throw error;
    throw new Error('this server cannot end single connections; end the tokens of a client, by --client-id');
  }
}
