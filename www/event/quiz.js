/** Points of a quiz, from the votes that were cast. Pure, so that everyone who counts gets the same. */

/** For the right option, and at most as much again for being quick: one less each 100 ms. */
const RIGHT = 100;
const QUICK_MS = 100;

/** @typedef {{ clientId?: string, name?: string, action?: string, timestamp: number }} Vote */

/**
 * The last vote of each, as it stood when the answer was revealed.
 * @param {Vote[]} votes in the order in which they were cast
 * @param {{ right: number, askedAt: number, revealedAt: number }} quiz
 * @returns {Record<string, number>} points by clientId, of those who were right
 */
export function pointsOf(votes, { right, askedAt, revealedAt }) {
  /** @type {Map<string, Vote>} */
  const last = new Map();
  for (const vote of votes) {
    if (!vote.clientId || vote.timestamp > revealedAt) continue;
    if (vote.action === 'annotation.delete') last.delete(vote.clientId);
    else last.set(vote.clientId, vote);
  }
  const winners = [...last].filter(([, { name }]) => name === String(right));
  return Object.fromEntries(winners.map(([clientId, { timestamp }]) => {
    const quick = RIGHT - Math.floor(Math.max(0, timestamp - askedAt) / QUICK_MS);
    return [clientId, RIGHT + Math.max(0, quick)];
  }));
}

/**
 * The best over all quizzes.
 * @param {Record<string, number>[]} quizzes @param {number} most
 * @returns {[clientId: string, points: number][]}
 */
export function leaders(quizzes, most) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const quiz of quizzes) {
    for (const [clientId, points] of Object.entries(quiz)) sums.set(clientId, (sums.get(clientId) ?? 0) + points);
  }
  return [...sums].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, most);
}
