/**
 * The benchmark: every peer under the same load on this machine, in turns, several times; then a table and plots.
 *
 *     npm run bench                      100 subscribers, 100 bytes, 1, 20 and 200 messages in flight
 *     npm run bench -- peers             beside Socket.IO, ws, Nchan and NATS, in every dimension
 *     npm run bench -- resume            2,000 clients dropped at once
 *     npm run bench -- storm             2,000 clients cut off from WebSockets, back by long poll, beside 500 that stay
 *     npm run bench -- --help
 *
 * A peer is started anew for each run, so that none inherits another's caches, history or memory.
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildLoad, runLoad } from './lib/load.mjs';
import { allPeers } from './lib/peer.mjs';
import { combinations, sideBySide } from './lib/plan.mjs';
import { record, report } from './lib/report.mjs';
import { caseName, short } from './lib/tables.mjs';
import { setUpPeers } from './setup.mjs';

const options = /** @type {const} */ ({
  peers: { type: 'string', default: '' },
  formats: { type: 'string', default: 'json' },
  subscribers: { type: 'string', default: '100' },
  bytes: { type: 'string', default: '100' },
  'in-flight': { type: 'string', default: '1,20,200' },
  seconds: { type: 'string', default: '5' },
  repeats: { type: 'string', default: '3' },
  publishers: { type: 'string', default: '1' },
  rate: { type: 'string', default: '0' },
  clients: { type: 'string', default: '2000' },
  stayers: { type: 'string', default: '500' },
  within: { type: 'string', default: '10' },
  baseline: { type: 'string', default: 'plain-object' },
  out: { type: 'string', default: 'target/bench' },
  quick: { type: 'boolean', default: false },
  full: { type: 'boolean', default: false },
  record: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
});

const help = `npm run bench -- [fanout|peers|resume|storm] [options]
  --peers a,b        of ${(await allPeers()).map(({ name }) => name).join(', ')}
  --baseline plain-object    what ratios compare with
  --out target/bench         where results.json, the table and the plots go
fanout, 100 subscribers beside the small objects, and resume
  --formats json,msgpack   of the peers that have formats (json)
  --subscribers 1,100      --bytes 100,2000      --in-flight 1,20,200      one run for each combination
  --publishers 1     publishing connections       --rate 0     messages/s at most, 0 for no limit
  --seconds 5        measured, after one second of warm-up
  --repeats 3        of everything, in turns
  --clients 2000     of the resume storm, and cut off in the fallback storm
storm, each run takes about a minute
  --stayers 500      who keep their WebSockets     --within 10     seconds in which the others come back; 0 for at once
peers, all of them, along each dimension: about 11 minutes
  --quick            about 3 minutes, each figure once
  --full             every combination of sizes: more than an hour
  --record           to benches/RESULTS.md and benches/results.svg as well`;

/**
 * @typedef {object} Contestant
 * @property {string} name a peer's name, and its format if it has one
 * @property {string} title
 * @property {import('./lib/peer.mjs').Peer} peer
 * @property {string} dialect
 *
 * @typedef {import('./lib/plan.mjs').Part} Part
 * @typedef {Omit<Part, 'contestants'> & {
 *   contestants: Contestant[], runs: import('./lib/figures.mjs').Run[]
 * }} MeasuredPart
 */

const { values: asked, positionals: [scenario = 'fanout'] } = parseArgs({ options, allowPositionals: true });
const numbers = (/** @type {string} */ list) => list.split(',').map(Number);
const out = path.resolve(import.meta.dirname, '..', asked.out);

if (asked.help) console.log(help);
else process.exitCode = await bench();

/** @returns {Promise<number>} the exit code: 1 when a run failed */
async function bench() {
  if (!['fanout', 'peers', 'resume', 'storm'].includes(scenario)) throw new Error(help);
  const contestants = await contestantsAsked();
  fs.mkdirSync(out, { recursive: true });
  buildLoad();
  if (contestants.some(({ peer }) => peer.installed)) setUpPeers();

  const parts = plan().map((part) => ({
    ...part,
    contestants: contestants.filter(({ name }) => part.contestants?.includes(name) ?? true),
    runs: [],
  }));
  const planned = parts.reduce((sum, { repeats, cases, contestants }) => sum + repeats * cases.length * contestants.length, 0);
  let done = 0;
  for (const part of parts) {
    await measurePart(part, (run) => progress(run, `${++done}/${planned}`));
  }
  const results = { scenario, asked, parts, baseline: asked.baseline };
  report(results, out);
  if (asked.record) record(results, import.meta.dirname);
  return parts.some(({ runs }) => runs.some(({ failure }) => failure)) ? 1 : 0;
}

