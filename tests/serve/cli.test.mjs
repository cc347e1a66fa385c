/** The commands that work with a server, against `courtside serve`, and with the unchanged SDK at the other end. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test, { after } from 'node:test';
import Ably from 'ably';
import { operations, roles } from '../../bin/client/capability.mjs';
import { TOP_PAGE } from '../../bin/client/limits.mjs';
import { bar } from '../../bin/client/terminal.mjs';
import { commands, help, load } from '../../bin/command.mjs';
import { Running, adminToken, cli, key, plainKey, serve, surroundings } from './cli.mjs';
import { Served, command, folder } from './served.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const served = await serve({ after });
const environment = surroundings(served);
const secrets = [key, plainKey].map((one) => one.split(':')[1] ?? '');

/** One that must do what it is told. @param {string[]} args @param {string} [input] */
async function done(args, input) {
  const { code, out, err } = await cli(args, environment, input);
  assert.equal(code, 0, `${args.join(' ')}: ${err}`);
  for (const secret of [...secrets, adminToken]) assert.ok(!`${out}${err}`.includes(secret), 'no secret is printed');
  return { out, err, lines: out.split('\n').filter(Boolean) };
}

/** One that must fail, saying why. @param {string[]} args @param {RegExp} why @param {number} [code] */
async function refused(args, why, code = 2) {
  const result = await cli(args, environment);
  assert.match(result.err, why, args.join(' '));
  assert.equal(result.code, code, args.join(' '));
  for (const secret of [...secrets, adminToken]) assert.ok(!result.err.includes(secret), 'no secret is printed');
}

/** A client of the SDK, which ends with the test. @param {import('node:test').TestContext} t @param {object} options */
function client(t, options) {
  const ably = new Ably.Realtime({ ...served.clientOptions, logLevel: 0, ...options });
  t.after(() => ably.close());
  return ably;
}

test('each command has help, and refuses what it does not know', async () => {
  const all = (await done(['--help'])).out;
  await Promise.all(Object.entries(commands).map(async ([name, what]) => {
    assert.ok(all.includes(what), name);
    const { out } = await done([name, '--help']);
    const loaded = await load(name);
    assert.equal(out, help(name, loaded));
    assert.ok(Math.max(...out.split('\n').map((line) => line.length)) <= 160, `${name}: a terminal's width`);
    await refused([name, '--colour'], new RegExp(`Unknown option '--colour'; courtside ${name} has --`));
    await refused([name, ...new Array(30).fill('x')], new RegExp(`say courtside ${name}`));
  }));
  await refused(['constructor'], /there is no command constructor/);
});

test('where a server is and who asks is told in one way, and no key goes astray', async (t) => {
  await refused(['stats', '--url', 'ftp://x'], /--url must be a URL such as/);
  await refused(['stats', '--url', 'http://x/path'], /without a path/);
  await refused(['stats', '--url', `http://${key}@x`], /--url must not hold a key/);
  await refused(['stats', '--url', 'http://192.0.2.1'], /has no TLS, so that others could read the secret/);
  await refused(['stats', '--key', key, '--token', 'x'], /--key and --token exclude each other/);
  await refused(['stats', '--key', 'demo.key1:a-wrong-secret'], /invalid credentials \(40101\)/, 1);
  await refused(['stats', '--key', '@/nowhere'], /--key: the file behind @ cannot be read \(ENOENT\)/);
  await refused(['publish', 'x', 'y', '--url', 'http://127.0.0.1:9'], /cannot be reached/, 1);
  const away = await cli(['stats', '--url', 'https://live.example.com'], { COURTSIDE_KEY: '' });
  assert.match(away.err, /who asks\? Give --key or --token/);
  const [file] = [path.join(folder(t), 'key')];
  fs.writeFileSync(file, `${key}\n`);
  const others = { ...environment, COURTSIDE_KEY: '', COURTSIDE_TOKEN: 'another' };
  const own = await cli(['stats', '--key', `@${file}`], others);
  assert.deepEqual([own.code, own.err], [0, '']);
});

