/**
 * `npm run chaos`: objects end or lose their memory at random, about twice a second, and now and then the runtime is
 * ended with SIGKILL and started again on the same storage, while clients of every transport use every feature of
 * channels. When all is quiet, chaos_checks.mjs says whether each of them saw what it should.
 *
 *     node tests/worker/chaos.mjs [seconds] [seed]      an hour and a random seed, unless they are given
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import vcdiff from '@ably/vcdiff-decoder';
import { LiveCounter, LiveMap, LiveObjects } from 'ably/liveobjects';
import { closed, connected, demoKey, inState, rest } from './clients.mjs';
import { SETTLED_MS, judge } from './chaos_checks.mjs';
import { Ledger } from './chaos_ledger.mjs';
import { END, StreamReader, View, WaitingReader, follow } from './chaos_views.mjs';
import { Weather } from './chaos_weather.mjs';
import { startRuntime } from './runtime.mjs';
import { fast } from './storms.mjs';
import { NAMES, Scope, TYPES, certainly, delay, mayBeTriedAgain, randomFrom, shows } from './trials.mjs';

/** @typedef {import('./runtime.mjs').Runtime} Runtime */
/** @typedef {import('./chaos_views.mjs').Server} Server */
/**
 * @typedef {{
 *   kills: number, ended: Weather['ended'], done: number, again: number, gaps: number, seconds: number
 * }} Figures
 */
/** @typedef {import('./chaos_weather.mjs').Pace} Pace */

/** @type {Pace} */
const HOURLY = { roundMs: 30_000, calmMs: 20_000, calmMoreMs: 20_000 };
/** What is not closed by then is given up with its round. */
const CLOSING_MS = 5_000;
/** Between two things that a writer does, at most. */
const WRITER_MS = 150;
/** Things that one writer does at the same time, under names of their own. */
const LANES = 2;
/** To subscribe attaches nothing: nobody would hear how that ends. */
const QUIET = { attachOnSubscribe: false };

const secret = 'local-only';
/** May not see what was deleted. */
export const readerKey = `demo.reader:${secret}`;
const apps = {
  apps: [{
    id: 'demo',
    keys: [
      { name: 'key1', secret, capability: { '*': ['*'], '[filter]*': ['subscribe'] } },
      { name: 'reader', secret, capability: { '*': ['subscribe', 'history'] } },
    ],
    namespaces: [{ id: 'chaos', persisted: true, mutableMessages: true }],
  }],
};

/**
 * @param {{ seconds: number, seed: number, say?: (text: string) => void, pace?: Pace }} options
 * @returns {Promise<Figures>}
 */
export async function chaos({ seconds, seed, say = () => {}, pace = HOURLY }) {
  const inFront = [new URL('entries/chaos-entry.mjs', import.meta.url).pathname];
  const runtime = await startRuntime(apps, { variables: fast, inFront, isQuiet: true });
  const [began, random] = [performance.now(), randomFrom(seed)];
  const weather = new Weather(runtime, random, pace);
  /** @type {Figures} */
  const figures = { kills: 0, ended: weather.ended, done: 0, again: 0, gaps: 0, seconds: 0 };
  try {
    for (let round = 0; performance.now() - began < seconds * 1_000; round++) {
      const scope = new Scope();
      const { ledger, gaps } = await chaosRound(scope, weather, `chaos:${round}`, random, pace)
        .finally(() => Promise.race([scope.end(), delay(CLOSING_MS)]));
      figures.kills = weather.kills;
      figures.done += ledger.done;
      figures.again += ledger.again;
      figures.gaps += gaps;
      figures.seconds = (performance.now() - began) / 1_000;
      say(`round ${round}: ${report(figures)}`);
    }
  } finally {
    await runtime.stop();
  }
  return figures;
}

/**
 * Fails when something takes longer.
 * @param {number} ms
 * @param {Promise<unknown>} promise
 * @param {string} what
 */
