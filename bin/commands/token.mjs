/** `courtside token`: a token for a client, signed here. */
import { capability, checkNames, needsName, ofRole, roles } from '../client/capability.mjs';
import { keyOption, split } from '../client/place.mjs';
import { request, signed } from '../client/tokens.mjs';
import { CLIENT_ID_MAX_BYTES, REVOCATION_KEY_MAX_BYTES, TOKEN_SECONDS, TOKEN_SECONDS_MAX } from '../client/limits.mjs';
import { BadOption, flag, oneOf, option, seconds, text } from '../readers.mjs';

const names = Object.keys(roles);

/** @type {import('../command.mjs').Command} */
export default {
  form: '[options]',
  takes: [0, 0],
  options: [
    keyOption,
    option('role', 'ROLE', oneOf(names), undefined, `what its client may do: ${names.join(', ')}`),
    { ...option('channel', 'NAME', text, undefined, 'with --role: on which, such as chat:*; else on all'), many: true },
    option('capability', 'JSON', capability, undefined, 'what it may do, instead of a role'),
    option('client-id', 'NAME', clientName, undefined, 'who its client is; * may be anybody'),
    option('ttl', 'TIME', seconds(1, TOKEN_SECONDS_MAX), TOKEN_SECONDS, 'how long it lasts: 90s, 30m, 1h'),
    option('revocation-key', 'NAME', short(REVOCATION_KEY_MAX_BYTES), undefined,
      'what it can be revoked by, besides its clientId'),
    option('request', undefined, flag, false, 'a token request, which the client exchanges once within two minutes'),
  ],
  notes: `A viewer may ${roles.viewer.join(', ')};
a chatter also ${more(roles.viewer, roles.chatter)};
a host also ${more(roles.chatter, roles.host)}.

Without a role and a capability it may do what the key may.`,
  run(values) {
    checked(values);
    const { key, role, channel, clientId, ttl, revocationKey } = values;
    const allowed = role ? ofRole(role, channel.length > 0 ? channel : ['*']) : values.capability;
    if (allowed) checkNames(allowed, role ? '--channel' : '--capability');
    const claims = { seconds: ttl, capability: allowed, clientId, revocationKey };
    const made = values.request ? JSON.stringify(request(split(key), claims)) : signed(split(key), claims);
    process.stdout.write(`${made}\n`);
  },
};

/** @param {number} most bytes */
function short(most) {
  return (/** @type {string} */ given, /** @type {string} */ from) => {
    if (Buffer.byteLength(text(given, from)) <= most) return given;
    throw new BadOption(`${from} has more than ${most} bytes`);
  };
}

/** As src/auth/identity.rs takes it. @param {string} given @param {string} from */
function clientName(given, from) {
  if (!/\p{Cc}/u.test(given)) return short(CLIENT_ID_MAX_BYTES)(given, from);
  throw new BadOption(`${from} must hold no control character, such as a line end`);
}

/** @param {string[]} less @param {string[]} may */
function more(less, may) {
  return may.filter((name) => !less.includes(name)).join(', ');
}

/** @param {Record<string, any>} values */
function checked({ key, role, channel, capability: allowed, clientId, revocationKey, request: asks }) {
  if (!key) throw new BadOption('a token is signed with a key: give --key, or set COURTSIDE_KEY');
  if (role && allowed) throw new BadOption('--role and --capability exclude each other: give one of them');
  if (channel.length > 0 && !role) throw new BadOption('--channel goes with --role; --capability names its own');
  if (role && needsName(role) && !clientId) throw new BadOption(`a ${role} has a name: give --client-id`);
  if (asks && revocationKey) throw new BadOption('--revocation-key is for JWTs, and not for a token request');
}
