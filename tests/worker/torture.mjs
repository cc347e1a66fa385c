/**
 * `npm run torture`: the runtime is ended with SIGKILL at random instants and started again on the same storage, and in
 * between objects lose their memory, while clients of the published SDK publish and subscribe. Then every
 * acknowledged message must be in history exactly once, and every subscriber must have got all of them, in the order
 * of history, each once. Publishers are present on their channel: each must be there still, once, and leave in the end.
 *
 *     node tests/worker/torture.mjs [kills] [seed]      500 kills and a random seed, unless they are given
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { Inbox, closed, connected, wholeHistory, rest } from './clients.mjs';
import { startRuntime } from './runtime.mjs';
import { delay, mayBeTriedAgain, randomFrom, repeated } from './trials.mjs';

const CHANNEL = 'persisted:torture';
/** What a publisher has in flight. */
const WINDOW = 8;
/** Kills between two looks at history: it grows, and so does what a look costs. */
const KILLS_PER_ROUND = 50;

/**
 * @typedef {Pick<import('./runtime.mjs').Runtime, 'clientOptions' | 'evict' | 'kill' | 'start'>
 *   & { stop: () => Promise<unknown> }} Tortured
 */
/**
 * @typedef {{ kills: number, evictions: number, acknowledged: number, refused: number, resumed: number, restarts:
 *   number[], seconds: number }} Figures
 */

/**
 * @param {{ kills: number, seed: number, say?: (text: string) => void, runtime?: Tortured }} options `runtime` is
 *   that of the tests, unless it is given
 * @returns {Promise<Figures>}
 */
export async function torture({ kills, seed, say = () => {}, runtime: given }) {
  const began = performance.now();
  const random = randomFrom(seed);
  // Publishers go as fast as they are acknowledged.
  const runtime = given ?? await startRuntime(undefined, { variables: { CONNECTION_MESSAGES_PER_SECOND: '1000000' } });
  /** @type {Figures} */
  const figures = { kills: 0, evictions: 0, acknowledged: 0, refused: 0, resumed: 0, restarts: [], seconds: 0 };
  try {
    for (let round = 0; figures.kills < kills; round++) {
      await tortureRound(runtime, round, Math.min(KILLS_PER_ROUND, kills - figures.kills), random, figures);
      say(`${figures.kills} kills, ${figures.acknowledged} acknowledged messages, each in history and at every subscriber once`);
    }
  } finally {
    await runtime.stop();
  }
  figures.seconds = (performance.now() - began) / 1_000;
  return figures;
}

/**
 * Clients of their own on a channel of their own, some kills, and the reckoning.
 * @param {Tortured} runtime
 * @param {number} round
 * @param {number} kills
 * @param {() => number} random from 0 to 1
 * @param {Figures} figures
 */
async function tortureRound(runtime, round, kills, random, figures) {
  /** @type {(() => unknown)[]} */
  const ends = [];
  const scope = { after: (/** @type {any} */ end) => void ends.push(end) };
  const name = `${CHANNEL}-${round}`;
  const direct = { transportParams: { channel: name } };
  const kinds = [{}, { useBinaryProtocol: false }, direct, { useBinaryProtocol: false, ...direct }];
  const subscribers = await Promise.all(kinds.map((options) => connected(scope, runtime, options)));
  const publishers = await Promise.all(kinds.slice(0, 3).map((options, index) => (
    connected(scope, runtime, { ...options, clientId: `publisher-${index}` }))));
  const inboxes = await Promise.all(subscribers.map((client) => Inbox.of(client.channels.get(name))));
  const channels = publishers.map((client) => client.channels.get(name, { modes: ['PUBLISH', 'PRESENCE'] }));
  await Promise.all(channels.map((channel) => channel.presence.enter()));
  const members = channels.map((_, index) => `publisher-${index}`);
  const ids = new Map(publishers.map((client) => [client, client.connection.id]));
  for (const client of subscribers) {
    client.channels.get(name).on('attached', (change) => {
      if (change.resumed) figures.resumed++;
      else inboxes[subscribers.indexOf(client)].messages.push(/** @type {any} */ ({ data: `gap: ${change.reason}` }));
    });
  }

  const traffic = new Traffic(channels);
  for (let kill = 0; kill < kills; kill++) {
    if (random() < 0.5) {
      await traffic.acknowledgements(1 + Math.floor(random() * 30));
      figures.evictions += await traffic.ebb(() => evictSome(runtime, name, random));
    }
    await traffic.acknowledgements(1 + Math.floor(random() * 60));
    await delay(random() * 30);
    await runtime.kill();
    const down = performance.now();
    await runtime.start();
    figures.restarts.push(performance.now() - down);
    figures.kills++;
  }
  await traffic.acknowledgements(1);
  await traffic.end();
  await channels[0].publish('a', 'end');
  await Promise.all(inboxes.map((inbox) => inbox.until('end')));

  const history = (await wholeHistory(rest(runtime).channels.get(name))).map((message) => message.serial ?? '');
  assert.deepEqual(history.toSorted(), history, 'serials sort as history does');
  assert.equal(new Set(history).size, history.length, 'no serial was used twice');
  const stored = (await wholeHistory(rest(runtime).channels.get(name))).map((message) => message.data);
  assert.deepEqual(repeated(stored), [], 'nothing is twice in history');
  const [acknowledged, kept] = [new Set(traffic.acknowledged), new Set(stored)];
  assert.deepEqual([...acknowledged].filter((data) => !kept.has(data)), [], 'every acknowledged message is in history');
  for (const inbox of inboxes) assert.deepEqual(inbox.data, stored, 'every subscriber has what history has, in its order');
  for (const [client, id] of ids) assert.equal(client.connection.id, id, 'publishers resumed their connections');
  assert.deepEqual(await present(runtime, name), members, 'who is present still is, once');

  figures.acknowledged += acknowledged.size;
  figures.refused += traffic.refused;
  await Promise.all([...subscribers, ...publishers].map(closed));
  while ((await present(runtime, name)).length > 0);
}