async function within(ms, promise, what) {
  const late = new AbortController();
  const deadline = sleep(ms, undefined, { signal: late.signal }).then(() => assert.fail(`${what}: not within ${ms} ms`));
  try {
    await Promise.race([promise, deadline]);
  } finally {
    late.abort();
    deadline.catch(() => {});
  }
}

/**
 * Clients of their own on a channel of their own.
 * @param {Scope} scope
 * @param {Weather} weather
 * @param {string} name
 * @param {() => number} random
 * @param {Pace} pace
 */
async function chaosRound(scope, weather, name, random, pace) {
  const [ledger, { runtime }] = [new Ledger(), weather];
  const direct = { transportParams: { channel: name } };
  const followers = await gatherFollowers(scope, runtime, name);
  const readers = await gatherReaders(weather, name);
  scope.after(() => Promise.all(readers.map((reader) => reader.end())));
  const first = await rest(runtime).channels.get(name).publish('a', ledger.say('first'));
  const rewinder = new Rewinder(await connected(scope, runtime), name);
  const objects = await gatherSharers(scope, runtime, name);
  ledger.wrote(String(first.serials[0]), 'a', '<0>first');
  const writers = await Promise.all([{}, { useBinaryProtocol: false, ...direct }, { transports: ['comet'], transportParams: { channel: `${name}-aside` } }].map((options) =>
    connected(scope, runtime, /** @type {any} */ (options))));
  const ids = writers.map(({ connection }) => connection.id);
  const channels = writers.map((client) => client.channels.get(name, QUIET));
  await Promise.all(channels.map(attached));

  let going = true;
  const loop = async (/** @type {() => Promise<unknown>} */ act) => {
    while (going) {
      await weather.flow;
      await act();
      await delay(random() * WRITER_MS);
    }
  };
  const lanes = channels.flatMap((channel, number) => Array.from({ length: LANES }, (_, lane) => {
    const writer = new Writer(channel, `writer${number}.${lane}`, ledger, random);
    return loop(() => writer.act());
  }));
  const all = Promise.all([
    ...lanes,
    ...objects.map(({ channel, root }) => loop(() => share(channel, root, ledger, random))),
    loop(() => rewinder.comeAgain(random)),
    loop(() => visit(weather, name, ledger, random)),
  ]);
  await Promise.race([weather.rage(name, readers), all]).finally(() => {
    going = false;
    weather.isOver = true;
  });
  await within(SETTLED_MS, all, 'all that was begun has ended');
  await certainly(() => ledger.again++, () => rest(runtime).channels.get(name).publish({ id: `${END}:0`, name: 'b', data: END }));

  // What is judged may be read by a runtime that remembers nothing.
  if (random() < 0.3) await weather.kill();

  const round = {
    runtime, name, ledger, followers, rewinder,
    views: [...followers.map(({ view }) => view), ...readers.map(({ view }) => view)],
    roots: objects.map(({ root }) => root),
    writers: writers.map(({ connection }, index) => ({ was: ids[index], is: connection.id })),
  };
  await judge(scope, round);
  return { ledger, gaps: round.views.reduce((sum, { gaps }) => sum + gaps, 0) };
}

/**
 * Every way of the SDK to listen.
 * @param {Scope} scope
 * @param {Runtime} runtime
 * @param {string} name
 */
