/**
 * Replays a piece of an event in real time, against the built worker, and reads its meter: first while its viewers
 * connect, then while messages flow.
 */
import path from 'node:path';
import fs from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { startCourtside } from '../lib/courtside.mjs';
import { runLoad } from '../lib/load.mjs';

const meter = path.join(import.meta.dirname, 'meter-entry.mjs');

/**
 * @typedef {object} Sample
 * @property {number} viewers
 * @property {number} messagesPerSecond to a channel
 * @property {string} channel whose whole name is its namespace; one that begins with `conflated` leaves messages out
 * @property {boolean} channelInUrl whether viewers name their channel when they connect
 * @property {number} settleSeconds until as many rows are deleted as are written
 * @property {number} seconds measured
 *
 * @typedef {{ [what: string]: number }} Counts as the meter names them
 * @typedef {{ at: number, counts: Counts }} Reading  `at` in ms
 *
 * @typedef {object} Counted
 * @property {Counts} connecting of all viewers
 * @property {Counts} perSecond while messages flow
 * @property {number} relays
 */

/** @param {Sample} sample @param {string} directory @returns {Promise<Counted>} */
export async function replay(sample, directory) {
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(directory, { recursive: true });
  const server = await startCourtside(directory, [meter]);
  /** @type {Reading[]} */
  const readings = [];
  try {
    const load = ['--subscribers', `${sample.viewers}`, '--rate', `${sample.messagesPerSecond}`, '--in-flight', '1000',
      '--warmup-seconds', `${sample.settleSeconds}`, '--seconds', `${sample.seconds}`, '--channel', sample.channel, ...sample.channelInUrl ? ['--channel-in-url'] : [],
      ...sample.channel.startsWith('conflated') ? ['--conflated'] : []];
    let loading = true;
    const loaded = runLoad('fanout', server, 'ably-json', load, sample.settleSeconds + sample.seconds).finally(() => { loading = false; });
    // Waited for below: a failure until then must not count as unhandled.
    loaded.catch(() => {});
    while (loading) {
      readings.push(await read(server.url));
      await Promise.race([pause(50), loaded.catch(() => {})]);
    }
    await loaded;
  } finally {
    await server.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
  return counted(sample, readings);
}

/** @param {string} url @returns {Promise<Reading>} */
async function read(url) {
  const counts = /** @type {Counts} */ (await (await fetch(`${url.replace(/^ws/, 'http')}bench/meter`)).json());
  return { at: performance.now(), counts };
}

/**
 * Every viewer sends one frame, to attach, and the publisher none before it publishes: by that the reading before the
 * first message is known.
 * @param {Sample} sample
 * @param {Reading[]} readings
 * @returns {Counted}
 */
function counted({ viewers, messagesPerSecond, settleSeconds, seconds }, readings) {
  const connected = readings.findLast(({ counts }) => (counts.frames ?? 0) <= viewers);
  if (connected?.counts.frames !== viewers) throw new Error('no reading falls between the last viewer and the first message');
  const after = (/** @type {number} */ s) => readings.find(({ at }) => at >= connected.at + s * 1000);
  const [from, to] = [after(settleSeconds + 0.5), after(settleSeconds + seconds - 0.5)];
  if (!from || !to || from === to) throw new Error('too few readings: measure for longer');
  // By the publisher's clock and not by ours: it is what keeps the rate, and a reading may come late.
  const lasted = (to.counts.frames - from.counts.frames) / messagesPerSecond;
  const gained = Object.entries(to.counts).map(([what, count]) => [what, (count - (from.counts[what] ?? 0)) / lasted]);
  return { connecting: connected.counts, perSecond: Object.fromEntries(gained), relays: to.counts.relays };
}

/** @param {Counts} counts @returns {import('../../bin/cost/prices.mjs').Usage} */
export function usage(counts) {
  return {
    workerRequests: counts['worker requests'] ?? 0,
    objectRequests: total(requests(counts)),
    frames: counts.frames ?? 0,
    rowsWritten: (counts['rows written'] ?? 0) + alarmsSet(counts),
    rowsRead: counts['rows read'] ?? 0,
    awakeSeconds: counts['awake seconds'],
  };
}

/** Requests to objects by what they are: a class, and a path or its alarm. @param {Counts} counts */
export function requests(counts) {
  return Object.entries(counts).filter(([what]) => /^(App|Channel|Relay) (\/|alarm$)/.test(what));
}

/** @param {Counts} counts */
export function alarmsSet(counts) {
  return total(Object.entries(counts).filter(([what]) => what.endsWith(' alarms set')));
}

/** @param {[string, number][]} counts */
function total(counts) {
  return counts.reduce((sum, [, count]) => sum + count, 0);
}
