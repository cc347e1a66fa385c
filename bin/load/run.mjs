/** A run: viewers come, messages are published at a pace, and everyone gets all of them, or it is told who did not. */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import {
  ARRIVE_MS, CONNECTING_AT_ONCE, PACE_MS, RATE_PER_PUBLISHER, SETTLE_AWAY_MS, SETTLE_MS,
} from '../client/limits.mjs';
import { Histogram } from './histogram.mjs';
import { reader } from './payload.mjs';
import { Publisher } from './publisher.mjs';
import { Viewer } from './viewer.mjs';

/**
 * @typedef {object} Plan
 * @property {import('../client/place.mjs').Place} place
 * @property {string} channel
 * @property {number} viewers
 * @property {number} rate messages a second
 * @property {number} seconds
 * @property {number} connects a second
 * @property {number} bytes of a message
 * @property {boolean} direct
 *
 * @typedef {ReturnType<Run['result']>} Result
 */

export class Run {
  delivered = new Histogram();
  /** The same by the second in which it was sent. @type {Histogram[]} */
  bySecond = [];
  /** @type {Viewer[]} */
  viewers = [];
  /** @type {Publisher[]} */
  publishers = [];
  ready = 0;
  /** Why it is over before its time. @type {Error | undefined} */
  #failure;
  #isStopped = false;
  #heldBack = 0;
  #connectingMs = 0;
  #publishingMs = 0;
  #beganAt = 0;
  /** What this process did itself, in microseconds. */
  #work = { user: 0, system: 0 };
  #plan;
  #id = randomBytes(6).toString('hex');

  /** @param {Plan} plan @param {(part: number, what: () => string) => void} tell how far each of its parts is */
  constructor(plan, tell) {
    this.#plan = plan;
    this.tell = tell;
  }

  /** Publishes no more. */
  stop() {
    this.#isStopped = true;
  }

  /** Fails when they cannot all connect. */
  async all() {
    try {
      await this.#arrive();
      await this.#publish();
      await this.#settle();
    } finally {
      for (const one of [...this.viewers, ...this.publishers]) one.close();
      this.#work = process.cpuUsage(this.#work);
    }
  }

  async #arrive() {
    const { place, channel, viewers, connects, direct, rate, bytes } = this.#plan;
    const began = performance.now();
    const count = Math.max(1, Math.ceil(rate / RATE_PER_PUBLISHER));
    const read = reader(this.#id);
    const watched = { place, channel, direct, publishers: count, read, delivered: this.#delivered };
    const ready = () => { this.ready += 1; };
    const deadline = began + viewers / connects * 1_000 + ARRIVE_MS;
    for (let index = 0; index < count; index++) {
      this.#add(this.publishers, new Publisher({ place, channel, run: this.#id, index, bytes }, ready));
    }
    const all = viewers + count;
    while (this.ready < all && !this.#isStopped) {
      if (this.#failure) throw this.#failure;
      if (performance.now() > deadline) throw new Error(`only ${this.ready} of ${all} connections are in`);
      const due = Math.min(viewers, Math.floor((performance.now() - began) / 1_000 * connects) + 1);
      const room = this.ready + CONNECTING_AT_ONCE;
      while (this.viewers.length < Math.min(due, room)) this.#add(this.viewers, new Viewer(watched, ready));
      this.tell(this.ready / all, () => `${Math.max(0, this.ready - count)} of ${viewers} viewers are in`);
      await pause(PACE_MS);
    }
    this.#connectingMs = performance.now() - began;
  }

  /** @template {Viewer | Publisher} T @param {T[]} list @param {T} one */
  #add(list, one) {
    list.push(one);
    one.run().catch((error) => { this.#failure ??= error; });
  }

  async #publish() {
    const { rate, seconds } = this.#plan;
    this.#work = process.cpuUsage();
    this.#beganAt = performance.now();
    const all = Math.max(1, Math.round(rate * seconds));
    let sent = 0;
    while (sent < all && !this.#isStopped && !this.#failure) {
      const passed = (performance.now() - this.#beganAt) / 1_000;
      for (const due = Math.min(all, Math.ceil(passed * rate)); sent < due; sent++) {
        if (!this.publishers[sent % this.publishers.length]?.publish()) this.#heldBack += 1;
      }
      this.tell(sent / all, () => `${Math.floor(passed)} of ${seconds} s: ${sent} sent, ${this.delivered.count} delivered, p99 ${
        this.delivered.quantile(0.99).toFixed(1)} ms`);
      await pause(PACE_MS);
    }
    this.#publishingMs = performance.now() - this.#beganAt;
  }

  /** Until everything has come, or nothing comes any more. */
  async #settle() {
    let [before, since] = [-1, performance.now()];
    while (!this.#isComplete() && performance.now() - since < this.#patienceMs() && !this.#failure) {
      const progress = this.delivered.count + this.#acknowledged();
      if (progress !== before) [before, since] = [progress, performance.now()];
      this.tell(this.delivered.count / this.#expected(), () => `waiting for the last: ${this.delivered.count} delivered`);
      await pause(PACE_MS);
    }
    if (this.#failure) throw this.#failure;
  }

  #patienceMs() {
    return [...this.viewers, ...this.publishers].every(({ isUp }) => isUp) ? SETTLE_MS : SETTLE_AWAY_MS;
  }

  #isComplete() {
    return this.publishers.every((publisher) => publisher.isDone)
      && this.delivered.count >= this.#expected();
  }

  #expected() {
    return this.#acknowledged() * this.viewers.length;
  }

  #acknowledged() {
    return this.publishers.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
  }