/** @param {import('node:test').TestContext} t @param {string} text for all @param {number} [status] of WebSockets */
async function another(t, text, status = 200) {
  const page = http.createServer((request, response) => {
    response.writeHead(request.headers.upgrade ? status : 200).end(text);
  }).listen(0, '127.0.0.1');
  await once(page, 'listening');
  t.after(() => page.close());
  return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (page.address()).port}`;
}

const asking = [
  ['publish', 'x', 'y'], ['stats'], ['tail', 'x'], ['top', '--count', '1'], ['top', '--count', '1', '--channels', '0'],
  ['kick', '--client-id', 'a'], ['kick', '--client-id', 'a', '--ban', '1h'], ['kick', '--client-id', 'a', '--lift'],
  ['kick', '--connection', 'a'], ['load', '--viewers', '2', '--rate', '1', '--seconds', '1'], ['apps', 'list'],
  ['apps', 'create'], ['apps', 'end', 'a'], ['apps', 'keys', 'a'], ['apps', 'add-key', 'a'],
  ['apps', 'rotate-key', 'a', 'b'], ['apps', 'namespaces', 'a'], ['apps', 'set-namespace', 'a', 'b'],
];

for (const text of ['', '<html>', '{}', 'null', '[null]', '{"serials":1,"results":{}}']) {
  test(`who answers ${text || 'nothing'} is not taken for a server`, async (t) => {
    const url = await another(t, text);
    const why = /^courtside: http:\S+ does not answer as Courtside does: is the URL right\?\n$/;
    await Promise.all(asking.map((args) => refused([...args, '--url', url], why, 1)));
  });
}

test('load gives up at once where no WebSocket is spoken', { timeout: 30_000 }, async (t) => {
  const url = await another(t, '[1764500000000]');
  const why = /does not answer as Courtside does \(it speaks no WebSocket\): is the URL right\?\n$/;
  await refused(['load', '--viewers', '2', '--rate', '1', '--seconds', '1', '--url', url], why, 1);
});

for (const status of [400, 401, 403, 404]) {
  test(`load gives up at once where a WebSocket is answered with ${status}`, { timeout: 30_000 }, async (t) => {
    const url = await another(t, '[1764500000000]', status);
    const why = new RegExp(`does not answer as Courtside does \\(it answers with status ${status}\\): is the URL right\\?\\n$`);
    await refused(['load', '--viewers', '2', '--rate', '1', '--seconds', '1', '--url', url], why, 1);
  });
}

test('a token lets its client do what its role may, as its name, and nothing else', async (t) => {
  const token = async (/** @type {string[]} */ ...args) => (await done(['token', ...args])).lines[0] ?? '';
  const ann = client(t, { token: await token('--role', 'chatter', '--client-id', 'ann', '--channel', 'chat:*') });
  const room = ann.channels.get('chat:lobby');
  await room.presence.enter();
  await room.publish('said', 'hello');
  assert.equal(ann.auth.clientId, 'ann');
  await assert.rejects(ann.channels.get('other').publish('said', 'hello'), { code: 40160 });
  const viewer = client(t, { token: await token('--role', 'viewer') });
  assert.equal((await viewer.channels.get('chat:lobby').history()).items[0]?.data, 'hello');
  await assert.rejects(viewer.channels.get('chat:lobby').publish('said', 'hello'), { code: 40160 });
  const exact = await token('--capability', '{"scores":["publish"]}', '--ttl', '10m', '--revocation-key', 'table-7');
  const claims = JSON.parse(Buffer.from(exact.split('.')[1] ?? '', 'base64url').toString());
  assert.deepEqual([claims['x-ably-revocation-key'], claims.exp - claims.iat], ['table-7', 600]);
  const requested = JSON.parse(await token('--request', '--client-id', 'bob'));
  const bob = client(t, { authCallback: (/** @type {any} */ _, /** @type {any} */ done) => done(null, requested) });
  await bob.connection.whenState('connected');
  assert.equal(bob.auth.clientId, 'bob');
});

test('a token that could not work is refused at once', async () => {
  await refused(['token', '--role', 'king'], /--role must be one of viewer, chatter, host/);
  await refused(['token', '--role', 'host'], /a host has a name: give --client-id/);
  await refused(['token', '--role', 'viewer', '--capability', '{"*":["*"]}'], /exclude each other/);
  await refused(['token', '--channel', 'x'], /--channel goes with --role/);
  await refused(['token', '--capability', '{"*":["publsh"]}'], /an operation "publsh"; there are \*, admin, annotation-/);
  await refused(['token', '--capability', '["publish"]'], /lists of operations by channel/);
  await refused(['token', '--capability', '{'], /--capability must be JSON/);
  await refused(['token', '--ttl', '2d'], /--ttl must be a time such as 90s, 30m or 1h, from 1 to 86400/);
  await refused(['token', '--key', 'demo'], /the key must be APP\.KEY:SECRET/);
  await refused(['token', '--client-id', 'a\nb'], /--client-id must hold no control character/);
  await refused(['token', '--client-id', 'a\u0085'], /--client-id must hold no control character/);
  await refused(['token', '--client-id', 'é'.repeat(128)], /--client-id has more than 255 bytes/);
  await refused(['token', '--revocation-key', 'x'.repeat(256)], /--revocation-key has more than 255 bytes/);
  const named = (/** @type {string[]} */ ...channels) =>
    ['token', '--role', 'viewer', ...channels.flatMap((channel) => ['--channel', channel])];
  await refused(named('x', '[bad'), /--channel has a channel "\[bad", whose \[ is not closed/);
  await refused(named('[what]x'), /but only \[\*\], \[filter\], \[meta\], \[queue\] may precede a name/);
  await refused(named('[*]'), /which names none/);
  await refused(named('a\tb'), /"a\\tb", which holds a control character/);
  await refused(named('x'.repeat(2_049)), /which has more than 2048 bytes/);
  await refused(named(...Array.from({ length: 101 }, (_, index) => `${index}`)), /names 101 channels; .* 100 at most/);
  await refused(named('x'.repeat(2_000), 'y'.repeat(2_048)), /capability of \d+ bytes; a token has 4096 at most/);
  await refused(['token', '--capability', '{"[bad":["publish"]}'], /--capability has a channel "\[bad"/);
});

test('the operations are those of the server', () => {
  const source = fs.readFileSync(path.join(root, 'src/auth/operations.rs'), 'utf8');
  assert.deepEqual(operations, [...source.matchAll(/^ {4}[A-Z_]+ = \d+, "(.*)";$/gm)].map(([, name]) => name));
  for (const may of Object.values(roles)) assert.deepEqual(may.filter((name) => !operations.includes(name)), []);
});

test('what is published is heard, and once', async () => {
  const [serial] = (await done(['publish', 'one', '15-0', '--name', 'score', '--client-id', 'ann'])).lines;
  await done(['publish', 'one', '{"home":15}', '--json', '--id', 'point-1']);
  const [again] = (await done(['publish', 'one', '{"home":15}', '--json', '--id', 'point-1'])).lines;
  const { lines } = await done(['tail', 'one', '--rewind', '10', '--count', '2', '--json']);
  const heard = lines.map((line) => JSON.parse(line));
  assert.deepEqual(heard.map(({ event, name, clientId, data }) => [event, name, clientId, data]),
    [['message', 'score', 'ann', '15-0'], ['message', undefined, undefined, '{"home":15}']]);
  assert.deepEqual(heard.map((message) => message.serial), [serial, again]);
  await refused(['publish', 'one', '5', '--json'], /DATA must be an object or a list/);
  await refused(['publish', 'one', '{', '--json'], /DATA must be JSON/);
  await refused(['publish', '[x', 'y'], /\(40010\)/, 1);
});

test('lines of standard input are messages in their order, and again are none', async () => {
  const input = Array.from({ length: 1_500 }, (_, index) => `${index}\n`).join('');
  assert.equal((await done(['publish', 'lines', '-'], input)).lines.length, 1_500);
  const { lines } = await done(['tail', 'lines', '--rewind', '2m', '--count', '100']);
  const last = Array.from({ length: 100 }, (_, index) => 1_400 + index);
  assert.deepEqual(lines.map((line) => Number(line.split('\t')[4])), last);
  const few = 'a\nb\nc\n';
  const serials = (await done(['publish', 'few', '-', '--id', 'mine'], few)).lines;
  assert.deepEqual((await done(['publish', 'few', '-', '--id', 'mine'], few)).lines, serials);
  await done(['publish', 'windows', '-'], 'a\r\nb\r');
  const heard = await done(['tail', 'windows', '--rewind', '2', '--count', '2']);
  assert.deepEqual(heard.lines.map((line) => line.split('\t')[4]), ['a', 'b']);
  const large = `${'x'.repeat(40_000)}\n`.repeat(4);
  assert.equal((await done(['publish', 'large', '-'], large)).lines.length, 4);
  const endless = await cli(['publish', 'large', '-'], environment, 'x'.repeat(200_000));
  assert.match(endless.err, /a line has more than 65536 bytes/);
  const wrong = await cli(['publish', 'few', '-', '--json'], environment, '{"a":1}\nno\n');
  assert.match(wrong.err, /line 2: DATA must be JSON/);
  assert.equal(wrong.code, 2);
});

test('tail filters, tells members, and lets nobody write to the terminal', async (t) => {
  const tail = new Running(['tail', 'full', '--filter', "name == 'goal'", '--count', '1', '--json'], environment);
  t.after(() => tail.child.kill());
  const ann = client(t, { key, clientId: 'ann' });
  // It listens when it hears what is repeated until then.
  while (tail.child.exitCode === null) {
    await ann.channels.get('full').publish('miss', 'x');
    await ann.channels.get('full').publish('goal', '\u001b[2J1-0');
  }
  assert.equal(await tail.ended, 0);
  assert.equal(JSON.parse(tail.out).name, 'goal');
  const plain = await done(['tail', 'full', '--rewind', '1', '--count', '1']);
  assert.ok(plain.out.includes('\\u001b[2J1-0') && !plain.out.includes('\u001b'), plain.out);
  await ann.channels.get('room').presence.enter('here');
  const there = await done(['tail', 'room', '--presence', '--count', '1']);
  assert.match(there.out, /\troom\t\[present\]\tann\there\n/);
  await refused(['tail', 'full', '--rewind', 'x'], /'rewind' must be a number.* \(40003\)/, 1);
  await refused(['tail', 'full', '--filter', 'name =='], /\(4\d{4}\)/, 1);
});

test('tail goes on where it was when the server was killed', async (t) => {
  const tail = new Running(['tail', 'persisted:x', '--rewind', '1', '--count', '3', '--json'], environment);
  t.after(() => tail.child.kill());
  await done(['publish', 'persisted:x', 'before']);
  await tail.printed(/"before"/);
  const from = served.lines.length;
  process.kill(served.runtimePid, 'SIGKILL');
  await served.heard('ready', from);
  await done(['publish', 'persisted:x', 'meanwhile']);
  await done(['publish', 'persisted:x', 'after']);
  assert.equal(await tail.ended, 0);
  assert.deepEqual(tail.out.trim().split('\n').map((line) => JSON.parse(line).data), ['before', 'meanwhile', 'after']);
  assert.match(tail.err, /trying again/);
  assert.doesNotMatch(tail.err, /missing/);
});

test('publish goes on with its lines when the server was killed', async (t) => {
  const publish = new Running(['publish', 'persisted:lines', '-'], environment);
  t.after(() => publish.child.kill());
  publish.child.stdin.write('one\n');
  await publish.printed(/^\d+-.*\n/);
  const from = served.lines.length;
  process.kill(served.runtimePid, 'SIGKILL');
  publish.child.stdin.end('two\nthree\n');
  await served.heard('ready', from);
  assert.equal(await publish.ended, 0, publish.err);
  const { lines } = await done(['tail', 'persisted:lines', '--rewind', '10', '--count', '3', '--json']);
  assert.deepEqual(lines.map((line) => JSON.parse(line).data), ['one', 'two', 'three']);
});

test('stats and top show what there is', async (t) => {
  const ann = client(t, { key });
  await ann.channels.get('watched').attach();
  await ann.channels.get('watched').publish('a', 'b');
  const { lines } = await done(['top', '--count', '2', '--every', '1s', '--json']);
  const [first, second] = lines.map((line) => JSON.parse(line));
  const found = second.channels.find((/** @type {any} */ { name }) => name === 'watched');
  assert.deepEqual([found.occupancy.connections, found.occupancy.subscribers], [1, 1]);
  assert.deepEqual(Object.keys(first.rates), ['connections', 'channels']);
  assert.ok('messages out/s' in second.rates);
  const plain = await done(['top', '--count', '1']);
  assert.match(plain.out, /^connections\tchannels\tmessages in\/s[^]*^watched\t1\t1\t1\t0$/m);
  const rows = await done(['stats', '--unit', 'month']);
  assert.match(rows.lines[0] ?? '', /^month\tmessages in\tmessages out/);
  const [[item]] = [JSON.parse((await done(['stats', '--unit', 'month', '--json'])).out)];
  assert.equal(item.unit, 'month');
  await refused(['stats', '--unit', 'year'], /--unit must be one of minute, hour, day, month/);
  await refused(['stats', '--start', 'tomorrow'], /\(4000\d\)/, 1);
});

test('top finds the fullest channel on whatever page it is', async (t) => {
  const ann = client(t, { key });
  const names = Array.from({ length: TOP_PAGE + 1 }, (_, index) => `paged:${String(index).padStart(3, '0')}`);
  await Promise.all(names.map((name) => ann.channels.get(name).attach()));
  const last = names.at(-1) ?? '';
  await client(t, { key }).channels.get(last).attach();
  const { lines } = await done(['top', '--count', '1', '--channels', '1', '--json']);
  assert.deepEqual(JSON.parse(lines[0] ?? '').channels.map((/** @type {any} */ { name }) => name), [last]);
});

test('kick ends a client\'s connection, and says what it cannot end', async (t) => {
  const [token] = (await done(['token', '--role', 'chatter', '--client-id', 'rowdy'])).lines;
  const rowdy = client(t, { token });
  await rowdy.connection.whenState('connected');
  const gone = new Promise((resolve) => rowdy.connection.once('failed', resolve));
  assert.match((await done(['kick', '--client-id', 'rowdy'])).out, /clientId:rowdy is sent away/);
  assert.equal(/** @type {any} */ (await gone).reason.code, 40171);
  await refused(['kick'], /whom\? Give one of --client-id/);
  await refused(['kick', '--client-id', 'a', '--channel', 'b'], /whom\?/);
  await refused(['kick', '--client-id', 'a', '--key', plainKey], /revocable tokens \(40163\)/, 1);
  await refused(['kick', '--connection', 'x', '--grace'], /--grace is for tokens/);
  await refused(['kick', '--client-id', 'a', '--ban', 'long'], /--ban must be a time such as/);
  await refused(['kick', '--ban', '1h'], /take --client-id and --channel/);
  await refused(['kick', '--client-id', 'a', '--ban', '1h', '--lift'], /exclude each other/);
  await refused(['kick', '--client-id', 'a', '--reason', 'x'], /--reason goes with --ban/);
});

test('kick bans a client and ends a connection where the server can, and else says so', async (t) => {
  const headers = { authorization: `Bearer ${adminToken}` };
  if ((await fetch(`${served.url}/apps/demo/bans`, { headers })).status === 404) {
    const cannot = /this server has no bans and ends no single connections/;
    await refused(['kick', '--client-id', 'spammer', '--ban', '1h'], cannot, 1);
    return refused(['kick', '--connection', 'x'], cannot, 1);
  }
  const spammer = client(t, { key, clientId: 'spammer' });
  await spammer.connection.whenState('connected');
  const failed = new Promise((resolve) => spammer.connection.once('failed', resolve));
  await done(['kick', '--client-id', 'spammer', '--ban', '1h', '--reason', 'spam']);
  assert.match(/** @type {any} */ (await failed).reason.message, /spam/);
  await refused(['publish', 'x', 'y', '--client-id', 'spammer'], /\(40300\)/, 1);
  assert.match((await done(['kick', '--client-id', 'spammer', '--lift'])).out, /clientId:spammer may come again/);
  const one = client(t, { key });
  await one.connection.whenState('connected');
  const left = new Promise((resolve) => one.connection.once((change) => resolve(change.current)));
  await done(['kick', '--connection', one.connection.id ?? '']);
  assert.notEqual(await left, 'connected');
});

test('apps are made, listed and ended', async () => {
  const described = '{"namespaces":[{"id":"a","persisted":true}]}';
  const made = JSON.parse((await done(['apps', 'create', '-', '--json'], described)).out);
  assert.equal(made.namespaces[0].id, 'a');
  const { out } = await done(['apps', 'list']);
  assert.deepEqual(out, `app\tmade by\ndemo\tconfiguration\n${made.appId}\trun time\n`);
  const own = await cli(['publish', 'a:x', 'y', '--key', made.keys[0].keyStr], environment);
  assert.equal(own.code, 0);
  assert.equal((await done(['apps', 'end', made.appId])).out, `${made.appId} is ended\n`);
  await refused(['apps', 'end', 'demo'], /\(40[34]00\)/, 1);
  await refused(['apps', 'end'], /say courtside apps end APP/);
  await refused(['apps', 'list', 'x'], /say courtside apps list$/m);
  await refused(['apps', 'make'], /there is no apps make; there are list, create, end, keys, /);
  await refused(['apps', 'create', '{'], /the app must be JSON/);
  await refused(['apps', 'list', '--admin-token', 'wrong-admin-token'], /\(40101\)/, 1);
  const none = await cli(['apps', 'list'], { ...environment, COURTSIDE_ADMIN_TOKEN: '' });
  assert.match(none.err, /only the operator may/);
});

test('keys of an app are added, rotated and removed', async () => {
  const { appId: app } = JSON.parse((await done(['apps', 'create', '--json'])).out);
  const keyOf = (/** @type {string[]} */ lines) => lines[1]?.split('\t')[1] ?? '';
  const works = async (/** @type {string} */ key) => (await cli(['publish', 'x', 'y', '--key', key], environment)).code === 0;
  const added = keyOf((await done(['apps', 'add-key', app, '{"*":["publish"]}', '--revocable'])).lines);
  assert.ok(added.startsWith(`${app}.`) && await works(added));
  const id = added.slice(app.length + 1).split(':')[0] ?? '';
  const listed = async () => (await done(['apps', 'keys', app])).lines.slice(1).map((line) => line.split('\t'));
  assert.deepEqual((await listed()).at(-1), [id, '{"*":["publish"]}', 'revocable', '']);
  const next = keyOf((await done(['apps', 'rotate-key', app, id, '--overlap', '1h'])).lines);
  assert.ok(await works(next) && await works(added), 'both are good for an hour');
  const [, , , until = ''] = (await listed()).find(([one]) => one === id) ?? [];
  assert.ok(Math.abs(Date.parse(until) - Date.now() - 3_600_000) < 60_000, until);
  assert.equal((await done(['apps', 'remove-key', app, id])).out, `${app}.${id} is removed\n`);
  assert.deepEqual([await works(added), await works(next)], [false, true]);
  const at = JSON.parse((await done(['apps', 'rotate-key', app, next.slice(app.length + 1).split(':')[0] ?? '', '--overlap', '0', '--json'])).out);
  assert.deepEqual([await works(next), await works(at.keyStr)], [false, true], 'without an overlap at once');
  await refused(['apps', 'remove-key', app], /say courtside apps remove-key APP KEY/);
  await refused(['apps', 'remove-key', app, 'none'], /\(40400\)/, 1);
  await refused(['apps', 'add-key', app, '{"*":["fly"]}'], /is no operation/, 1);
  await refused(['apps', 'add-key', app, 'all'], /CAPABILITY must be JSON/);
  await refused(['apps', 'add-key', app, '--overlap', '1h'], /--overlap goes with rotate-key/);
  await refused(['apps', 'keys', app, '--revocable'], /--revocable goes with add-key/);
  await refused(['apps', 'rotate-key', app, id, '--overlap', '91d'], /--overlap must be a time such as/);
  await refused(['apps', 'add-key', 'demo'], /\(40300\)/, 1);
  await refused(['apps', 'keys', 'no-such-app'], /no such app \(40400\)/, 1);
  assert.doesNotMatch((await done(['apps', 'keys', 'demo', '--json'])).out, /secret/i);
});

test('namespaces of an app are set and removed', async () => {
  const { appId: app } = JSON.parse((await done(['apps', 'create', '--json'])).out);
  const set = await done(['apps', 'set-namespace', app, 'chat', '{"persisted":true,"mutableMessages":true}']);
  assert.match(set.out, /^namespace\trules\nchat\t\{.*"persisted":true.*\}\n$/);
  await done(['apps', 'set-namespace', app, 'chat', '-'], '{"maxMembers":10}');
  await done(['apps', 'set-namespace', app, 'bare']);
  const { out } = await done(['apps', 'namespaces', app]);
  assert.equal(out, 'namespace\trules\nchat\t{"maxMembers":10}\nbare\t{}\n', 'all rules are those that were given last');
  assert.equal((await done(['apps', 'remove-namespace', app, 'bare'])).out, 'the namespace bare is removed\n');
  assert.deepEqual(JSON.parse((await done(['apps', 'namespaces', app, '--json'])).out).map((/** @type {any} */ one) => one.id), ['chat']);
  await refused(['apps', 'set-namespace', app, 'chat', '{"persistd":true}'], /persistd.*\(40000\)/, 1);
  await refused(['apps', 'set-namespace', app, 'chat', '{'], /the namespace must be JSON/);
  await refused(['apps', 'set-namespace', app, 'chat', '{"id":"other"}'], /another than the path's/, 1);
  await refused(['apps', 'remove-namespace', app, 'none'], /\(40400\)/, 1);
  await refused(['apps', 'set-namespace', 'demo', 'chat', '{}'], /\(40300\)/, 1);
});

test('check-apps says what the server says, and where', async (t) => {
  const file = path.join(folder(t), 'apps.json');
  const write = (/** @type {unknown} */ apps) => fs.writeFileSync(file, JSON.stringify({ apps }, null, 2));
  const secret = 'a-secret-that-is-long-enough';
  write([{ id: 'live', keys: [{ name: 'main', secret }], namespaces: [{ id: 'chat', persisted: true }] }]);
  assert.equal((await done(['check-apps', file])).out, 'app\tkeys\tnamespaces\nlive\t1\t1\n');
  const piped = JSON.parse((await done(['check-apps', '-', '--json'], fs.readFileSync(file, 'utf8'))).out);
  assert.deepEqual(piped, { ok: true, apps: [{ id: 'live', keys: 1, namespaces: 1 }] });
  const long = await cli(['check-apps', '-'], environment, JSON.stringify({ apps: [{ id: 'live', keys: [], namespaces:
    Array.from({ length: 100 }, (_, index) => ({ id: `${'n'.repeat(40)}${index}` })) }] }));
  assert.match(long.err, /^courtside: they have 5\d{3} bytes; a secret on Cloudflare has 5000 at most\n$/);
  /** @type {[unknown, RegExp][]} */
  const wrong = [
    [[{ id: 'live', keys: [{ name: 'main', secret: 'short-one' }] }], /keys\[0\]\.secret is wrong: it has 9 bytes/],
    [[{ id: 'live', keys: [{ name: 'main', secret, capability: { x: ['a'] } }] }], /keys\[0\]\.capability is wrong/],
    [[{ id: 'live', namespaces: [{ id: 'a', persistd: true }] }], /apps\[0\]\.namespaces\[0\] has an unknown field/],
    [[{ id: 'live' }, { id: 'live' }], /two apps have one id/],
  ];
  for (const [apps, why] of wrong) {
    write(apps);
    await refused(['check-apps', file], why, 1);
  }
  const { code, out, err } = await cli(['check-apps', file, '--json']);
  assert.deepEqual([code, err, JSON.parse(out)], [1, '', { ok: false, error: 'two apps have one id' }]);
  fs.writeFileSync(file, '{"apps": [\n  {"id": "live",}\n]}');
  await refused(['check-apps', file], /is not JSON at line 2, column 17/);
  fs.writeFileSync(file, '[]');
  await refused(['check-apps', file], /apps\.json is no object, such as/);
  assert.match((await cli(['check-apps', '-'], environment, '[]')).err, /standard input is no object, such as/);
  assert.match((await cli(['check-apps', '-'], environment, 'no')).err, /standard input is not JSON/);
  await refused(['tail', ...new Array(21).fill('x')], /it follows 20 channels at most: say courtside tail/);
  await refused(['check-apps', `${file}.not`], /cannot be read \(ENOENT\)/);
  assert.deepEqual(fs.readdirSync(path.dirname(file)), ['apps.json']);
});

test('a crowd gets everything in order, though the server is killed', async (t) => {
  const crowd = new Running(['load', '--viewers', '50', '--rate', '50', '--seconds', '6', '--json'], environment);
  t.after(() => crowd.child.kill());
  await crowd.printed(/of 6 s/);
  process.kill(served.runtimePid, 'SIGKILL');
  assert.equal(await crowd.ended, 0, crowd.err);
  const result = JSON.parse(crowd.out);
  assert.deepEqual([result.acknowledged, result.delivered], [300, 300 * 50]);
  assert.deepEqual([result.lost, result.repeated, result.outOfOrder, result.gaps], [0, 0, 0, 0]);
  assert.ok(result.reconnected >= 50, 'all came back');
});

test('load shows how late it was over time', async () => {
  const { out } = await done(['load', '--viewers', '3', '--rate', '250', '--seconds', '1', '--direct', '--size', '1000']);
  assert.match(out, /^published {2}250 in [\d.]+ s, 250 acknowledged, 0 refused$/m);
  assert.match(out, /^delivered {2}750, /m);
  assert.match(out, /^lost 0, repeated 0, out of order 0, gaps 0$/m);
  assert.match(out, /^p50 {2}[▁-█]+ {2}up to [\d.]+ ms; a column is 1 s\np99 {2}/m);
});

test('over TLS the certificate is checked', async (t) => {
  const made = folder(t);
  const [cert, tlsKey] = ['cert.pem', 'key.pem'].map((name) => path.join(made, name));
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  const who = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', tlsKey, '-out', cert];
  spawnSync('openssl', ['req', '-x509', ...curve, ...who]);
  const secure = await Served.start(t, { args: ['--tls-cert', cert, '--tls-key', tlsKey] });
  const demo = { COURTSIDE_URL: secure.url, COURTSIDE_KEY: 'demo.key1:local-only' };
  const trusting = { ...demo, NODE_EXTRA_CA_CERTS: cert };
  assert.equal((await cli(['publish', 'x', 'y'], trusting)).code, 0);
  assert.equal((await cli(['tail', 'x', '--rewind', '1', '--count', '1'], trusting)).out.split('\t').at(-1), 'y\n');
  const load = ['load', '--viewers', '5', '--rate', '5', '--seconds', '1'];
  assert.equal((await cli(load, trusting)).code, 0);
  for (const command of [['publish', 'x', 'y'], ['tail', 'x'], load]) {
    const { code, err } = await cli(command, demo);
    assert.deepEqual([code, /cannot be reached: .*SELF_SIGNED/.test(err)], [1, true], err);
  }
});

test('load touches nothing that was not named', async () => {
  const { code, err } = await cli(['load', '--viewers', '1', '--rate', '1'], { ...environment, COURTSIDE_URL: '' });
  assert.deepEqual([code, /what is to be loaded\?/.test(err)], [2, true]);
  await refused(['load', '--viewers', '20001', '--rate', '1'], /--viewers must be a number from 1 to 20000/);
  await refused(['load', '--viewers', '1', '--rate', '1', '--url', 'http://127.0.0.1:9'], /cannot be reached/, 1);
  await refused(['load', '--viewers', '1'], /give --rate/);
  await refused(['load', '--viewers', '-1'], /a value of --viewers that begins with a dash is written --viewers=…; courtside load/);
  await refused(['load', '--viewers', '1', '--rate', '1', '--key', 'demo.key1:a-wrong-secret'], /\(40101\)/, 1);
});

test('load says at once that its channel is not allowed', { timeout: 30_000 }, async () => {
  const { out: token } = await done(['token', '--capability', '{"elsewhere":["subscribe"]}']);
  const args = ['load', '--viewers', '2', '--rate', '1', '--token', token.trim()];
  const { code, err } = await cli(args, { ...environment, COURTSIDE_KEY: '' });
  assert.deepEqual([code, /^courtside: load: .*allows nothing on this channel \(40160\)$/m.test(err)], [1, true], err);
});

test('a bar is as long as what is done', () => {
  assert.deepEqual([0, 0.26, 1, 2, NaN].map(bar).map((text) => [text.length, text.indexOf('░')]),
    [[20, 0], [20, 5], [20, -1], [20, -1], [20, 0]]);
});

test('a price is the sum of what it lists', async () => {
  const args = ['cost', '--viewers', '5000', '--hours', '1', '--rate', '10', '--interval', '500'];
  const { dollars, items, assumptions } = JSON.parse((await done([...args, '--json'])).out);
  const sum = items.reduce((/** @type {number} */ all, /** @type {any} */ item) => all + item.dollars, 0);
  assert.equal(sum.toFixed(9), dollars.toFixed(9));
  // docs/measurements.md has what such an hour was counted to cost.
  assert.ok(dollars > 0.08 && dollars < 0.11, String(dollars));
  const { out } = await done(args);
  for (const assumption of assumptions) assert.ok(out.includes(`- ${assumption}\n`));
  await refused(['cost', '--viewers', '1', '--hours', '1'], /give --rate/);
});

test('who reads may have enough', () => {
  const script = 'set -o pipefail; seq 1 2000 | "$0" "$1" publish piped - | head -1';
  const { status, stderr } = spawnSync('bash', ['-c', script, process.execPath, command],
    { env: { ...process.env, ...environment } });
  assert.deepEqual([status, String(stderr)], [0, '']);
});
