/** What is acknowledged is on disk, and comes back whatever happens to the process or the disk. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { connected, demoKey, rest } from '../worker/clients.mjs';
import { RawClient, action } from '../worker/raw_client.mjs';
import { fast, reactionStorm, report as reportStorm } from '../worker/storms.mjs';
import { report, torture } from '../worker/torture.mjs';
import { Served, fill, folder, run, smallDisk } from './served.mjs';
import { Tortured } from './torture.mjs';

test('no kill loses or repeats an acknowledged message, and members stay', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  console.log(`seed ${seed}`);
  const runtime = await Tortured.start(t, { environment: fast });
  t.diagnostic(report(await torture({ kills: 10, seed, runtime })));
});

test('no kill makes a count of reactions wrong', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  console.log(`seed ${seed}`);
  const runtime = await Tortured.start(t, { environment: fast });
  t.diagnostic(reportStorm('reactions', await reactionStorm({ kills: 6, reactions: 2_000, seed, runtime })));
});

test('who was present when the power failed leaves within the grace time', async (t) => {
  const served = await Served.start(t);
  const ann = new RawClient(served, { key: demoKey, clientId: 'ann' });
  await ann.expect(action.CONNECTED);
  ann.send({ action: action.ATTACH, channel: 'room' });
  await ann.expect(action.ATTACHED);
  ann.send({ action: 14, channel: 'room', msgSerial: 0, presence: [{ action: 2 }] });
  const { presence } = rest(served).channels.get('room');
  const names = async () => (await presence.get({})).items.map(({ clientId }) => clientId);
  while ((await names()).length === 0);
  await served.kill();
  await served.start();
  assert.deepEqual(await names(), ['ann']);
  while ((await names()).length > 0);
});

/**
 * What strace says of a runtime while something is done.
 * @param {import('node:test').TestContext} t
 * @param {Served} served
 * @param {() => Promise<void>} act
 */
async function traced(t, served, act) {
  const file = path.join(folder(t), 'trace');
  const args = ['-f', '-qq', '-e', 'trace=fsync,fdatasync', '-o', file, '-p', String(served.runtimePid)];
  const strace = spawn('strace', args, { stdio: 'ignore' });
  // It writes its file when it is attached.
  while (!fs.existsSync(file)) await new Promise(setImmediate);
  const status = () => fs.readFileSync(`/proc/${served.runtimePid}/status`, 'utf8');
  while (status().includes('TracerPid:\t0')) await new Promise(setImmediate);
  const ended = once(strace, 'exit');
  await act().finally(() => strace.kill('SIGINT'));
  await ended;
  return fs.readFileSync(file, 'utf8');
}

const traces = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0;
const noTrace = traces ? false : 'no strace here, or it may not trace';

test('every acknowledgement waits for the disk', { skip: noTrace }, async (t) => {
  const served = await Served.start(t);
  const channel = (await connected(t, served)).channels.get('synced');
  await channel.publish('a', 'first');
  const publishes = 25;
  const trace = await traced(t, served, async () => {
    for (let count = 0; count < publishes; count++) await channel.publish('a', `${count}`);
  });
  const syncs = trace.match(/f(data)?sync\(/g)?.length ?? 0;
  t.diagnostic(`${syncs} syncs for ${publishes} publishes, one after the other`);
  assert.ok(syncs >= publishes, `${syncs}`);
});

test('files of objects that gave their storage back are removed at the next start', async (t) => {
  const served = await Served.start(t);
  assert.equal((await publish(served, 'persisted:a', 'kept')).status, 201);
  await served.stop();
  const channels = path.join(served.data, 'objects/channel');
  const [kept] = fs.readdirSync(channels).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  // An empty database of one page, as the runtime leaves it.
  const page = fs.readFileSync(path.join(channels, kept)).subarray(0, 4_096);
  page.writeUInt32BE(1, 28);
  const [empty, pending, other] = ['0', '1', '2'].map((digit) => path.join(channels, `${digit.repeat(64)}.sqlite`));
  for (const file of [empty, pending]) fs.writeFileSync(file, page);
  fs.writeFileSync(`${pending}-wal`, 'what is yet to be written');
  fs.writeFileSync(other, Buffer.alloc(4_096));
  await served.start();
  assert.equal((await served.heard('files of expired objects removed')).removed, 1);
  assert.deepEqual([empty, pending, other].map((file) => fs.existsSync(file)), [false, true, true]);
  const history = await rest(served).channels.get('persisted:a').history();
  assert.deepEqual(history.items.map(({ data }) => data), ['kept']);
});

/** @param {Served} served @param {string} channel @param {string} data */
async function publish(served, channel, data) {
  const response = await fetch(`${served.url}/channels/${channel}/messages?key=${demoKey}`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name: 'a', data }),
  });
  return { status: response.status, body: await response.json() };
}

test('a full disk is a coded error to clients and a line in the log, and passes', async (t) => {
  const disk = smallDisk(t, '3m');
  if (!disk) return t.skip('no file system can be mounted here');
  const served = new Served(path.join(disk, 'data'));
  t.after(() => served.end());
  await served.start();
  assert.equal((await publish(served, 'persisted:a', 'before')).status, 201);
  const filler = path.join(disk, 'filler');
  fill(filler);
  await untilRefused(served);
  assert.equal((await fetch(`${served.url}/ready`)).status, 503);
  assert.equal((await fetch(`${served.url}/health`)).status, 200);
  assert.ok(served.lines.some(({ level, message }) => level === 'error' && /is full/i.test(message)), served.log);

  fs.rmSync(filler);
  while ((await publish(served, 'persisted:a', 'after')).status !== 201);
  while ((await fetch(`${served.url}/ready`)).status !== 200);
  const history = await rest(served).channels.get('persisted:a').history({ direction: 'forwards' });
  assert.equal(history.items[0].data, 'before');
  assert.equal(history.items.at(-1)?.data, 'after');
});

