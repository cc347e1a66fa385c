/** What only hosts may read of the event: right answers of quizzes, and the points of each. */

/** Winners in one message: of names of 160 bytes so many have 8 KB, as much as the channel takes at once. */
const WINNERS = 40;

export class Backstage {
  #channel;

  /** @param {import('ably').Realtime} ably */
  constructor(ably) {
    this.#channel = ably.channels.get('event:backstage');
  }

  /** @param {string} poll @param {number} right */
  async keepAnswer(poll, right) {
    await this.#channel.publish('answer', { poll, right });
  }

  /** @param {string} poll @param {Record<string, number>} points */
  async keepPoints(poll, points) {
    const all = Object.entries(points);
    for (let first = 0; first < all.length; first += WINNERS) {
      await this.#channel.publish('points', { poll, points: Object.fromEntries(all.slice(first, first + WINNERS)) });
    }
  }

  /** @param {string} poll @returns {Promise<number | undefined>} */
  async answerOf(poll) {
    const all = await this.#all();
    return all.find(({ name, data }) => name === 'answer' && data?.poll === poll)?.data.right;
  }

  /** Of each quiz once, though two hosts revealed it. */
  async points() {
    /** @type {Map<string, Record<string, number>>} */
    const all = new Map();
    for (const { name, data } of await this.#all()) {
      if (name === 'points') all.set(data.poll, { ...all.get(data.poll), ...data.points });
    }
    return [...all.values()];
  }

  async #all() {
    const { items } = await this.#channel.history({ limit: 1_000 });
    return items;
  }
}
