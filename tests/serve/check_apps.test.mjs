/** What `courtside check-apps` says of apps that a server takes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { cli } from './cli.mjs';
import { command, folder } from './served.mjs';

test('check-apps names what of a key the SDK for Ruby cannot read', async () => {
  const secret = 'a-secret-that-is-long-enough';
  const keys = [{ name: 'main', secret }, { name: 'odd', secret: `${secret}+/=` }, { name: 'm', secret }];
  const apps = { apps: [{ id: 'live', keys }, { id: 'x', keys: [{ name: 'main', secret }] }, { id: 'y', keys: [] }] };
  const { code, out, err } = await cli(['check-apps', '-', '--json'], {}, JSON.stringify(apps));
  const unread = err.trim().split('\n').map((line) => /^courtside: (.*): the SDK for Ruby takes/.exec(line)?.[1]);
  assert.deepEqual(unread, ['apps[0].keys[1].secret', 'apps[0].keys[2].name', 'apps[1].id']);
  assert.deepEqual([code, JSON.parse(out).ok, err.includes(secret)], [0, true, false]);
});

const demo = path.resolve(import.meta.dirname, '../../bin/demo.json');

/**
 * A command with a temporary directory of its own, once what it makes there is locked.
 * @param {string} all @param {string[]} args
 */
async function begun(all, args) {
  const child = spawn(process.execPath, [command, ...args], { env: { ...process.env, TMPDIR: all }, stdio: 'ignore' });
  const before = fs.readdirSync(all);
  for (;;) {
    const made = fs.readdirSync(all).find((name) => !before.includes(name));
    const lock = made && path.join(all, made, 'lock');
    if (lock && fs.existsSync(lock) && fs.statSync(lock).size > 0) return { child, made: path.join(all, made) };
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('commands that are ended leave nothing behind, and those that were killed only until the next', async (t) => {
  const all = folder(t);
  const checks = ['check-apps', demo];
  const serves = ['serve', '--ephemeral', '--port', '0'];
  for (const [args, signal, expected] of /** @type {[string[], NodeJS.Signals, number][]} */ ([
    [checks, 'SIGTERM', 143], [checks, 'SIGINT', 130], [checks, 'SIGHUP', 129], [serves, 'SIGTERM', 0],
  ])) {
    const { child } = await begun(all, args);
    child.kill(signal);
    const [code] = await once(child, 'exit');
    assert.deepEqual([code, fs.readdirSync(all)], [expected, []], `${args[0]} ${signal}`);
  }
  const old = new Date(Date.now() - 3_600_000);
  const { child: living, made: kept } = await begun(all, serves);
  const { child: killed, made: left } = await begun(all, serves);
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  for (const each of [kept, left]) fs.utimesSync(each, old, old);
  // The runtime ends with the one that was killed, an instant later, and holds the lock as long.
  while (fs.existsSync(left)) await cli(['check-apps', demo], { TMPDIR: all });
  assert.deepEqual(fs.readdirSync(all), [path.basename(kept)]);
  living.kill('SIGTERM');
  await once(living, 'exit');
  assert.deepEqual(fs.readdirSync(all), []);
});
