/**
 * The benchmark: every peer under the same load on this machine, in turns, several times; then a table and plots.
 *
 *     npm run bench                      100 subscribers, 100 bytes, 1, 20 and 200 messages in flight
 *     npm run bench -- resume            2,000 clients dropped at once
 *     npm run bench -- --help
 *
 * A peer is started anew for each run, so that none inherits another's caches, history or memory.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { judge } from './lib/aims.mjs';
import { Cell, spread } from './lib/figures.mjs';
import { buildLoad, runLoad } from './lib/load.mjs';
import { allPeers } from './lib/peer.mjs';
import { barChart } from './lib/plot.mjs';
import { fanoutTable, resumeTable, short } from './lib/tables.mjs';
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
  baseline: { type: 'string', default: 'plain-object' },
  out: { type: 'string', default: 'target/bench' },
  help: { type: 'boolean', default: false },
});

const help = `npm run bench -- [fanout|resume] [options]
  --peers a,b        ${(await allPeers()).map(({ name }) => name).join(', ')} (all)
  --formats json,msgpack   of the peers that have formats (json)
  --subscribers 1,100      --bytes 100,2000      --in-flight 1,20,200      one run for each combination
  --publishers 1     publishing connections       --rate 0     messages/s at most, 0 for no limit
  --seconds 5        measured, after one second of warm-up
  --repeats 3        of everything, in turns
  --clients 2000     of the resume storm
  --baseline plain-object    what ratios compare with
  --out target/bench         where results.json, table.md and the plots go`;

/** @typedef {{ name: string, title: string, peer: import('./lib/peer.mjs').Peer, dialect: string }} Contestant */

const { values: asked, positionals: [scenario = 'fanout'] } = parseArgs({ options, allowPositionals: true });
const numbers = (/** @type {string} */ list) => list.split(',').map(Number);

if (asked.help) console.log(help);
else process.exitCode = await bench();

/** @returns {Promise<number>} the exit code: 1 when a run failed */
async function bench() {
  if (scenario !== 'fanout' && scenario !== 'resume') throw new Error(help);
  const contestants = await contestantsAsked();
  const cases = scenario === 'resume' ? [resumeCase()] : fanoutCases();
  const out = path.resolve(import.meta.dirname, '..', asked.out);
  fs.mkdirSync(out, { recursive: true });
  buildLoad();
  if (contestants.some(({ peer }) => peer.installed)) setUpPeers();

  /** @type {import('./lib/figures.mjs').Run[]} */
  const runs = [];
  for (let repeat = 0; repeat < Number(asked.repeats); repeat++) {
    for (const of of cases) {
      // Each repeat starts with another peer: none always runs on a machine that the same other has just heated.
      const turn = repeat % contestants.length;
      for (const contestant of [...contestants.slice(turn), ...contestants.slice(0, turn)]) {
        const run = await measure(contestant, of, path.join(out, 'state'));
        runs.push({ repeat, case: of, contestant: contestant.name, ...run });
        progress(runs, Number(asked.repeats) * cases.length * contestants.length);
      }
    }
  }
  report(out, runs, cases, contestants);
  return runs.some(({ failure }) => failure) ? 1 : 0;
}

