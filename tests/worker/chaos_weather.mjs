/** What objects and the runtime suffer in a round of chaos.mjs. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { delay } from './trials.mjs';

/** @typedef {import('./runtime.mjs').Runtime} Runtime */
/**
 * How long a round's traffic lasts, and what comes between two kills: at least, and how much more at most.
 * @typedef {{ roundMs: number, calmMs: number, calmMoreMs: number }} Pace
 */

/** Between two objects that end, on average. */
const END_MS = 500;
/** Of these, how many lose nothing but their memory, in an idle moment. */
const IDLE_SHARE = 0.1;
/** How long traffic stands still for that, at most: an object that has yet to report what it counted is not idle. */
const IDLE_WAIT_MS = 6_000;

/** What objects and the runtime suffer. */
export class Weather {
  kills = 0;
  /** Objects that ended with their sockets and requests, and that lost their memory only. */
  ended = { resets: 0, evictions: 0 };
  /** The runtime can be reached. @type {Promise<unknown>} */
  up = Promise.resolve();
  /** Nothing more is to happen in this round. */
  isOver = false;
  /** There may be traffic. @type {Promise<unknown>} */
  flow = Promise.resolve();
  #nextKill;

  /** @param {Runtime} runtime @param {() => number} random @param {Pace} pace */
  constructor(runtime, random, pace) {
    this.runtime = runtime;
    this.random = random;
    this.pace = pace;
    this.#nextKill = this.#later();
  }

  #later() {
    return performance.now() + this.pace.calmMs + this.random() * this.pace.calmMoreMs;
  }

  /** For a round. @param {string} channel @param {{ drop: () => void }[]} readers who hold requests open */
  async rage(channel, readers) {
    const end = performance.now() + this.pace.roundMs;
    this.isOver = false;
    while (performance.now() < end && !this.isOver) {
      await delay(this.random() * 2 * END_MS);
      for (const reader of readers) if (this.random() < 0.1) reader.drop();
      if (this.random() < IDLE_SHARE) await this.#evict(channel, readers);
      else await this.#reset(channel);
      if (performance.now() > this.#nextKill) await this.kill();
    }
  }

  async kill() {
    this.#nextKill = this.#later();
    this.kills++;
    const back = this.runtime.kill().then(() => this.runtime.start());
    this.up = back.catch(() => {});
    await back;
  }

  /** An object ends at once. @param {string} channel */
  async #reset(channel) {
    const kinds = [['Relay', 'demo/0'], ['Channel', `demo/${channel}`], ['Channel', `demo/${channel}-aside`], ['App', 'demo']];
    const [of, name] = kinds[Math.floor(this.random() * kinds.length)];
    const answer = await fetch(`${this.runtime.url}/chaos?${new URLSearchParams({ of, name })}`);
    assert.equal(answer.status, 200, await answer.text());
    this.ended.resets++;
  }

  /**
   * Objects lose their memory in an idle moment, and their sockets stay.
   * @param {string} channel
   * @param {{ drop: () => void }[]} readers
   */
  async #evict(channel, readers) {
    const evicting = Promise.all([this.#evictOne('Relay', 'demo/0'), this.#evictOne('Channel', `demo/${channel}`)]);
    this.flow = Promise.race([evicting, delay(IDLE_WAIT_MS)]);
    for (const reader of readers) reader.drop();
    await this.flow;
  }

  /** @param {'Relay' | 'Channel'} className @param {string} name */
  async #evictOne(className, name) {
    try {
      this.ended.evictions += await this.runtime.evict(className, name);
    } catch (error) {
      // It had no idle moment, or did not live to see it.
      if (!/still has active references|the runtime ended/.test(String(error))) throw error;
    }
  }
}
