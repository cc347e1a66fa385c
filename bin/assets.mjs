/** The files of the page, as the worker in front serves them: by path, with type and tag. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { COMPRESSED_MIN_BYTES } from './limits.mjs';

/**
 * @typedef {object} Asset
 * @property {string} file
 * @property {string} type
 * @property {string} tag
 * @property {Record<string, string>} headers
 * @property {boolean} [isCompressed] whether it is also there in each encoding
 */

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

/** By the name that the encoding has in HTTP. Brotli's best takes forty times as long for a tenth less. */
const encoders = {
  br: (/** @type {Buffer} */ bytes) => zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 6 } }),
  gzip: (/** @type {Buffer} */ bytes) => zlib.gzipSync(bytes, { level: 9 }),
};

/**
 * Writes those that are text in each encoding, as `<file>.<encoding>`.
 * @param {Record<string, Asset>} assets
 * @param {string} folder where they are
 * @param {string} to
 */
export function compressAssets(assets, folder, to) {
  for (const asset of new Set(Object.values(assets))) {
    const bytes = fs.readFileSync(path.join(folder, asset.file));
    if (bytes.length < COMPRESSED_MIN_BYTES || !/^(text\/|image\/svg|application\/json)/.test(asset.type)) continue;
    for (const [encoding, encode] of Object.entries(encoders)) {
      const file = path.join(to, `${asset.file}.${encoding}`);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, encode(bytes));
    }
    asset.isCompressed = true;
  }
}
