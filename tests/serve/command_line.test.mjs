/** The examples of docs/command-line.md, run in a shell as they stand. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test, { after } from 'node:test';
import { roles } from '../../bin/client/capability.mjs';
import { commands } from '../../bin/command.mjs';
import { serve, surroundings } from './cli.mjs';
import { command, folder } from './served.mjs';

const text = fs.readFileSync(path.resolve(import.meta.dirname, '../../docs/command-line.md'), 'utf8');
const parts = text.split(/^## /m).slice(1);
const sections = Object.fromEntries(parts.map((section) => [section.split('\n')[0] ?? '', section]));
const served = await serve({ after });
const home = folder({ after });
const script = `#!/bin/sh\nexec '${process.execPath}' '${command}' "$@"\n`;
fs.writeFileSync(path.join(home, 'courtside'), script, { mode: 0o755 });

/** What each prints. @type {Record<keyof typeof commands, RegExp>} */
const prints = {
  token: /^eyJ[\w-]+\.[\w-]+\.[\w-]+\neyJ[\w-]+\.[\w-]+\.[\w-]+\n\{"keyName":"demo\.key1",.*"mac":".*"\}\n$/,
  'check-apps': /^live\t1\t1$/m,
  publish: /^(\d{14}-\d{3}@[\w-]+:\d{3}\n){102}$/,
  tail: /^(.*\t(scores|numbers)\t.*\n){3}\{"event":"message",.*"channel":"scores"\}\n$/,
  top: /^channel\tconnections\t/m,
  stats: /^hour\tmessages in\t/,
  kick: /^clientId:ann is sent away\nrevocationKey:table-7 is sent away\n$/,
  apps: /^demo\tconfiguration$[^]*^[\w-]+ is ended$/m,
  load: /^lost 0, repeated 0, out of order 0, gaps 0$/m,
  cost: /^in all\t\t\$0\.\d+$/m,
};

test('each command has a section, and each section an example', () => {
  assert.deepEqual(Object.keys(sections), Object.keys(commands));
  for (const name of Object.keys(commands)) assert.ok(text.includes(`](#${name})`), `${name} is in the list`);
});

for (const [name, section] of Object.entries(sections)) {
  test(name, { timeout: 60_000 }, () => {
    const [, example = ''] = section.match(/^```sh\n([^]*?)^```$/m) ?? [];
    assert.match(example, new RegExp(`courtside ${name}\\b`));
    const output = execFileSync('bash', ['-euo', 'pipefail', '-c', example], { cwd: home, encoding: 'utf8',
      env: { ...process.env, ...surroundings(served), PATH: `${home}${path.delimiter}${process.env.PATH}` } });
    assert.match(output, prints[/** @type {keyof typeof prints} */ (name)]);
  });
}

test('the roles are those that it says', () => {
  /** @type {string[]} */
  const may = [];
  for (const [role, all] of Object.entries(roles)) {
    const [, row = ''] = text.match(new RegExp(`^\\| \`${role}\` \\| (?:also )?(.*) \\|$`, 'm')) ?? [];
    may.push(...row.split(', '));
    assert.deepEqual(may.toSorted(), all.toSorted(), role);
  }
});