  #delivered = (/** @type {import('./payload.mjs').Item} */ { sentAt }) => {
    const ms = performance.now() - sentAt;
    this.delivered.add(ms);
    const second = Math.max(0, Math.floor((sentAt - this.#beganAt) / 1_000));
    (this.bySecond[second] ??= new Histogram()).add(ms);
  };

  /** What a viewer has not got of what was acknowledged. @param {Viewer} viewer */
  #lostBy(viewer) {
    return this.publishers.reduce((sum, { next, refused, acknowledged }, index) => {
      const got = (viewer.next[index] ?? 0) - (viewer.missing[index]?.size ?? 0);
      return sum + Math.max(0, Math.min(acknowledged, next - refused.size) - got);
    }, 0);
  }

  result() {
    const sum = (/** @type {(viewer: Viewer) => number} */ of) => this.viewers.reduce((all, one) => all + of(one), 0);
    const { delivered, publishers } = this;
    const ms = (/** @type {number} */ part) => Number(delivered.quantile(part).toFixed(2));
    const seconds = this.#publishingMs / 1_000;
    return {
      viewers: this.viewers.length,
      connectSeconds: Number((this.#connectingMs / 1_000).toFixed(2)),
      seconds: Number(seconds.toFixed(2)),
      published: publishers.reduce((all, { next }) => all + next, 0),
      acknowledged: this.#acknowledged(),
      refused: publishers.reduce((all, { refused }) => all + refused.size, 0),
      whyRefused: publishers.find(({ why }) => why)?.why,
      heldBack: this.#heldBack,
      delivered: delivered.count,
      deliveriesPerSecond: Math.round(delivered.count / Math.max(seconds, 0.001)),
      latencyMs: { p50: ms(0.5), p90: ms(0.9), p99: ms(0.99), p999: ms(0.999), most: ms(1) },
      lost: sum((viewer) => this.#lostBy(viewer)),
      repeated: sum(({ repeats }) => repeats),
      outOfOrder: sum(({ disorders }) => disorders),
      gaps: sum(({ gaps }) => gaps),
      reconnected: sum(({ returns }) => returns) + publishers.reduce((all, { returns }) => all + returns, 0),
      /** For each delivery: what many viewers wait for is in part that this process reads them one after the other. */
      ownMicroseconds: Number(((this.#work.user + this.#work.system) / Math.max(1, delivered.count)).toFixed(1)),
    };
  }
}