test('a server starts on a full disk, and serves what is there', async (t) => {
  const disk = smallDisk(t, '3m');
  if (!disk) return t.skip('no file system can be mounted here');
  const served = new Served(path.join(disk, 'data'));
  t.after(() => served.end());
  await served.start();
  assert.equal((await publish(served, 'persisted:a', 'before')).status, 201);
  const filler = path.join(disk, 'filler');
  for (const end of ['kill', 'stop']) {
    await served[/** @type {'kill' | 'stop'} */ (end)]();
    fill(filler);
    const from = served.lines.length;
    await served.start();
    await served.heard('disk full', from);
    const page = await fetch(`${served.url}/`, { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(page.status, 200);
    const { items } = await rest(served).channels.get('persisted:a').history({ direction: 'forwards' });
    assert.equal(items[0].data, 'before', end);
    await untilRefused(served);
  }
  fs.rmSync(filler);
  while ((await publish(served, 'persisted:a', 'after')).status !== 201);
});

/** Publishes until there is no room for it. @param {Served} served */
async function untilRefused(served) {
  let refused;
  for (let count = 0; count < 50 && !refused; count++) {
    const { status, body } = await publish(served, 'persisted:a', 'x'.repeat(50_000));
    if (status !== 201) refused = { status, body };
  }
  assert.ok(refused, 'the disk is full');
  assert.equal(refused.status, 500);
  assert.ok([50000, 50001, 50003].includes(refused.body.error.code), JSON.stringify(refused.body));
}

test('a damaged file is a coded error on its channel, and the others go on', async (t) => {
  const served = await Served.start(t);
  assert.equal((await publish(served, 'persisted:a', 'one')).status, 201);
  const folderOfChannels = path.join(served.data, 'objects/channel');
  const [file] = fs.readdirSync(folderOfChannels).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  assert.equal((await publish(served, 'persisted:b', 'two')).status, 201);
  await served.stop();
  for (const end of ['-wal', '-shm']) fs.rmSync(path.join(folderOfChannels, file + end), { force: true });
  fs.writeFileSync(path.join(folderOfChannels, file), 'no database at all'.repeat(1_000));
  await served.start();
  const { status, body } = await publish(served, 'persisted:a', 'three');
  assert.equal(status, 500);
  assert.ok([50000, 50001, 50003].includes(body.error.code), JSON.stringify(body));
  assert.equal((await publish(served, 'persisted:b', 'four')).status, 201);
  assert.ok(served.lines.some(({ level, message }) => level === 'error' && /not a database/.test(message)), served.log);
  const history = await rest(served).channels.get('persisted:b').history({ direction: 'forwards' });
  assert.deepEqual(history.items.map(({ data }) => data), ['two', 'four']);

  // Which of them is to be woken and when, is in a file beside those of channels.
  await served.stop();
  const index = path.join(folderOfChannels, 'metadata.sqlite');
  for (const end of ['-wal', '-shm']) fs.rmSync(index + end, { force: true });
  fs.writeFileSync(index, 'no database at all'.repeat(1_000));
  await served.start();
  assert.deepEqual((await served.heard('damaged indexes of alarms put aside')).files, [`${index}.damaged`]);
  assert.equal((await publish(served, 'persisted:b', 'five')).status, 201);
});

/** An ext4 that becomes read-only, as it does when its disk fails. @param {import('node:test').TestContext} t */
function failingDisk(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'courtside-disk-'));
  const [image, point] = ['image', 'disk'].map((name) => path.join(made, name));
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 16 * 1024 * 1024);
  fs.mkdirSync(point);
  const done = (/** @type {string} */ command, /** @type {string[]} */ ...args) => spawnSync(command, args).status === 0;
  const mounted = done('mkfs.ext4', '-q', image) && done('mount', '-o', 'loop', image, point);
  t.after(() => {
    if (mounted) done('umount', '-l', point);
    fs.rmSync(made, { recursive: true });
  });
  return mounted ? { point, fail: () => done('mount', '-o', 'remount,abort', point) } : undefined;
}

test('a disk that becomes read-only is a coded error to clients and a line in the log, and what is there is read', async (t) => {
  const disk = failingDisk(t);
  if (!disk) return t.skip('no ext4 can be mounted here');
  const served = new Served(path.join(disk.point, 'data'));
  t.after(() => served.end());
  await served.start();
  assert.equal((await publish(served, 'persisted:a', 'before')).status, 201);
  assert.equal((await fetch(`${served.url}/ready`)).status, 200);
  assert.ok(disk.fail());
  for (const channel of ['persisted:a', 'persisted:new']) {
    const { status, body } = await publish(served, channel, 'after');
    assert.equal(status, 500);
    assert.ok([50000, 50001, 50003].includes(body.error.code), JSON.stringify(body));
  }
  while ((await fetch(`${served.url}/ready`)).status !== 503);
  assert.equal((await fetch(`${served.url}/health`)).status, 200);
  assert.ok(served.lines.some(({ level, message }) => level === 'error' && /disk I\/O|read-?only/i.test(message)), served.log);
  const history = await rest(served).channels.get('persisted:a').history();
  assert.deepEqual(history.items.map(({ data }) => data), ['before']);

  await served.end();
  const { code, output } = await run(['serve', '--data', served.data, '--port', '0']);
  assert.equal(code, 1);
  assert.match(output, /cannot be written \(EROFS\)/);
});
