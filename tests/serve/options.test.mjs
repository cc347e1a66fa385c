/** The options of `courtside serve`: what is refused, what wins, and what `--help` says; and how much it logs. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { LOG_LINES_PER_SECOND } from '../../bin/limits.mjs';
import { Log } from '../../bin/log.mjs';
import { readApps, readOptions, unknownVariables } from '../../bin/options.mjs';
import { placeOfFault } from '../../bin/readers.mjs';
import { folder, run } from './served.mjs';

const apps = '{"apps":[]}';

test('a wrong value is refused with what is allowed', () => {
  /** @type {[string[], RegExp][]} */
  const cases = [
    [['--port', 'http'], /--port must be a number from 0 to 65535/],
    [['--port', '65536'], /--port must be a number from 0 to 65535/],
    [['--port', '-1'], /a value of --port that begins with a dash is written --port=…; see courtside serve --help$/],
    [['--drain=-1'], /--drain must be a number from 0 to 60/],
    [['--host', '127.0.0.1:80'], /--host must be an IP address or a name, without a port/],
    [['--data', ' '], /--data must not be empty/],
    [['--drain', '61'], /--drain must be a number from 0 to 60/],
    [['--log-level', 'loud'], /--log-level must be one of debug, info, warn, error/],
    [['--apps', 'nowhere.json'], /nowhere\.json cannot be read \(ENOENT\)/],
    [['--tls-cert', 'cert.pem'], /--tls-cert and --tls-key go together/],
    [['--tls-cert', 'package.json', '--tls-key', 'package.json'], /are not a certificate chain and its private key/],
    [['--colour'], /Unknown option '--colour'/],
    [['extra'], /'extra'/],
    [['--host', '0.0.0.0'], /the demo app's key is known to all: give --apps, or --admin-token/],
    [['--host', '::'], /give --apps/],
    [['--host', 'example.com'], /give --apps/],
    [['--host', '0.0.0.0', '--apps', apps, '--sandbox'], /--sandbox lets everybody make apps/],
    [['--trust-proxy'], /by --trust-proxy the server can be reached by others, .*: give --apps, or --admin-token/],
    [['--trust-proxy', '--sandbox', '--apps', apps], /--sandbox lets everybody make apps, and by --trust-proxy/],
  ];
  for (const [args, why] of cases) {
    const read = () => {
      const settings = readOptions(args, {});
      if (settings.apps) readApps(settings.apps);
    };
    assert.throws(read, why, args.join(' '));
  }
  for (const host of ['127.0.0.1', '127.3.2.1', '::1', 'localhost']) {
    assert.equal(readOptions(['--host', host], {}).host, host);
  }
  for (const host of ['0.0.0.0', '::', 'example.com']) readOptions(['--host', host, '--apps', apps], {});
});

test('the command line wins over the environment, and that over the file', (t) => {
  const config = path.join(folder(t), 'config.json');
  fs.writeFileSync(config, JSON.stringify({ port: 1, host: '127.0.0.2', drain: 1, apps: { apps: [] }, sandbox: true }));
  const environment = {
    COURTSIDE_CONFIG: config, COURTSIDE_PORT: '2', COURTSIDE_HOST: '127.0.0.3', COURTSIDE_EPHEMERAL: 'true',
  };
  const { port, host, drain, ephemeral, sandbox, apps: read } = readOptions(['--port', '3'], environment);
  assert.deepEqual({ port, host, drain, ephemeral, sandbox, read },
    { port: 3, host: '127.0.0.3', drain: 1, ephemeral: true, sandbox: true, read: apps });

  assert.throws(() => readOptions([], { COURTSIDE_PORT: 'x' }), /COURTSIDE_PORT must be a number/);
  assert.throws(() => readOptions([], { COURTSIDE_EPHEMERAL: 'yes' }), /COURTSIDE_EPHEMERAL must be true or false/);
  const token = path.join(path.dirname(config), 'token');
  fs.writeFileSync(token, 'a-token-in-a-file\n');
  assert.equal(readOptions(['--admin-token', `@${token}`], {}).adminToken, 'a-token-in-a-file');
  assert.throws(() => readOptions(['--admin-token', '@a-secret'], {}), (error) =>
    /the file behind @ cannot be read/.test(String(error)) && !/a-secret/.test(String(error)));
  fs.writeFileSync(config, '{"ports":1}');
  assert.throws(() => readOptions(['--config', config], {}), /has an option ports; there are port, host/);
  for (const text of ['null', '[]', '1', '"port"']) {
    fs.writeFileSync(config, text);
    assert.throws(() => readOptions(['--config', config], {}), /config\.json must be a JSON object of options/);
  }
  fs.writeFileSync(config, '{"port":"x"}');
  assert.throws(() => readOptions(['--config', config], {}), /"port" in .*config\.json must be a number/);
});

test('a text that is not JSON is told where it stops to be', () => {
  /** @type {[string, number, number][]} */
  const cases = [
    ['no JSON', 1, 2], ['{"a": [1, 2', 1, 12], ['{\n "apps": [\n  {x}]}', 3, 4], ['{}\nx', 2, 1], ['["a\nb"]', 1, 4], ['', 1, 1],
    ['{"a": "b', 1, 9], ['{"a":1,}', 1, 8], ['[tru]', 1, 5],
  ];
  for (const [text, line, column] of cases) assert.equal(placeOfFault(text), `at line ${line}, column ${column}`, text);
});

test('variables that are named as ours are, and are none of them, are found', () => {
  const environment = { COURTSIDE_POTR: '1', COURTSIDE_PORT: '1', COURTSIDE_CONFIG: 'x', COURTSIDE_KEY: 'x', PATH: 'x' };
  assert.deepEqual(unknownVariables(environment), ['COURTSIDE_POTR']);
});