async function gatherFollowers(scope, runtime, name) {
  const direct = { transportParams: { channel: name } };
  // An object that holds requests all the time has no idle moment, and these two are to have some.
  const aside = { channel: `${name}-aside` };
  const passes = (/** @type {string | undefined} */ said) => said === 'b';
  /** @type {[string, any, any?][]} */
  const kinds = [
    ['msgpack', {}],
    ['JSON', { useBinaryProtocol: false }],
    ['msgpack, direct', direct],
    ['JSON, direct', { useBinaryProtocol: false, ...direct }],
    ['who may not see what was deleted', { key: readerKey }],
    ['Comet, streaming', { transports: ['comet'], transportParams: aside }],
    ['Comet, polling', { transports: ['comet'], transportParams: { ...aside, stream: false } }],
    ['deltas', { plugins: { vcdiff } }, { params: { delta: 'vcdiff' } }],
    ['deltas, direct', { plugins: { vcdiff }, ...direct }, { params: { delta: 'vcdiff' } }],
    ['a filter', {}],
    ['a filter, direct', { useBinaryProtocol: false, ...direct }],
  ];
  return Promise.all(kinds.map(async ([who, options, channelOptions]) => {
    const client = await connected(scope, runtime, options);
    const isFiltered = who.startsWith('a filter');
    const channel = isFiltered ? client.channels.getDerived(name, { filter: "name == 'b'" }) : client.channels.get(name, channelOptions);
    const view = await follow(new View(who, isFiltered ? { passes } : {}), channel);
    return { view, channel, isFiltered };
  }));
}

/** Those without an SDK. @param {Server} server @param {string} name */
async function gatherReaders(server, name) {
  const passes = (/** @type {string | undefined} */ said) => said === 'b';
  const query = { v: '2', channels: name };
  return Promise.all([
    new StreamReader(server, new View('an event stream'), { key: demoKey, ...query }),
    new StreamReader(server, new View('an event stream of lines'), { key: readerKey, ...query }, '/event-stream'),
    new StreamReader(server, new View('a filtered event stream', { passes }), { key: demoKey, ...query, filter: "name == 'b'" }),
    new WaitingReader(server, new View('who waits'), name, demoKey),
  ].map((reader) => reader.begin()));
}

/** Clients with the same objects. @param {Scope} scope @param {Runtime} runtime @param {string} name */
async function gatherSharers(scope, runtime, name) {
  const kinds = [{}, { useBinaryProtocol: false, transportParams: { channel: name } }];
  const sharers = await Promise.all(kinds.map((options) => joinObjects(scope, runtime, name, options)));
  await sharers[0].root.set('hits', LiveCounter.create());
  await sharers[0].root.set('board', LiveMap.create({}));
  for (const { root } of sharers) await shows(root, ({ hits, board }) => hits === 0 && board);
  return sharers;
}

/** @param {Scope} scope @param {Runtime} runtime @param {string} name @param {object} [options] */
export async function joinObjects(scope, runtime, name, options) {
  const client = await connected(scope, runtime, { ...options, plugins: { LiveObjects } });
  const channel = client.channels.get(name, { modes: ['object_subscribe', 'object_publish'] });
  return { client, channel, root: /** @type {any} */ (await channel.object.get()) };
}

/**
 * An operation on the objects.
 * @param {import('ably').RealtimeChannel} channel
 * @param {any} root
 * @param {Ledger} ledger
 * @param {() => number} random
 */
async function share(channel, root, ledger, random) {
  if (channel.state !== 'attached') await inState(channel, 'attached');
  const [kind, key] = [random(), `k${Math.floor(random() * 20)}`];
  const by = kind < 0.5 ? 1 + Math.floor(random() * 5) : 0;
  try {
    if (by) await root.get('hits').increment(by);
    else if (kind < 0.8) await root.get('board').set(key, ledger.say());
    else if (kind < 0.9) await root.get('board').remove(key);
    else await root.set(key, LiveMap.create({ of: LiveCounter.create(by) }));
    ledger.hits.sure += by;
    ledger.done++;
  } catch (error) {
    // The SDK refuses it without a connection or an attachment, or gives it up with them. For a new object it asks the
    // time by a request of its own.
    const { code } = /** @type {any} */ (error);
    if (!mayBeTriedAgain(error) && ![90001, 80003, 80000, 'ECONNRESET', 'ECONNREFUSED'].includes(code)) throw error;
    ledger.hits.perhaps += by;
    ledger.again++;
  }
}

