/** The page's rules of tennis, told as matches. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { call, isScore, love, point } from '../../www/event/tennis.js';

/** @param {string} points such as 'abba': who won each */
const play = (points, from = love) => [...points].reduce((score, side) => point(score, side === 'a' ? 0 : 1), from);
const game = { a: 'aaaa', b: 'bbbb' };

test('a game goes over deuce and advantage', () => {
  assert.equal(call(play('a')), '15–0');
  assert.equal(call(play('ab')), '15 all');
  assert.equal(call(play('aaabbb')), 'Deuce');
  assert.equal(call(play('aaabbbb')), 'Advantage Okafor');
  assert.equal(call(play('aaabbbba')), 'Deuce');
  assert.equal(call(play('aaabbbbabb')), 'Games 0–1');
});

test('a set at six all is decided by a tie-break', () => {
  const sixAll = play((game.a + game.b).repeat(6));
  assert.deepEqual(sixAll.sets, [[6, 6]]);
  assert.equal(call(play('aab', sixAll)), 'Tie-break, 2–1');
  const set = play('aaaaaaa', sixAll);
  assert.deepEqual(set.sets, [[7, 6], [0, 0]]);
  for (const points of ['aaaaaaa', 'aaabaaaa', 'bbbbbbb', 'abababababaa']) {
    assert.equal(play(points, sixAll).serving, 1, 'who received first in the tie-break serves first in the next set');
  }
});

test('a match ends with two sets, and stays as it ended', () => {
  const match = play(game.a.repeat(12));
  assert.equal(call(match), 'Game, set and match, Lund');
  assert.deepEqual(play('bbbb', match), match);
});

test('what came over the network is shown as a score only if it is one', () => {
  assert.ok(isScore(play('aaabbbb')));
  for (const bad of [null, 'Game Point!', {}, { ...love, points: [9, 0] }, { ...love, sets: [] }, { ...love, winner: 2 }]) {
    assert.ok(!isScore(bad), JSON.stringify(bad));
  }
});
