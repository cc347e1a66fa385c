/** The files of the page, as the worker in front serves them: by path, with type and tag. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

/** @typedef {{ file: string, type: string, tag: string, headers: Record<string, string> }} Asset */

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

/**
 * Names the file of response headers, which the edge reads too. Each rule is a path, with `*` at its end for all below
 * it, and then a line for each header. A line `! name` removes a header that an earlier rule set.
 */
const HEADERS = '_headers';

/** The headers of each file. @param {string} folder @param {string} name */
function headersOf(folder, name) {
  /** @type {Record<string, string>} */
  const headers = {};
  let matches = false;
  for (const line of fs.readFileSync(path.join(folder, HEADERS), 'utf8').split('\n')) {
    const colon = line.indexOf(':');
    if (line.startsWith('/')) matches = line.endsWith('*') ? name.startsWith(line.slice(0, -1)) : name === line;
    else if (!matches || line.trim() === '') continue;
    else if (line.trim().startsWith('!')) delete headers[line.trim().slice(1).trim().toLowerCase()];
    else headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  return headers;
}

/** @param {string} folder @returns {Record<string, Asset>} */
export function listAssets(folder) {
  /** @type {ReturnType<typeof listAssets>} */
  const assets = {};
  for (const entry of fs.readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const file = path.join(folder, entry);
    if (!fs.statSync(file).isFile() || entry === HEADERS) continue;
    const name = `/${entry.split(path.sep).join('/')}`;
    const tag = `"${createHash('sha256').update(fs.readFileSync(file)).digest('base64url').slice(0, 22)}"`;
    const type = types[path.extname(name)] ?? 'application/octet-stream';
    const asset = { file: name, type, tag, headers: headersOf(folder, name) };
    assets[name] = asset;
    // As the edge does: a page has its name without an ending, too.
    if (name.endsWith('/index.html')) {
      assets[name.slice(0, -'index.html'.length)] = asset;
      // With or without the slash at its end, which its own addresses do not depend on.
      assets[name.slice(0, -'/index.html'.length) || '/'] = asset;
    } else if (name.endsWith('.html')) assets[name.slice(0, -'.html'.length)] = asset;
  }
  return assets;
}
