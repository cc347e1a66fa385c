/** What an operator is given for Prometheus and Grafana: rules that promtool takes, and names that the server has. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { demoApps, startRuntime } from './runtime.mjs';

const folder = path.resolve(import.meta.dirname, '../../docs/operations');

/** @param {string[]} args @returns {string | undefined} why it is not there */
function promtool(...args) {
  try {
    execFileSync('promtool', args, { stdio: 'pipe', cwd: folder });
  } catch (error) {
    const failure = /** @type {NodeJS.ErrnoException & { stderr?: Buffer, stdout?: Buffer }} */ (error);
    if (failure.code === 'ENOENT') return 'there is no promtool: install Debian\'s prometheus';
    throw new Error(`${failure.stdout}${failure.stderr}`);
  }
  return undefined;
}

test('promtool takes the rules, and they fire when they should', (t) => {
  const missing = promtool('check', 'rules', 'alerts.yml') ?? promtool('test', 'rules', 'alerts.test.yml');
  if (missing) t.skip(missing);
});

test('rules and dashboard name metrics that there are, and the dashboard shows all of them', async (t) => {
  const ADMIN_TOKEN = 'admin-token-of-this-test';
  const runtime = await startRuntime(demoApps, { variables: { ADMIN_TOKEN } });
  t.after(() => runtime.stop());
  const response = await fetch(`${runtime.url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  const families = [...(await response.text()).matchAll(/^# TYPE (\w+)/gm)].map((match) => match[1]);
  const named = (/** @type {string} */ file) => {
    const text = fs.readFileSync(path.join(folder, file), 'utf8');
    return new Set([...text.matchAll(/courtside_\w+/g)].map((match) => match[0].replace(/_bucket$/, '')));
  };
  for (const file of ['alerts.yml', 'grafana.json']) {
    for (const name of named(file)) assert.ok(families.includes(name), `${file}: ${name}`);
  }
  const shown = named('grafana.json');
  const notShown = families.filter((name) => !shown.has(name));
  assert.deepEqual(notShown, ['courtside_channels_opened_total', 'courtside_publishes_refused_total',
    'courtside_persisted_messages_total']);
});