/** Peers as asked, once for each format that they have and that was asked for. */
async function contestantsAsked() {
  const all = await allPeers();
  const names = asked.peers ? asked.peers.split(',') : all.filter(({ installed }) => !installed).map(({ name }) => name);
  const unknown = names.find((name) => !all.some((peer) => peer.name === name));
  if (unknown) throw new Error(`no peer ${unknown}\n${help}`);
  const formats = ['any', ...asked.formats.split(',')];
  return all.filter((peer) => names.includes(peer.name) && (scenario === 'fanout' || peer.resumes)).flatMap((peer) => (
    formats.filter((format) => peer.dialects[format]).map((format) => contestant(peer, format))));
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

function fanoutCases() {
  return numbers(asked.subscribers).flatMap((subscribers) => numbers(asked.bytes).flatMap((bytes) => (
    numbers(asked['in-flight']).map((inFlight) => ({ subscribers, bytes, inFlight })))));
}

function resumeCase() {
  return { subscribers: Number(asked.clients), bytes: numbers(asked.bytes)[0], inFlight: 0 };
}

/**
 * @param {Contestant} contestant
 * @param {import('./lib/figures.mjs').Case} of
 * @param {string} directory
 * @returns {Promise<{ report?: any, failure?: string }>}
 */
async function measure({ peer, dialect }, { subscribers, bytes, inFlight }, directory) {
  const load = scenario === 'resume'
    ? ['--clients', `${subscribers}`, '--bytes', `${bytes}`]
    : ['--subscribers', `${subscribers}`, '--bytes', `${bytes}`, '--in-flight', `${inFlight}`, '--seconds', asked.seconds,
      '--publishers', asked.publishers, '--rate', asked.rate];
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(directory, { recursive: true });
  let server;
  try {
    server = await peer.start(directory);
    return { report: await runLoad(scenario, server, dialect, [...load, ...peer.loadArguments ?? []], Number(asked.seconds)) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  } finally {
    await server?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {import('./lib/figures.mjs').Run[]} runs @param {number} planned */
function progress(runs, planned) {
  const { contestant, case: { subscribers, bytes, inFlight }, report, failure } = runs[runs.length - 1];
  const outcome = report?.deliveries_per_second ? `${short(report.deliveries_per_second)} deliveries/s`
    : report ? `all whole in ${short(report.all_whole_seconds)} s` : `FAILED: ${failure}`;
  const load = `${subscribers} × ${bytes} B${inFlight ? `, ${inFlight} in flight` : ''}`;
  console.error(`${runs.length}/${planned}  ${contestant}  ${load}: ${outcome}`);
}

/**
 * @param {string} out
 * @param {import('./lib/figures.mjs').Run[]} runs
 * @param {import('./lib/figures.mjs').Case[]} cases
 * @param {Contestant[]} contestants
 */
function report(out, runs, cases, contestants) {
  const table = scenario === 'resume'
    ? resumeTable(runs, cases[0], contestants) : fanoutTable(runs, cases, contestants, asked.baseline);
  const { machine, versions } = surroundings(out);
  const fanout = `${asked.publishers} publishing${Number(asked.rate) > 0 ? `, at most ${asked.rate} messages/s` : ''}; `
    + `× is against ${asked.baseline}, run by run. `;
  const said = `${machine}; ${versions}. Medians of ${asked.repeats} runs (lowest–highest). `
    + `${scenario === 'fanout' ? fanout : ''}A generator near 1.0 cores was itself the limit.`;
  const text = [table, said, ...scenario === 'fanout' ? judge(runs, contestants).map((line) => `- ${line}`) : []].join('\n\n');
  console.log(`\n${text}`);
  write(out, 'table.md', `${text}\n`);
  write(out, 'results.json', `${JSON.stringify({ asked, machine, versions, runs }, null, 1)}\n`);
  if (scenario === 'fanout' && runs.some(({ report }) => report)) plots(out, runs, cases, contestants);
}

/**
 * @param {string} out
 * @param {import('./lib/figures.mjs').Run[]} runs
 * @param {import('./lib/figures.mjs').Case[]} cases
 * @param {Contestant[]} contestants
 */
function plots(out, runs, cases, contestants) {
  const groups = cases.map(({ subscribers, bytes, inFlight }) => [
    `${subscribers} × ${bytes} B`, `${inFlight} in flight`]);
  const series = contestants.map(({ title }) => title);
  const chart = (/** @type {string} */ title, /** @type {string} */ figure) => barChart(title, groups, series,
    (group, index) => new Cell(runs, cases[group], contestants[index].name).spread(figure), short);
  write(out, 'deliveries.svg', chart('Deliveries per second (more is better)', 'deliveries_per_second'));
  write(out, 'latency.svg', chart('Publish to delivery, median in ms (less is better)', 'latency.p50_ms'));
}

/** @param {string} out @param {string} file @param {string} content */
function write(out, file, content) {
  fs.writeFileSync(path.join(out, `${scenario === 'resume' ? 'resume-' : ''}${file}`), content);
}

/** What a figure means nothing without. @param {string} out */
function surroundings(out) {
  const cpus = os.cpus();
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  const runtime = JSON.parse(fs.readFileSync(new URL(import.meta.resolve('workerd/package.json')), 'utf8')).version;
  return {
    machine: `${cpus.length} × ${cpus[0].model.trim()}, ${os.type()} ${os.release()}, `
      + `a 4 KB write durable in ${short(commitMilliseconds(out))} ms`,
    versions: `Courtside ${commit}, workerd ${runtime}, Node ${process.version}`,
  };
}

/** What durability costs here at least: disks differ a hundredfold. @param {string} out */
function commitMilliseconds(out) {
  const probe = path.join(out, 'probe');
  const file = fs.openSync(probe, 'w');
  const took = Array.from({ length: 50 }, () => {
    const start = performance.now();
    fs.writeSync(file, Buffer.alloc(4096));
    fs.fdatasyncSync(file);
    return performance.now() - start;
  });
  fs.closeSync(file);
  fs.rmSync(probe);
  return spread(took)?.middle ?? NaN;
}