/** Comes to the channel again and again, and wants what was said before. */
class Rewinder {
  /** One for each time that it came. @type {View[]} */
  views = [];
  #channel;

  /** @param {import('ably').Realtime} client @param {string} name */
  constructor(client, name) {
    this.#channel = client.channels.get(name, { params: { rewind: '50' }, ...QUIET });
    void this.#channel.subscribe((message) => this.views.at(-1)?.take(message));
  }

  /** @param {() => number} random */
  async comeAgain(random) {
    if (random() < 0.9 && this.views.length > 0) return;
    await certainly(() => {}, () => this.#channel.detach());
    this.views.push(new View(`who came for the ${this.views.length + 1}th time, with a rewind`, { isInOrder: false, isRewound: true }));
    await attached(this.#channel);
  }
}

/** @param {import('ably').RealtimeChannel} channel @returns {Promise<void>} */
async function attached(channel) {
  try {
    await channel.attach();
  } catch (error) {
    // It is told that the channel is detached, when its connection is lost in between, and may attach again.
    assert.ok(mayBeTriedAgain(error) || /** @type {any} */ (error).code === 90001, String(error));
    await attached(channel);
  }
}

/**
 * A client comes, enters, and closes without leaving.
 * @param {Weather} weather
 * @param {string} name
 * @param {Ledger} ledger
 * @param {() => number} random
 */
async function visit(weather, name, ledger, random) {
  const member = `visitor${ledger.members.size}`;
  const scope = new Scope();
  const client = await connected(scope, weather.runtime, { clientId: member, useBinaryProtocol: random() < 0.5 });
  const { kills } = weather;
  const channel = client.channels.get(name);
  // To enter would attach by the way, and nobody would hear how that ends.
  await attached(channel);
  await certainly(() => ledger.again++, () => channel.presence.enter('here'));
  ledger.members.set(member, null);
  let lost = client.connection.state !== 'connected';
  client.connection.on('disconnected', () => { lost = true; });
  await closed(client);
  // Without a connection it could say nothing, and is there until its connection can be resumed no more.
  if (lost || weather.kills !== kills) ledger.unsureMembers.add(member);
  await scope.end();
  await delay(random() * 2_000);
}

/** One who does all that can be done with messages, a thing at a time. */
class Writer {
  #inside = false;

  /**
   * @param {import('ably').RealtimeChannel} channel
   * @param {string} id
   * @param {Ledger} ledger
   * @param {() => number} random
   */
  constructor(channel, id, ledger, random) {
    this.channel = channel;
    this.id = id;
    this.ledger = ledger;
    this.random = random;
  }

  async act() {
    const kind = this.random();
    if (kind < 0.5) await this.#publish();
    else if (kind < 0.6) await this.#change('update', this.ledger.recent(this.random));
    else if (kind < 0.75) await this.#change('append', this.ledger.recent(this.random));
    else if (kind < 0.8) await this.#change('delete', this.ledger.recent(this.random, true));
    else if (kind < 0.95) await this.#annotate(this.ledger.recent(this.random, false));
    else await this.#enterOrLeave();
    this.ledger.done++;
  }

  async #publish() {
    // Long enough for deltas to be worth while.
    const [name, data] = [this.random() < 0.3 ? 'b' : 'a', this.ledger.say(` by ${this.id}${', and much that stays as it is'.repeat(5)}`)];
    this.ledger.unsure.add(data);
    const result = await this.#perhaps(() => this.channel.publish(name, data));
    if (!result) return;
    this.ledger.unsure.delete(data);
    this.ledger.wrote(String(result.serials[0]), name, data);
  }

  /**
   * @param {import('./chaos_ledger.mjs').Operation['kind']} kind
   * @param {import('./chaos_ledger.mjs').Written | undefined} written
   */
  async #change(kind, written) {
    if (!written) return;
    /** @type {import('./chaos_ledger.mjs').Operation} */
    const operation = { kind, data: kind === 'delete' ? '' : this.ledger.say() };
    written.operations.push(operation);
    const message = { serial: written.serial, data: operation.data };
    const { channel } = this;
    const result = await this.#perhaps(() => kind === 'update' ? channel.updateMessage(message)
      : kind === 'append' ? channel.appendMessage(message) : channel.deleteMessage(message));
    if (result) operation.version = String(result.versionSerial);
  }

  /** @param {import('./chaos_ledger.mjs').Written | undefined} written */
  async #annotate(written) {
    if (!written) return;
    const pick = (/** @type {string[]} */ list) => list[Math.floor(this.random() * list.length)];
    const one = { type: pick(TYPES), name: pick(NAMES), clientId: this.id, id: `${this.ledger.say()}:0` };
    const annotation = one.type === 'r:multiple.v1' ? { ...one, count: 1 + Math.floor(this.random() * 3) } : one;
    await certainly(() => this.ledger.again++, () => this.channel.annotations.publish(written.serial, annotation));
    written.counts.take(annotation);
  }

  /** Says it again and again until it is acknowledged: who enters or leaves twice has done it once. */
  async #enterOrLeave() {
    const { presence } = this.channel;
    const data = this.#inside && this.random() < 0.5 ? null : this.ledger.say();
    const echo = new Echo(this.channel, this.id, data);
    await certainly(() => this.ledger.again++, () => data === null ? presence.leaveClient(this.id) : presence.enterClient(this.id, data));
    this.#inside = data !== null;
    this.ledger.members.set(this.id, data);
    await echo.come;
    if (echo.isUnsure) this.ledger.unsureMembers.add(this.id);
    else this.ledger.unsureMembers.delete(this.id);
  }

  /**
   * Does something once. Whether it was done is unknown when there is no result.
   * @template T
   * @param {() => Promise<T>} act
   */
  async #perhaps(act) {
    try {
      return await act();
    } catch (error) {
      if (!mayBeTriedAgain(error)) throw error;
      this.ledger.again++;
    }
  }
}

