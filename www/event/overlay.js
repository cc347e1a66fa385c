/** An overlay for a video stream: the score over a plain event stream, without the SDK, on a transparent ground. */
import { h, person } from './dom.js';
import { fetchToken } from './session.js';
import { text } from './strings.js';
import { call, isScore, love, players, pointNames } from './tennis.js';

/** @typedef {import('./tennis.js').Score} Score */

/** How long the last score may take to come, once the stream is open: then play has not begun. */
const QUIET_MS = 2_000;
/** How long to wait for another token, when one was refused or has expired. */
const AGAIN_MS = 5_000;

const ground = /** @type {HTMLElement} */ (document.getElementById('overlay'));
void follow();

/** The stream goes on by itself after a cut; only a token that expired needs another. */
async function follow() {
  try {
    const { token } = await fetchToken(text.guest);
    const query = new URLSearchParams({ channels: 'event:score', rewind: '1', accessToken: token });
    const events = new EventSource(`/sse?${query}`);
    events.onmessage = ({ data }) => take(JSON.parse(data));
    // Who places it before the match sees how it looks.
    events.onopen = () => setTimeout(() => { if (!ground.firstChild) show(love, text.score.none); }, QUIET_MS);
    events.addEventListener('error', () => {
      if (events.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS);
    });
  } catch {
    setTimeout(follow, AGAIN_MS);
  }
}

/** @param {{ data?: any, encoding?: string }} message */
function take({ data, encoding }) {
  const score = (encoding === 'json' ? JSON.parse(data) : data)?.score;
  if (isScore(score)) show(score, call(score));
}

/** @param {Score} score @param {string} said */
function show(score, said) {
  const points = pointNames(score);
  const rows = players.map((player, side) => h('tr', {}, h('th', { scope: 'row' }, person(player)),
    ...score.sets.map((/** @type {number[]} */ set) => h('td', {}, String(set[side]))),
      h('td', { class: 'points' }, points[side] ?? '')));
  ground.replaceChildren(h('table', {}, h('tbody', {}, ...rows)), h('p', {}, said));
}