test('each command has help of its own', async () => {
  for (const [name, form] of [['serve', '[options]'], ['backup', '[--data DIR] DEST'], ['restore', '[--data DIR] FROM']]) {
    const { code, output } = await run([String(name), '--help']);
    assert.deepEqual([code, output.startsWith(`courtside ${name} ${form} `)], [0, true]);
    assert.ok(!output.includes('courtside load'), name);
  }
  assert.match((await run(['backup'])).output, /^courtside: give one DEST; say courtside backup \[--data DIR\] DEST$/m);
});

test('what is wrong is named as the command names it', async () => {
  assert.equal((await run(['check-apps', 'nowhere.json'])).output, 'courtside: FILE: nowhere.json cannot be read (ENOENT)\n');
  assert.deepEqual(await run(['backup', '--data=', 'x']), { code: 2, output: 'courtside: --data must not be empty\n' });
});

test('nothing is published that was not said', async () => {
  const { code, output } = await run(['publish', 'scores']);
  assert.deepEqual([code, /what is to be published\? Give DATA/.test(output)], [2, true]);
});

test('apps are JSON or a file of it, and a refusal tells nothing of them', (t) => {
  const file = path.join(folder(t), 'apps.json');
  fs.writeFileSync(file, '{\n  "apps": []\n}\n');
  assert.equal(readApps(file), apps);
  assert.equal(readApps(` ${apps}`), apps);
  fs.writeFileSync(file, '{"apps": [{"secret": "a-secret"');
  const refusal = (/** @type {() => void} */ act) => {
    try {
      act();
    } catch (error) {
      return /** @type {Error} */ (error).message;
    }
    return assert.fail('it was not refused');
  };
  assert.equal(refusal(() => readApps(file)), `${file} is not JSON at line 1, column 32`);
  assert.match(refusal(() => readApps(JSON.stringify({ apps: ['x'.repeat(120_000)] }))), /more than 120000 bytes/);
});

test('--help names every option, and wrong usage has a status of its own', async () => {
  const { code, output } = await run(['--help']);
  assert.equal(code, 0);
  const names = ['port', 'host', 'data', 'ephemeral', 'apps', 'admin-token', 'tls-cert', 'tls-key', 'config', 'drain'];
  for (const name of names) {
    assert.match(output, new RegExp(`--${name}\\b`));
  }
  const refused = { code: 2, output: 'courtside: --port must be a number from 0 to 65535\n' };
  assert.deepEqual(await run(['serve', '--port', 'x']), refused);
  assert.equal((await run(['launch'])).code, 2);
});

test('a variable of the deployment that cannot be so keeps it from starting', async () => {
  const { code, output } = await run(['serve', '--ephemeral', '--port', '0'], { RELAY_CONNECTIONS: 'many' });
  assert.equal(code, 1);
  assert.match(output, /RELAY_CONNECTIONS can't be many: it must be a whole number from 1 to 32768/);
});

test('nor does a server start with one that it would pass over, or tell each client', async (t) => {
  const live = JSON.stringify({ apps: [{ id: 'live', keys: [{ name: 'main', secret: 'x'.repeat(16), capability: {} }] }] });
  const cases = /** @type {[Record<string, string>, RegExp][]} */ ([
    [{ COURTSIDE_ADMIN_TOKEN: 'short' }, /the admin token must have 16 bytes at least/],
    [{ EVENT_KEY: 'live.other' }, /EVENT_KEY names none of the keys of the apps/],
    [{ WEBHOOK_PRIVATE_ADDRESSES: '1' }, /WEBHOOK_PRIVATE_ADDRESSES must be true or false/],
    [{ PUSH_PRIVATE_ADDRESSES: 'yes' }, /PUSH_PRIVATE_ADDRESSES must be true or false/],
    [{ PUSH_CONTACT: 'me@example.com' }, /PUSH_CONTACT must be mailto: and an address, or an https URL/],
    [{ ERRORS_URL: 'zz' }, /ERRORS_URL must be a URL/],
  ]);
  const data = folder(t);
  for (const [environment, why] of cases) {
    const { code, output } = await run(['serve', '--data', data, '--port', '0', '--apps', live], environment);
    assert.equal(code, 1, output);
    assert.match(output, why);
    assert.doesNotMatch(output, /at .*\.mjs/);
  }
});

test('what clients cause again and again fills no disk with lines', () => {
  /** @type {string[]} */
  const lines = [];
  let now = 1_000;
  const log = new Log('warn', (line) => lines.push(JSON.parse(line).event), () => now);
  const causeMany = () => {
    for (let count = 0; count < LOG_LINES_PER_SECOND * 3; count++) log.sayOften('error', 'runtime', {});
    log.sayOften('info', 'runtime', {});
    return lines.splice(0);
  };
  const bounded = [...Array(LOG_LINES_PER_SECOND).fill('runtime'), 'lines left out'];
  assert.deepEqual(causeMany(), bounded);
  now += 999;
  log.say('error', 'stopping');
  assert.deepEqual(causeMany(), ['stopping'], 'what the supervisor says is never left out');
  now += 1;
  assert.deepEqual(causeMany(), bounded);
});

test('errors that clients cause leave room in the log for what operators do', () => {
  /** @type {string[]} */
  const lines = [];
  const log = new Log('info', (line) => lines.push(JSON.parse(line).message), () => 1_000);
  for (let count = 0; count < LOG_LINES_PER_SECOND * 3; count++) log.sayOften('error', 'runtime', { message: 'flood' });
  log.sayOften('info', 'runtime', { message: 'ban' });
  assert.equal(lines.at(-1), 'ban');
});
