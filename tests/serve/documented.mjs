/** Code blocks of the documents, and commands run as they stand there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { command } from './served.mjs';

export const root = path.resolve(import.meta.dirname, '../..');

/** @param {string} document */
export function read(document) {
  return fs.readFileSync(path.join(root, 'docs', document), 'utf8');
}

/** All blocks of a document, fenced or indented, without the indentation of a list. @param {string} document */
export function blocks(document) {
  const found = read(document).matchAll(/^( *)```\w*\n([^]*?)^\1```$|(?<=\n\n)((?: {4}.*\n)+)/gm);
  return [...found].map(([, , fenced, indented]) => fenced ?? String(indented).replace(/^ {4}/gm, ''));
}

/** The block that has this text. @param {string} document @param {string} part */
export function block(document, part) {
  const found = blocks(document).find((text) => text.includes(part));
  assert.ok(found, `docs/${document} has nothing with ${part}`);
  return found;
}

/**
 * The one line of a block that has this text, without what it says of itself.
 * @param {string} document
 * @param {string} part
 */
export function line(document, part) {
  const found = block(document, part).split('\n').find((text) => text.includes(part));
  return String(found).replace(/\s+#.*/, '');
}

/** @param {string} text @param {import('node:child_process').SpawnSyncOptions} [options] */
export function inShell(text, options) {
  const { status, stdout, stderr } = spawnSync('bash', ['-c', text], { cwd: root, encoding: 'utf8', ...options });
  assert.equal(status, 0, `${text}\n${stdout}${stderr}`);
  return String(stdout);
}

/** The installed command is the one here. @param {string} text */
export const ours = (text) => text.replace(/^(npx )?courtside /, `node ${command} `);
