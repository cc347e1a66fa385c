/** The files of the page, as the worker in front serves them: by path, with type and tag. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

/** @type {Record<string, string>} */
const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
};

/** What every file is sent with, in the form that the edge reads: a line for each header below `/*`. */
const HEADERS = '_headers';

/** @param {string} folder */
export function pageHeaders(folder) {
  const lines = fs.readFileSync(path.join(folder, HEADERS), 'utf8').split('\n').slice(1).filter((line) => line.trim());
  return Object.fromEntries(lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
  }));
}

/** @param {string} folder @returns {Record<string, { file: string, type: string, tag: string }>} */
export function listAssets(folder) {
  /** @type {ReturnType<typeof listAssets>} */
  const assets = {};
  for (const entry of fs.readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const file = path.join(folder, entry);
    if (!fs.statSync(file).isFile() || entry === HEADERS) continue;
    const name = `/${entry.split(path.sep).join('/')}`;
    const tag = `"${createHash('sha256').update(fs.readFileSync(file)).digest('base64url').slice(0, 22)}"`;
    const asset = { file: name, type: types[path.extname(name)] ?? 'application/octet-stream', tag };
    assets[name] = asset;
    if (name.endsWith('/index.html')) assets[name.slice(0, -'index.html'.length)] = asset;
  }
  return assets;
}