/**
 * What a member last said, as it comes back to its own client. A client that attaches before that enters its members
 * again by itself, as it knows them: then the last word may be an earlier one.
 */
class Echo {
  isUnsure = false;
  /** @type {Promise<void>} */
  come;

  /**
   * @param {import('ably').RealtimeChannel} channel
   * @param {string} member
   * @param {string | null} data null when it leaves
   */
  constructor(channel, member, data) {
    this.come = new Promise((resolve) => {
      const end = () => {
        channel.presence.unsubscribe(listen);
        channel.off(attached);
        resolve();
      };
      const listen = (/** @type {import('ably').PresenceMessage} */ event) => {
        // A leave without an id is what the SDK concludes when it attaches anew: it enters the member again all the
        // same.
        const isLeft = event.action === 'leave' && event.id;
        if (event.clientId === member && (data === null ? isLeft : event.data === data)) end();
      };
      const attached = () => {
        this.isUnsure = true;
        end();
      };
      void channel.presence.subscribe(listen);
      channel.on(['attached', 'update'], attached);
    });
  }
}

/** @param {Figures} figures */
export function report({ kills, ended: { resets, evictions }, done, again, gaps, seconds }) {
  return `${kills} kills, ${resets} resets and ${evictions} evictions of objects in ${seconds.toFixed(0)} s: ${done} things done,`
    + ` ${again} refused or tried again, ${gaps} gaps told, and everybody saw what they should`;
}

if (process.argv[1] === import.meta.filename) {
  const [seconds = 3_600, seed = Math.floor(Math.random() * 2 ** 32)] = process.argv.slice(2).map(Number);
  console.log(`chaos: ${seconds} s, seed ${seed}`);
  try {
    console.log(report(await chaos({ seconds, seed, say: console.log })));
  } catch (error) {
    console.error(`seed ${seed}:`, error);
    process.exit(1);
  }
  process.exit();
}
