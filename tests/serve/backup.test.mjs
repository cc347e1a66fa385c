/** A backup of a server under load, restored into another. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { connected, rest, wholeHistory } from '../worker/clients.mjs';
import { Served, fill, folder, run, smallDisk } from './served.mjs';

const names = ['persisted:a', 'persisted:b', 'persisted:c'];

test('a backup under load has all that was acknowledged before it, and no channel with a hole', async (t) => {
  const served = await Served.start(t);
  const client = await connected(t, served, { clientId: 'ann' });
  await client.channels.get('persisted:a').presence.enter('here');
  /** @type {Map<string, string[]>} */
  const acknowledged = new Map(names.map((name) => [name, []]));
  let going = true;
  const load = names.map(async (name) => {
    for (let number = 0; going; number++) {
      await client.channels.get(name).publish('a', `${number}`);
      acknowledged.get(name)?.push(`${number}`);
    }
  });
  while ([...acknowledged.values()].some((known) => known.length < 20)) await new Promise(setImmediate);
  const before = new Map([...acknowledged].map(([name, known]) => [name, [...known]]));

  const copy = path.join(folder(t), 'copy');
  const { code, output } = await run(['backup', '--data', served.data, copy]);
  assert.equal(code, 0, output);
  assert.match(output, /^\d+ objects copied\n$/, 'a log has nothing else of what went well');
  going = false;
  await Promise.all(load);
  const grew = [...acknowledged].some(([name, known]) => known.length > (before.get(name)?.length ?? 0));
  assert.ok(grew, 'the load went on');

  const restored = new Served(path.join(folder(t), 'data'));
  t.after(() => restored.end());
  const back = await run(['restore', '--data', restored.data, copy]);
  assert.equal(back.code, 0, back.output);
  await restored.start();
  for (const name of names) {
    const data = (await wholeHistory(rest(restored).channels.get(name))).map((message) => message.data);
    assert.deepEqual(data, data.map((_, index) => `${index}`), 'no hole and no repeat');
    assert.ok(data.length >= (before.get(name)?.length ?? 0), `${name}: all that was acknowledged before`);
  }
  // Whose connection is not here leaves: the stored alarm came along.
  const { presence } = rest(restored).channels.get('persisted:a');
  assert.deepEqual((await presence.get({})).items.map(({ clientId }) => clientId), ['ann']);
  while ((await presence.get({})).items.length > 0);
});

test('what is restored is for nobody else to read, whatever modes the backup has, and no link leads out of it', async (t) => {
  const served = await Served.start(t);
  await rest(served).channels.get('persisted:a').publish('a', 'one');
  const [copy, data] = [path.join(folder(t), 'copy'), folder(t)];
  assert.equal((await run(['backup', '--data', served.data, copy])).code, 0);
  const below = (/** @type {string} */ from) =>
    ['', ...fs.readdirSync(from, { recursive: true, encoding: 'utf8' })].map((name) => path.join(from, name));
  const isFolder = (/** @type {string} */ name) => fs.lstatSync(name).isDirectory();
  below(copy).forEach((name) => fs.chmodSync(name, isFolder(name) ? 0o755 : 0o644));
  fs.chmodSync(data, 0o755);
  const back = await run(['restore', '--data', data, copy]);
  assert.equal(back.code, 0, back.output);
  const restored = below(path.join(data, 'objects'));
  assert.ok(restored.some((name) => name.endsWith('.sqlite')));
  for (const name of restored) assert.equal(fs.statSync(name).mode & 0o777, isFolder(name) ? 0o700 : 0o600, name);

  const file = below(path.join(copy, 'objects')).find((name) => name.endsWith('.sqlite')) ?? '';
  fs.renameSync(file, `${copy}.sqlite`);
  fs.symlinkSync(`${copy}.sqlite`, file);
  const linked = await run(['restore', '--data', folder(t), copy]);
  assert.equal(linked.code, 1);
  assert.match(linked.output, /\.sqlite is no file and no directory/);
});

test('a destination that is full is named, and holds no backup that counts as whole', async (t) => {
  const served = await Served.start(t);
  await rest(served).channels.get('persisted:a').publish('a', 'x'.repeat(60_000));
  const disk = smallDisk(t, '1m');
  if (!disk) return t.skip('no file system can be mounted here');
  fill(path.join(disk, 'filler'), 64);
  const copy = path.join(disk, 'copy');
  const { code, output } = await run(['backup', '--data', served.data, copy]);
  assert.equal(code, 1, output);
  assert.match(output, /copy cannot be written \(.*full.*\); what is there is not a whole backup/);
  assert.doesNotMatch(output, /copied|could not be read/);
  assert.ok(!fs.existsSync(path.join(copy, 'manifest.json')));
  const back = await run(['restore', '--data', folder(t), copy]);
  assert.match(back.output, /is not a whole backup/);
});

test('what would overwrite or is not whole is refused, and what is damaged is named', async (t) => {
  const served = await Served.start(t);
  await rest(served).channels.get('persisted:a').publish('a', 'one');
  const folderOfCopies = folder(t);
  const copy = path.join(folderOfCopies, 'copy');
  const take = (/** @type {string} */ to) => run(['backup', '--data', served.data, to]);
  assert.equal((await take(copy)).code, 0);
  assert.match((await take(copy)).output, /copy is not empty/);
  assert.match((await run(['restore', '--data', served.data, copy])).output, /is in use by process/);
  const nothing = await run(['backup', '--data', folderOfCopies, path.join(folderOfCopies, 'x')]);
  assert.match(nothing.output, /holds no data/);
  assert.equal((await run(['backup'])).code, 2);

  await served.stop();
  assert.match((await run(['restore', '--data', served.data, copy])).output, /holds data already/);
  const channels = path.join(served.data, 'objects/channel');
  const [file] = fs.readdirSync(channels).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  fs.writeFileSync(path.join(channels, file), 'no database at all'.repeat(1_000));
  for (const end of ['-wal', '-shm']) fs.rmSync(path.join(channels, file + end), { force: true });
  const damaged = await take(path.join(folderOfCopies, 'damaged'));
  assert.equal(damaged.code, 1);
  assert.match(damaged.output, new RegExp(`channel/${file}: .*not a database`));
  const without = await run(['restore', '--data', path.join(folderOfCopies, 'without'), path.join(folderOfCopies, 'damaged')]);
  assert.equal(without.code, 1);
  assert.match(without.output, new RegExp(`objects restored\n.*not in the backup[^]*channel/${file}: .*not a database`));

  fs.rmSync(path.join(copy, 'manifest.json'));
  const half = await run(['restore', '--data', path.join(folderOfCopies, 'data'), copy]);
  assert.equal(half.code, 1);
  assert.match(half.output, /is not a whole backup/);
});
