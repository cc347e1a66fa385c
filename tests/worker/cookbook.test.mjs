/** Every recipe of the cookbook runs as it stands, with nothing changed but the port. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test, { after } from 'node:test';
import { startRuntime } from './runtime.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const runtime = await startRuntime();
after(() => runtime.stop());

const text = fs.readFileSync(path.join(root, 'docs/cookbook.md'), 'utf8');
const sections = text.split(/^## /mu);
const beginning = codeOf(sections[0] ?? '');

/** What each prints, at some time. @type {Record<string, RegExp>} */
const prints = {
  'A score that late comers see at once': /^score 1 0$/mu,
  'Its history, newest first': /home: 1/u,
  'A chat whose messages are edited and deleted': /^message\.update .* \{ text: 'Hello' \}[^]*^message\.delete /mu,
  Reactions: /like: \{/u,
  'A poll without double votes': /^Okafor has 1$/mu,
  'A quiz whose answer comes with the reveal': /^right: \[ 'ann' \]/mu,
  'Questions with upvotes': /^1 upvotes$/mu,
  'Mute one, and slow all down': /^40300 .*muted/mu,
  'Who is typing, said and not kept': /^ann is typing$/mu,
  'State that hosts share: a slide, a switch, a counter': /slide: 3, applause: 1/u,
  'Who is in a room': /^1 here$/mu,
  'How many are watching': /^1 watching$/mu,
  'To say that nothing was missed': /^began anew/mu,
  'A poll on the video, without the SDK': /^Lund 1$/mu,
  'A ticker without the SDK': /"home\\?":1/u,
};

test('each recipe is tried here, and none is longer than twenty lines', () => {
  assert.deepEqual(sections.slice(1).map(titleOf), Object.keys(prints));
  for (const section of sections) assert.ok(codeOf(section).trimEnd().split('\n').length <= 20, titleOf(section));
});

test('no recipe writes where the event page reads', () => {
  const [, ...names] = text.split(/(?=\bevent:)/u);
  assert.ok(names.length > 10);
  for (const name of names) assert.match(name, /^event:cookbook:/u);
});

for (const section of sections.slice(1)) {
  test(titleOf(section), { timeout: 60_000 }, async () => {
    const source = `${beginning}\n${codeOf(section)}`.replaceAll('8787', String(runtime.port));
    const enough = prints[titleOf(section)] ?? /^$/u;
    assert.match(await printed(source, enough), enough);
  });
}

/** @param {string} section */
function titleOf(section) {
  return section.split('\n')[0] ?? '';
}

/** @param {string} section */
function codeOf(section) {
  return section.match(/^```js\n([^]*?)^```$/mu)?.[1] ?? '';
}

/** What a module prints until that is enough, or until it ends. @param {string} source @param {RegExp} enough */
async function printed(source, enough) {
  // Node has what browsers have, by a name that its first versions of 20 do not know.
  const flags = ['--experimental-eventsource'].filter((flag) => process.allowedNodeEnvironmentFlags.has(flag));
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', source],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
      if (enough.test(output)) child.kill();
    });
  }
  await new Promise((resolve) => child.on('close', resolve));
  return output;
}
