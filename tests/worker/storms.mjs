/**
 * Crowds that react to a message, and clients that share objects, while the runtime is ended with SIGKILL, objects lose
 * their memory and connections are cut. Whoever is not sure that something was done does it again under the same id.
 * In the end counts are exact, and everybody has the same objects.
 *
 *     node tests/worker/storms.mjs [kills] [reactions] [operations] [seed]     50, 20,000 and 10,000, unless given
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { isDeepStrictEqual } from 'node:util';
import { LiveCounter, LiveMap, LiveObjects } from 'ably/liveobjects';
import { connected, demoKey, inState, rest } from './clients.mjs';
import { Network } from './network.mjs';
import { startRuntime } from './runtime.mjs';
import { Counts, NAMES, Scope, TYPES, certainly, mayBeTriedAgain, randomFrom, shows, sorted, totals } from './trials.mjs';

/** @typedef {import('./torture.mjs').Tortured & { url: string, port: number }} Tortured */
/** @typedef {{ kills: number, evictions: number, done: number, again: number, seconds: number }} Figures */

/** Reactions, or operations, that are under way. */
const CLIENTS = 64;

/** Counts what is done, for those who wait until so much of it is. */
class Progress {
  done = 0;
  /** What was done again, as nobody knew whether it was. */
  again = 0;
  /** @type {(() => void) | undefined} */
  #watch;

  count() {
    this.done++;
    this.#watch?.();
  }