/** @returns {Part[]} */
function plan() {
  const [bytes, seconds, repeats] = [numbers(asked.bytes), Number(asked.seconds), Number(asked.repeats)];
  if (scenario === 'peers') return sideBySide(asked.quick ? 'quick' : asked.full ? 'full' : 'usual');
  if (scenario === 'resume') {
    const storm = { subscribers: Number(asked.clients), bytes: bytes[0], inFlight: 0, rate: 0 };
    return [{ title: 'Resume', cases: [storm], seconds, repeats }];
  }
  if (scenario === 'storm') {
    const storm = { subscribers: Number(asked.clients), bytes: bytes[0], inFlight: 0, rate: Number(asked.rate) || 1 };
    return [{ title: 'Fallback storm', cases: [storm], seconds: Math.max(seconds, 10), repeats }];
  }
  const sizes = { subscribers: numbers(asked.subscribers), bytes, inFlight: numbers(asked['in-flight']), rate: Number(asked.rate) };
  return [{ title: 'Fan-out', cases: combinations(sizes), seconds, repeats }];
}

/** @param {MeasuredPart} part @param {(run: import('./lib/figures.mjs').Run) => void} told */
async function measurePart({ cases, contestants, seconds, repeats, runs }, told) {
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const of of cases) {
      // Each repeat starts with another peer: none always runs on a machine that the same other has just heated.
      const turn = repeat % contestants.length;
      for (const contestant of [...contestants.slice(turn), ...contestants.slice(0, turn)]) {
        const run = { repeat, case: of, contestant: contestant.name, ...await measure(contestant, of, seconds) };
        runs.push(run);
        told(run);
      }
    }
  }
}

/** Peers as asked, once for each format that they have and that was asked for. */
async function contestantsAsked() {
  const all = await allPeers();
  const unasked = all.filter(({ installed }) => scenario === 'peers' || !installed);
  const names = asked.peers ? asked.peers.split(',') : unasked.map(({ name }) => name);
  const unknown = names.find((name) => !all.some((peer) => peer.name === name));
  if (unknown) throw new Error(`no peer ${unknown}\n${help}`);
  const formats = ['any', ...scenario === 'peers' ? ['json', 'msgpack'] : asked.formats.split(',')];
  return all.filter((peer) => names.includes(peer.name) && takesPart(peer)).flatMap((peer) => (
    formats.filter((format) => peer.dialects[format]).map((format) => contestant(peer, format))));
}

/** @param {import('./lib/peer.mjs').Peer} peer */
function takesPart(peer) {
  return scenario === 'resume' ? peer.resumes : scenario === 'storm' ? peer.startBounded : true;
}

/**
 * @param {import('./lib/peer.mjs').Peer} peer
 * @param {string} format
 * @returns {Contestant}
 */
function contestant(peer, format) {
  const lacks = [peer.durable ? '' : 'not durable', peer.ordered ? '' : 'not ordered'].filter(Boolean);
  const title = [peer.title, ...(format === 'any' ? [] : [format]), ...lacks].join(', ');
  return { name: format === 'any' ? peer.name : `${peer.name}:${format}`, title, peer, dialect: peer.dialects[format] };
}

/**
 * @param {Contestant} contestant
 * @param {import('./lib/figures.mjs').Case} of
 * @param {number} seconds
 * @returns {Promise<{ report?: any, failure?: string }>}
 */
async function measure({ peer, dialect }, of, seconds) {
  const loads = { resume: ['--clients', `${of.subscribers}`, '--bytes', `${of.bytes}`], storm: stormLoad(of, seconds) };
  const command = scenario === 'resume' || scenario === 'storm' ? scenario : 'fanout';
  const load = command === 'fanout' ? fanoutLoad(of, seconds) : loads[command];
  const directory = path.join(out, 'state');
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(directory, { recursive: true });
  let server;
  try {
    server = await (command === 'storm' ? peer.startBounded ?? peer.start : peer.start)(directory);
    return { report: await runLoad(command, server, dialect, [...load, ...peer.loadArguments ?? []], seconds) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  } finally {
    await server?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {import('./lib/figures.mjs').Case} of @param {number} seconds */
function fanoutLoad({ subscribers, bytes, inFlight, rate }, seconds) {
  // Few messages: then everyone's time counts, not one in ten's.
  const sampled = rate > 0 ? ['--sampled', `${subscribers}`] : [];
  return ['--subscribers', `${subscribers}`, '--bytes', `${bytes}`, '--in-flight', `${inFlight}`, '--rate', `${rate}`,
    '--publishers', asked.publishers, '--seconds', `${seconds}`, ...sampled];
}

/** @param {import('./lib/figures.mjs').Case} of @param {number} seconds */
function stormLoad({ subscribers, bytes, rate }, seconds) {
  return ['--clients', `${subscribers}`, '--stayers', asked.stayers, '--within-seconds', asked.within, '--bytes', `${bytes}`,
    '--rate', `${rate}`, '--seconds', `${seconds}`, '--deadline-seconds', '120'];
}

/** @param {import('./lib/figures.mjs').Run} run @param {string} place */
function progress({ contestant, case: of, report, failure }, place) {
  const outcome = report?.deliveries_per_second ? `${short(report.deliveries_per_second)} deliveries/s`
    : report?.served ? `all served in ${short(report.all_served_seconds)} s`
      : report ? `all whole in ${short(report.all_whole_seconds)} s` : `FAILED: ${failure}`;
  console.error(`${place}  ${contestant}  ${caseName(of)}: ${outcome}`);
}
