/** What only hosts may read of the event: right answers of quizzes, and the points of each. */

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
    await this.#channel.publish('points', { poll, points });
  }

  /** @param {string} poll @returns {Promise<number | undefined>} */
  async answerOf(poll) {
    const all = await this.#all();
    return all.find(({ name, data }) => name === 'answer' && data?.poll === poll)?.data.right;
  }

  /** Of each quiz once, though two hosts revealed it. */
  async points() {
    const all = (await this.#all()).filter(({ name }) => name === 'points');
    return [...new Map(all.map(({ data }) => [data.poll, data.points])).values()];
  }

  async #all() {
    const { items } = await this.#channel.history({ limit: 1_000 });
    return items;
  }
}