  /** @param {number} goal */
  async until(goal) {
    while (this.done < goal) await new Promise((/** @type {(value?: unknown) => void} */ resolve) => { this.#watch = resolve; });
  }
}

/**
 * Kills and evicts at random instants while work is done, evenly over all of it.
 * @param {{ runtime: Tortured, kills: number, total: number, random: () => number, evict: () => Promise<number>,
 *   disturb?: () => Promise<void> }} options
 * @param {Progress} progress
 */
async function disturbed({ runtime, kills, total, random, evict, disturb = async () => {} }, progress) {
  let evictions = 0;
  for (let kill = 1; kill <= kills; kill++) {
    const share = total / (kills + 1);
    await progress.until(Math.floor(share * (kill - 0.5)));
    if (kill % 2) evictions += await evict();
    else await disturb();
    await progress.until(Math.floor(share * (kill - 0.5 + random() / 2)));
    await runtime.kill();
    await runtime.start();
  }
  return evictions;
}

/**
 * Clients react to one message, each to its last reaction before it sends the next.
 * @param {{ kills: number, reactions: number, seed: number, runtime: Tortured }} options
 * @returns {Promise<Figures>}
 */
export async function reactionStorm({ kills, reactions, seed, runtime }) {
  const [began, random, scope, progress] = [performance.now(), randomFrom(seed), new Scope(), new Progress()];
  const name = `mutable:storm-${seed}`;
  const writers = await Promise.all([{}, { useBinaryProtocol: false }, { transportParams: { channel: name } }].map(async (options) =>
    (await connected(scope, runtime, options)).channels.get(name)));
  const reader = (await connected(scope, runtime)).channels.get(name);
  /** @type {any} */
  let summary = {};
  /** @type {(() => void) | undefined} */
  let watch;
  await reader.subscribe((message) => {
    if (message.action === 'message.summary') summary = message.annotations?.summary;
    watch?.();
  });
  const { serials: [serial] } = await writers[0].publish('poll', 'which?');
  const wanted = new Counts();
  let next = 0;
  const react = async (/** @type {number} */ client) => {
    for (let number = next++; number < reactions; number = next++) {
      const type = TYPES[Math.floor(random() * TYPES.length)];
      const one = { type, name: NAMES[Math.floor(random() * NAMES.length)], clientId: `client${client}`, id: `reaction${seed}-${number}:0` };
      const annotation = type === 'r:multiple.v1' ? { ...one, count: 1 + Math.floor(random() * 3) } : one;
      await certainly(() => progress.again++, () => writers[client % writers.length].annotations.publish(/** @type {string} */ (serial), annotation));
      wanted.take(annotation);
      progress.count();
    }
  };
  const evict = () => runtime.evict('Channel', `demo/${name}`);
  const [evictions] = await Promise.all([
    disturbed({ runtime, kills, total: reactions, random, evict }, progress),
    ...Array.from({ length: CLIENTS }, (_, client) => react(client)),
  ]);

  const told = await rest(runtime).channels.get(name).getMessage(/** @type {string} */ (serial));
  assert.deepEqual(totals(told.annotations?.summary), wanted.totals(), 'counts are those of what was acknowledged');
  // A summary does not list all clients; each can be asked for.
  for (let client = 0; client < CLIENTS; client++) {
    const id = `client${client}`;
    const query = new URLSearchParams({ key: demoKey, forClientId: id });
    const path = `/channels/${encodeURIComponent(name)}/messages/${encodeURIComponent(/** @type {string} */ (serial))}/client-summary`;
    const own = /** @type {any} */ (await (await fetch(`${runtime.url}${path}?${query}`)).json());
    assert.deepEqual(totals(own, ({ clientIds }) => clientIds[id] ?? clientIds.length), wanted.totals(id), id);
  }
  while (!sameCounts(summary, wanted)) await new Promise((/** @type {(value?: unknown) => void} */ resolve) => { watch = resolve; });
  const ids = await annotationsOf(runtime, name, /** @type {string} */ (serial));
  assert.equal(ids.length, reactions, 'each reaction is kept');
  assert.equal(new Set(ids).size, reactions, 'once');
  await scope.end();
  return { kills, evictions, done: progress.done, again: progress.again, seconds: (performance.now() - began) / 1_000 };
}

/** @param {any} summary @param {Counts} wanted */
const sameCounts = (summary, wanted) => isDeepStrictEqual(totals(summary), wanted.totals());

/** @param {Tortured} runtime @param {string} name @param {string} serial */
async function annotationsOf(runtime, name, serial) {
  const ids = [];
  /** @type {import('ably').PaginatedResult<import('ably').Annotation> | null} */
  let page = await rest(runtime).channels.get(name).annotations.get(serial, { limit: 1000 });
  while (page) {
    ids.push(...page.items.map(({ id }) => id));
    page = page.hasNext() ? await page.next() : null;
  }
  return ids;
}

/**
 * Two clients change the same objects; the network of one of them fails now and then.
 * @param {{ kills: number, operations: number, seed: number, runtime: Tortured }} options
 * @returns {Promise<Figures>}
 */
export async function objectStorm({ kills, operations, seed, runtime }) {
  const [began, random, scope, progress] = [performance.now(), randomFrom(seed), new Scope(), new Progress()];
  const name = `objects-${seed}`;
  const network = await Network.to(scope, runtime);
  const writers = await Promise.all([join(scope, runtime, name), join(scope, network, name)]);
  await writers[0].root.set('hits', LiveCounter.create());
  await writers[0].root.set('board', LiveMap.create({}));
  for (const { root } of writers) await shows(root, ({ hits, board }) => hits === 0 && board);
  // What was not acknowledged may have been done all the same.
  let [next, hits, perhaps] = [0, 0, 0];
  const operate = async (/** @type {number} */ writer) => {
    const { channel, root } = writers[writer % writers.length];
    for (let number = next++; number < operations; number = next++) {
      if (channel.state !== 'attached') await inState(channel, 'attached');
      const [kind, key] = [random(), `k${Math.floor(random() * 40)}`];
      const by = kind < 0.4 ? 1 + Math.floor(random() * 5) : 0;
      const act = () => by ? root.get('hits').increment(by)
        : kind < 0.75 ? root.get('board').set(key, `${number}${'x'.repeat(Math.floor(random() * 50))}`)
          : kind < 0.9 ? root.get('board').remove(key)
            : root.set(key, LiveMap.create({ at: number, of: LiveCounter.create(number) }));
      try {
        await act();
        hits += by;
      } catch (error) {
        assert.ok(mayBeTriedAgain(error) || [90001, 80003, 80000].includes(/** @type {any} */ (error).code), String(error));
        perhaps += by;
        progress.again++;
      }
      progress.count();
    }
  };
  const evict = async () => await runtime.evict('Relay', 'demo/0') + await runtime.evict('Channel', `demo/${name}`);
  const disturb = async () => {
    const dropped = writers[1].client.connection.once('disconnected');
    network.cut();
    await dropped;
    network.mend();
  };
  const [evictions] = await Promise.all([
    disturbed({ runtime, kills, total: operations, random, evict, disturb }, progress),
    ...Array.from({ length: CLIENTS }, (_, writer) => operate(writer)),
  ]);

  const late = await join(scope, runtime, name);
  const answer = await fetch(`${runtime.url}/channels/${name}/object?key=demo.key1:local-only`);
  const tree = /** @type {any} */ (await answer.json());
  assert.ok(tree.hits >= hits && tree.hits <= hits + perhaps, `${tree.hits} hits, ${hits} of them acknowledged, ${perhaps} perhaps`);
  const text = JSON.stringify(sorted(tree));
  for (const { root } of [...writers, late]) await shows(root, (value) => JSON.stringify(sorted(value)) === text);
  await scope.end();
  return { kills, evictions, done: progress.done, again: progress.again, seconds: (performance.now() - began) / 1_000 };
}

/** @param {Scope} scope @param {{ clientOptions: object }} server @param {string} name */
async function join(scope, server, name) {
  const client = await connected(scope, server, { plugins: { LiveObjects } });
  const channel = client.channels.get(name, { modes: ['object_subscribe', 'object_publish'] });
  return { client, channel, root: /** @type {any} */ (await channel.object.get()) };
}

/** @param {string} what @param {Figures} figures */
export function report(what, { kills, evictions, done, again, seconds }) {
  return `${kills} kills and ${evictions} evictions in ${seconds.toFixed(0)} s: ${done} ${what}, ${again} of them tried again, all exact`;
}

/** A runtime whose clients go as fast as they are acknowledged. */
export const fast = { CONNECTION_MESSAGES_PER_SECOND: '1000000' };

if (process.argv[1] === import.meta.filename) {
  const [kills = 50, reactions = 20_000, operations = 10_000, seed = Math.floor(Math.random() * 2 ** 32)] = process.argv.slice(2).map(Number);
  console.log(`storms: ${kills} kills, seed ${seed}`);
  const runtime = await startRuntime(undefined, { variables: fast });
  console.log(report('reactions', await reactionStorm({ kills, reactions, seed, runtime })));
  console.log(report('operations on objects', await objectStorm({ kills, operations, seed, runtime })));
  await runtime.stop();
  process.exit();
}
