/**
 * The report of the runs: on the terminal, in files under `target`, and, when asked, in the file that is committed.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { judge } from './aims.mjs';
import { Cell, spread } from './figures.mjs';
import { barChart, page } from './plot.mjs';
import { caseLines, caseName, cellWithSpread, fanoutTable, markdown, short, stormTable } from './tables.mjs';

/**
 * @typedef {import('../run.mjs').MeasuredPart} MeasuredPart
 * @typedef {{ scenario: string, asked: { publishers: string }, parts: MeasuredPart[], baseline: string }} Results
 */

/** @param {Results} results @param {string} out */
export function report(results, out) {
  const { scenario, parts } = results;
  const { machine, versions } = surroundings(out);
  const text = tables(results, `${machine}; ${versions}. `);
  console.log(`\n${text}`);
  const prefix = scenario === 'fanout' ? '' : `${scenario}-`;
  write(out, `${prefix}table.md`, `${text}\n`);
  write(out, `${prefix}results.json`, `${JSON.stringify({ ...results, machine, versions }, null, 1)}\n`);
  if (isStorm(scenario) || !parts.some(({ runs }) => runs.some(({ report }) => report))) return;
  if (scenario === 'peers') return write(out, `${prefix}results.svg`, plot(parts));
  const named = legend(parts);
  for (const [name, chart] of Object.entries(partCharts(parts[0], named))) write(out, `${name}.svg`, page([...named.values()], [chart]));
}

/**
 * The comparison for those who only read: `RESULTS.md` and its plot.
 * @param {Results} results
 * @param {string} directory
 */
export function record(results, directory) {
  const { machine, versions } = surroundings(os.tmpdir());
  const text = `# Courtside beside other ways to do the job

Written by \`npm run bench -- peers --record\`; what the columns mean is in [README.md](README.md).

${headline(results.parts[0])}

![The figures as bars](results.svg)

${tables(results, `${machine}; ${versions}. `)}
`;
  write(directory, 'RESULTS.md', text);
  write(directory, 'results.svg', plot(results.parts));
}

/** @param {Results} results @param {string} surroundings */
function tables({ scenario, asked, parts, baseline }, surroundings) {
  const paragraphs = parts.flatMap((part) => [
    ...parts.length > 1 ? [`## ${part.title}`] : [],
    isStorm(scenario) ? stormTable(scenario, part.runs, part.cases[0], part.contestants)
      : fanoutTable(part.runs, part.cases, part.contestants, baseline),
    `${part.seconds} s each, medians of ${part.repeats} runs (lowest–highest).`,
    part.runs.filter(({ failure }) => failure).map(failed).join('\n'),
  ]);
  const publishing = isStorm(scenario) ? '' : `${asked.publishers} publishing; × is against ${baseline}, run by run. `;
  const aims = isStorm(scenario) ? [] : judge(parts).map((line) => `- ${line}`).join('\n');
  return [...paragraphs, `${surroundings}${publishing}A generator near 1.0 cores was itself the limit.`, ...[aims].flat()]
    .filter(Boolean).join('\n\n');
}

/** Whether what is told is how clients come back. @param {string} scenario */
function isStorm(scenario) {
  return scenario === 'resume' || scenario === 'storm';
}

/** @param {import('./figures.mjs').Run} run */
function failed({ contestant, case: of, failure }) {
  return `- FAILED ${contestant} at ${caseName(of)}: ${failure}`;
}

/** Deliveries per second of the first part, and what each peer promises. @param {MeasuredPart} part */
function headline({ cases, contestants, runs }) {
  const head = ['deliveries/s', 'durable', 'ordered', ...cases.map((of) => caseLines(of).join(', '))];
  const yes = (/** @type {boolean} */ promise) => (promise ? 'yes' : 'no');
  return markdown(head, contestants.map(({ name, title, peer }) => [
    title.replace(/, not .*/, ''), yes(peer.durable), yes(peer.ordered),
    ...cases.map((of) => cellWithSpread(new Cell(runs, of, name).spread('deliveries_per_second'))),
  ]));
}

/** Titles by name: one colour for each contestant, the same in every chart. @param {MeasuredPart[]} parts */
function legend(parts) {
  return new Map(parts.flatMap(({ contestants }) => contestants.map(({ name, title }) => [name, title])));
}

/** @param {MeasuredPart[]} parts */
function plot(parts) {
  const named = legend(parts);
  const charts = parts.flatMap((part, index) => {
    const { deliveries, latency, tail, cpu } = partCharts(part, named);
    if (part.cases.some(({ rate }) => rate > 0)) return [tail];
    return index === 0 ? [deliveries, latency, cpu] : [deliveries];
  });
  return page([...named.values()], charts);
}

/** @param {MeasuredPart} part @param {Map<string, string>} named */
function partCharts({ cases, contestants, runs, title }, named) {
  const colours = contestants.map(({ name }) => [...named.keys()].indexOf(name));
  const chart = (/** @type {string} */ what, /** @type {string} */ figure) => barChart(`${title}: ${what}`, cases.map(caseLines), colours,
    (group, index) => new Cell(runs, cases[group], contestants[index].name).spread(figure), short);
  return {
    deliveries: chart('deliveries per second (more is better)', 'deliveries_per_second'),
    latency: chart('publish to delivery, median in ms (less is better)', 'latency.p50_ms'),
    tail: chart('publish to delivery, 99th percentile in ms (less is better)', 'latency.p99_ms'),
    cpu: chart('CPU per delivery in µs (less is better)', 'server_cpu_us_per_delivery'),
  };
}

/** @param {string} out @param {string} file @param {string} content */
function write(out, file, content) {
  fs.writeFileSync(path.join(out, file), content);
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
  const folder = fs.mkdtempSync(path.join(out, 'probe-'));
  const file = fs.openSync(path.join(folder, 'probe'), 'w');
  const took = Array.from({ length: 50 }, () => {
    const start = performance.now();
    fs.writeSync(file, Buffer.alloc(4096));
    fs.fdatasyncSync(file);
    return performance.now() - start;
  });
  fs.closeSync(file);
  fs.rmSync(folder, { recursive: true });
  return spread(took)?.middle ?? NaN;
}
