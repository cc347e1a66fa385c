/**
 * The rules of the event page that need no page: points of a quiz, slow mode, what one gave, and the line of the
 * audience.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Given } from '../../www/event/given.js';
import { HOLDS_MS, growth, lately } from '../../www/event/growth.js';
import { paced } from '../../www/event/pace.js';
import { leaders, pointsOf } from '../../www/event/quiz.js';

const quiz = { right: 1, askedAt: 1_000, revealedAt: 60_000 };
/** @param {string} clientId @param {string | undefined} name @param {number} timestamp @param {string} [action] */
const vote = (clientId, name, timestamp, action = 'annotation.create') => ({ clientId, name, timestamp, action });

test('the right option gives points, and more to the quick', () => {
  const points = pointsOf([vote('ann', '1', 1_000), vote('bob', '1', 6_000), vote('cy', '1', 59_000),
    vote('di', '0', 1_100)], quiz);
  assert.deepEqual(points, { ann: 200, bob: 150, cy: 100 });
});

test('the last vote before the reveal counts, and only that', () => {
  const votes = [
    vote('ann', '1', 2_000), vote('ann', '0', 3_000), vote('bob', '0', 2_000), vote('bob', '1', 60_001),
    vote('cy', '1', 2_000), vote('cy', undefined, 3_000, 'annotation.delete'), vote('', '1', 2_000),
  ];
  assert.deepEqual(pointsOf(votes, quiz), {});
});

test('leaders are those of all quizzes together, and a tie is broken alike everywhere', () => {
  assert.deepEqual(leaders([{ ann: 100, bob: 200 }, { ann: 150, cy: 250 }], 2), [['ann', 250], ['cy', 250]]);
  assert.deepEqual(leaders([JSON.parse('{"__proto__":100}')], 2), [['__proto__', 100]]);
});

/** @param {string} clientId @param {number} at @param {Record<string, unknown>} [data] */
const message = (clientId, at, data = {}) => ({ clientId, at, data, name: 'seconds' in data ? 'slow' : 'message' });

test('slow mode holds from its switch on, for attendees alone', () => {
  const entries = [
    message('ann~1', 0), message('ann~1', 1_000), message('Host', 2_000, { seconds: 10, before: 0 }),
      message('ann~1', 3_000),
    message('Host', 3_100), message('Host', 3_200), message('bob~2', 3_300), message('ann~1', 10_800),
    message('mallory~3', 11_000, { seconds: 0, before: 0 }), message('bob~2', 11_100),
      message('Host', 12_000, { seconds: 0, before: 10 }), message('bob~2', 12_001),
  ];
  assert.deepEqual(paced(entries, 0).map(({ at }) => at),
    [0, 1_000, 2_000, 3_100, 3_200, 3_300, 10_800, 11_000, 12_000, 12_001]);
});

test('who has only the end of a chat knows the interval before its first switch, or that of now', () => {
  const two = [message('ann~1', 0), message('ann~1', 1_000)];
  assert.equal(paced(two, 10).length, 1);
  assert.equal(paced(two, 0).length, 2);
  assert.equal(paced([...two, message('Host', 2_000, { seconds: 0, before: 10 })], 0).length, 2);
});

const box = { width: 100, height: 92, most: 8 };

test('a count holds until the next one, and the line goes on to now', () => {
  const samples = [{ at: 0, people: 0 }, { at: 50_000, people: 8 }];
  assert.deepEqual(growth(samples, 100_000, box), {
    line: 'M0.0 88.0 H50.0 V8.0 H100.0', area: 'M0.0 88.0 H50.0 V8.0 H100.0 V92 H0.0 Z',
  });
  assert.deepEqual(growth([], 100_000, box), { line: '', area: '' });
});

test('where nobody counted the line has a gap', () => {
  const samples = [{ at: 0, people: 8 }, { at: 3 * HOLDS_MS, people: 4 }];
  assert.equal(growth(samples, 4 * HOLDS_MS, box).line, 'M0.0 8.0 H25.0 M75.0 48.0 H100.0');
  assert.equal(growth(samples, 8 * HOLDS_MS, box).line, 'M0.0 8.0 H12.5 M37.5 48.0 H50.0', 'nor is it known now');
});

test('lately is five minutes, or less when nobody counted before', () => {
  const samples = [{ at: 0, people: 2 }, { at: 100_000, people: 5 }, { at: 350_000, people: 9 }];
  assert.deepEqual([lately(samples, 350_000), lately(samples, 450_000), lately([], 0)], [7, 4, 0]);
});

const like = { serial: '1', type: 'reaction:distinct.v1', name: 'like' };

/** What a browser keeps, for all of its tabs. @param {string} [all] */
const storage = (all) => ({ all, read() { return this.all; }, keep(/** @type {string} */ text) { this.all = text; } });

test('a summary that does not name everybody is told what this client gave', () => {
  const kept = storage();
  const [given, otherTab] = [new Given(kept), new Given(kept)];
  given.put('1', like.type, ['like']);
  otherTab.put('2', like.type, ['heart']);
  const later = new Given(kept);
  const clipped = { clientIds: ['ann'], clipped: true };
  assert.equal(later.isIn(clipped, 'bob', like), true);
  assert.equal(later.isIn(clipped, 'bob', { ...like, name: 'heart' }), false);
  assert.equal(later.isIn(clipped, 'bob', { ...like, serial: '2', name: 'heart' }), true);
  assert.equal(later.isIn({ clientIds: ['ann'], clipped: false }, 'bob', like), false, 'all are named, and bob is not');
  assert.equal(later.isIn(clipped, 'ann', { ...like, serial: '3' }), true);
  later.put('1', like.type, []);
  assert.equal(later.isIn(clipped, 'bob', like), false);
});

test('what is refused was not given', async () => {
  const given = new Given(storage());
  /** @type {string[][]} */
  const seen = [];
  await given.change('1', 'x', ['a'], async () => { seen.push(given.of('1', 'x')); });
  const refused = given.change('1', 'x', ['a', 'b'], async () => { throw new Error('muted'); });
  await assert.rejects(refused, /muted/u);
  assert.deepEqual([seen, given.of('1', 'x')], [[['a']], ['a']]);
});

test('what is remembered is bounded, and what others wrote there is not read', () => {
  for (const wrong of ['{', '{}', '7', '[7]', '[[1,2]]', '[["1 x",7]]']) {
    assert.deepEqual(new Given(storage(wrong)).of('1', 'x'), [], wrong);
  }
  const given = new Given(storage());
  for (let serial = 0; serial <= 500; serial++) given.put(String(serial), 'x', ['']);
  assert.deepEqual([given.of('0', 'x'), given.of('1', 'x'), given.of('500', 'x')], [[], [''], ['']]);
});