/** Who is present on a channel. @param {Tortured} runtime @param {string} channel */
async function present(runtime, channel) {
  const { items } = await rest(runtime).channels.get(channel).presence.get({});
  return items.map(({ clientId }) => clientId).sort();
}

/** @param {Tortured} runtime @param {string} channel @param {() => number} random */
async function evictSome(runtime, channel, random) {
  const sockets = () => random() < 0.8 ? 'hibernate' : 'close';
  const which = random();
  const relay = which < 0.6 ? await runtime.evict('Relay', 'demo/0', sockets()) : 0;
  return relay + (which > 0.3 ? await runtime.evict('Channel', `demo/${channel}`, sockets()) : 0);
}

/** Publishers that keep their windows full until they are told to end. */
class Traffic {
  /** @type {string[]} */
  acknowledged = [];
  refused = 0;
  #going = true;
  /** @type {Promise<unknown> | undefined} */
  #ebb;
  /** @type {(() => void) | undefined} */
  #watch;
  #loops;

  /** @param {import('ably').RealtimeChannel[]} channels */
  constructor(channels) {
    this.#loops = channels.flatMap((channel, publisher) => {
      let next = 0;
      const loop = async () => {
        while (this.#going) {
          await this.#publish(channel, `${publisher}-${next++}`);
          await this.#ebb;
        }
      };
      return Array.from({ length: WINDOW }, loop);
    });
  }

  /** @param {import('ably').RealtimeChannel} channel @param {string} data */
  async #publish(channel, data) {
    try {
      await channel.publish('a', data);
      this.acknowledged.push(data);
      this.#watch?.();
    } catch (error) {
      assert.ok(mayBeTriedAgain(error), String(error));
      this.refused++;
    }
  }

  /** Until so many more are acknowledged. @param {number} count */
  async acknowledgements(count) {
    const goal = this.acknowledged.length + count;
    while (this.acknowledged.length < goal) {
      await new Promise((/** @type {(value?: unknown) => void} */ resolve) => { this.#watch = resolve; });
    }
  }

  /**
   * Begins something while publishes are in flight, and sends no more of them until it is done: the runtime evicts an
   * object in its next idle moment.
   * @template T
   * @param {() => Promise<T>} act
   * @returns {Promise<T>}
   */
  async ebb(act) {
    const acting = act();
    this.#ebb = acting.catch(() => {});
    return acting;
  }

  async end() {
    this.#going = false;
    await Promise.all(this.#loops);
  }
}

/** @param {Figures} figures */
export function report({ kills, evictions, acknowledged, refused, resumed, restarts, seconds }) {
  const median = restarts.toSorted((one, other) => one - other)[restarts.length >> 1];
  return `${kills} kills and ${evictions} evictions in ${seconds.toFixed(0)} s: ${acknowledged} messages acknowledged, none lost, none repeated, one order`
    + ` for all; ${refused} refused; ${resumed} channels resumed; back in ${(median / 1_000).toFixed(1)} s (median)`;
}

if (process.argv[1] === import.meta.filename) {
  const [kills = 500, seed = Math.floor(Math.random() * 2 ** 32)] = process.argv.slice(2).map(Number);
  console.log(`torture: ${kills} kills, seed ${seed}`);
  console.log(report(await torture({ kills, seed, say: console.log })));
}
