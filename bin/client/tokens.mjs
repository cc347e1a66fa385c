/** Tokens that a key signs here, without a server: a JWT, or a request that a client exchanges for a token. */
import { createHmac, randomBytes } from 'node:crypto';

/**
 * @typedef {object} Claims
 * @property {number} seconds how long it lasts
 * @property {Record<string, string[]> | undefined} capability the key's, without one
 * @property {string | undefined} clientId
 * @property {string} [revocationKey]
 *
 * @typedef {{ keyName: string, keySecret: string }} Key
 */

const encoded = (/** @type {object} */ part) => Buffer.from(JSON.stringify(part)).toString('base64url');

/** A JWT; docs/protocol.md § 11.4. @param {Key} key @param {Claims} claims @param {number} [nowMs] */
export function signed({ keyName, keySecret }, { seconds, capability, clientId, revocationKey }, nowMs = Date.now()) {
  const iat = Math.floor(nowMs / 1_000);
  const claims = {
    iat, exp: iat + seconds,
    'x-ably-capability': capability && JSON.stringify(capability),
    'x-ably-clientId': clientId,
    'x-ably-revocation-key': revocationKey,
  };
  const text = `${encoded({ typ: 'JWT', alg: 'HS256', kid: keyName })}.${encoded(claims)}`;
  return `${text}.${createHmac('sha256', keySecret).update(text).digest('base64url')}`;
}

/** A token request; docs/protocol.md § 11.2. @param {Key} key @param {Claims} claims @param {number} [timestamp] */
export function request({ keyName, keySecret }, { seconds, capability, clientId }, timestamp = Date.now()) {
  const fields = {
    keyName, ttl: seconds * 1_000, capability: capability && JSON.stringify(capability), clientId, timestamp,
    nonce: randomBytes(16).toString('hex'),
  };
  const { ttl, capability: allowed = '', clientId: name = '', nonce } = fields;
  const text = [keyName, ttl, allowed, name, timestamp, nonce].map((field) => `${field}\n`).join('');
  return { ...fields, mac: createHmac('sha256', keySecret).update(text).digest('base64') };
}
