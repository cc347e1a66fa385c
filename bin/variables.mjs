/** The variables of the worker that it would pass over itself, or not tell before a client comes. */

/** As src/limits/credentials.rs has them. */
const SECRET_MIN_BYTES = 16;
const SHORT_SECRET_MIN_BYTES = 8;

/** @type {[RegExp, string]} */
const boolean = [/^(true|false)$/, 'must be true or false'];

/** @type {Record<string, [RegExp, string]>} */
const forms = {
  PUSH_PRIVATE_ADDRESSES: boolean,
  WEBHOOK_PRIVATE_ADDRESSES: boolean,
  PUSH_CONTACT: [/^(mailto:[^@]+@[^@]+|https:\/\/.+)$/, 'must be mailto: and an address, or an https URL'],
  ERRORS_URL: [/^https?:\/\/.+$/, 'must be a URL, to which the number of an error is added'],
};

/**
 * Fails with what a worker would pass over, or say to each client.
 * @param {Record<string, string>} told
 */
export function checkVariables(told) {
  for (const [name, [form, must]] of Object.entries(forms)) {
    if (told[name] !== undefined && !form.test(told[name])) throw new Error(`${name} ${must}`);
  }
  const { ADMIN_TOKEN: token, APPS: apps, EVENT_KEY: key } = told;
  const least = told.SHORT_SECRETS ? SHORT_SECRET_MIN_BYTES : SECRET_MIN_BYTES;
  if (token && Buffer.byteLength(token) < least) {
    throw new Error(`the admin token must have ${least} bytes at least; make one with \`openssl rand -hex 16\``);
  }
  if (key && apps && keyNames(apps)?.includes(key) === false) throw new Error('EVENT_KEY names none of the keys of the apps');
}

/**
 * Of apps that can be read; the worker says what is wrong with others.
 * @param {string} text
 * @returns {string[] | undefined}
 */
function keyNames(text) {
  try {
    const { apps } = JSON.parse(text);
    return apps.flatMap((/** @type {any} */ { id, keys }) => keys.map((/** @type {any} */ { name }) => `${id}.${name}`));
  } catch {
    return undefined;
  }
}
