/** The rules of tennis, best of three sets: a score and a point make the next score. Knows no page and no network. */

/** @typedef {0 | 1} Side */
/** @typedef {[number, number]} Pair one number for each side */
/**
 * @typedef {object} Score
 * @property {Pair[]} sets games in each set begun, the last being played
 * @property {Pair} points won in the current game, or tie-break
 * @property {Side} serving
 * @property {Side | null} winner
 */

export const players = ['Lund', 'Okafor'];

/** @type {Score} */
export const love = { sets: [[0, 0]], points: [0, 0], serving: 0, winner: null };

/** @param {Score} score @param {Side} side @returns {Score} */
export function point(score, side) {
  if (score.winner !== null) return score;
  const points = plusOne(score.points, side);
  const tieBreak = isTieBreak(score);
  const played = points[0] + points[1];
  if (won(points, tieBreak ? 7 : 4)) {
    // Whoever served first in a tie-break receives first in the next set.
    const changed = tieBreak && Math.floor(played / 2) % 2 === 1;
    return game({ ...score, points: [0, 0], serving: changed ? other(score.serving) : score.serving }, side, tieBreak);
  }
  // In a tie-break the serve changes after the first point, then after every second one.
  const changes = tieBreak && played % 2 === 1;
  return { ...score, points, serving: changes ? other(score.serving) : score.serving };
}

/** What the umpire calls. @param {Score} score */
export function call(score) {
  if (score.winner !== null) return `Game, set and match, ${players[score.winner]}`;
  const [a, b] = pointNames(score);
  if (score.points[0] + score.points[1] === 0) return gameCall(score);
  if (isTieBreak(score)) return `Tie-break, ${a}–${b}`;
  if (a === 'Ad' || b === 'Ad') return `Advantage ${players[a === 'Ad' ? 0 : 1]}`;
  if (a === b) return a === '40' ? 'Deuce' : `${a} all`;
  return `${a}–${b}`;
}

/**
 * How the points of the current game are shown: 0, 15, 30, 40, Ad; plain numbers in a tie-break.
 * @param {Score} score
 */
export function pointNames(score) {
  if (isTieBreak(score)) return score.points.map(String);
  const [a, b] = score.points;
  if (a >= 3 && b >= 3) return [a > b ? 'Ad' : '40', b > a ? 'Ad' : '40'];
  return score.points.map((points) => ['0', '15', '30', '40'][points]);
}

/** Whether a value that came over the network is a score. @param {any} value @returns {value is Score} */
export function isScore(value) {
  const isPair = (/** @type {any} */ pair) =>
    Array.isArray(pair) && pair.length === 2 && pair.every((count) => Number.isInteger(count) && count >= 0);
  return Boolean(value) && Array.isArray(value.sets) && value.sets.length >= 1 && value.sets.length <= 3
    && value.sets.every(isPair) && isPair(value.points) && [0, 1].includes(value.serving)
    && [0, 1, null].includes(value.winner) && pointNames(value).every(Boolean);
}

/** @param {Score} score @param {Side} side @param {boolean} tieBreak @returns {Score} */
function game(score, side, tieBreak) {
  const games = plusOne(currentSet(score), side);
  const sets = [...score.sets.slice(0, -1), games];
  const serving = other(score.serving);
  if (!tieBreak && !won(games, 6)) return { ...score, sets, serving };
  const setsWon = sets.filter((set) => set[side] > set[other(side)]).length;
  return setsWon === 2
    ? { ...score, sets, serving, winner: side }
    : { ...score, sets: [...sets, [0, 0]], serving };
}

/** @param {Score} score */
function gameCall(score) {
  const [a, b] = currentSet(score);
  if (a + b > 0) return `Games ${a}–${b}`;
  return score.sets.length > 1 ? `Set ${score.sets.length} begins` : 'New match';
}

function isTieBreak(/** @type {Score} */ score) {
  const [a, b] = currentSet(score);
  return a === 6 && b === 6;
}

const currentSet = (/** @type {Score} */ score) => score.sets[score.sets.length - 1];
const other = (/** @type {Side} */ side) => /** @type {Side} */ (1 - side);

/** First to `target`, two ahead. @param {Pair} pair @param {number} target */
const won = (pair, target) => Math.max(...pair) >= target && Math.abs(pair[0] - pair[1]) >= 2;

/** @param {Pair} pair @param {Side} side @returns {Pair} */
const plusOne = (pair, side) => (side === 0 ? [pair[0] + 1, pair[1]] : [pair[0], pair[1] + 1]);
