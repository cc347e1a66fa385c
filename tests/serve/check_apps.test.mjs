/** What `courtside check-apps` says of apps that a server takes. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { cli } from './cli.mjs';

test('check-apps names what of a key the SDK for Ruby cannot read', async () => {
  const secret = 'a-secret-that-is-long-enough';
  const keys = [{ name: 'main', secret }, { name: 'odd', secret: `${secret}+/=` }, { name: 'm', secret }];
  const apps = { apps: [{ id: 'live', keys }, { id: 'x', keys: [{ name: 'main', secret }] }, { id: 'y', keys: [] }] };
  const { code, out, err } = await cli(['check-apps', '-', '--json'], {}, JSON.stringify(apps));
  const unread = err.trim().split('\n').map((line) => /^courtside: (.*): the SDK for Ruby takes/.exec(line)?.[1]);
  assert.deepEqual(unread, ['apps[0].keys[1].secret', 'apps[0].keys[2].name', 'apps[1].id']);
  assert.deepEqual([code, JSON.parse(out).ok, err.includes(secret)], [0, true, false]);
});
