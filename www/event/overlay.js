/** An overlay for a video stream: the score over a plain event stream, without the SDK, on a transparent ground. */
import { h, person } from './dom.js';
import { fetchToken } from './session.js';
import { text } from './strings.js';
import { call, isScore, players, pointNames } from './tennis.js';

/** @typedef {import('./tennis.js').Score} Score */

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
    events.onmessage = ({ data }) => show(JSON.parse(data));
    events.addEventListener('error', () => {
      if (events.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS);
    });
  } catch {
    setTimeout(follow, AGAIN_MS);
  }
}

/** @param {{ data?: any, encoding?: string }} message */
function show({ data, encoding }) {
  const score = (encoding === 'json' ? JSON.parse(data) : data)?.score;
  if (!isScore(score)) return;
  const points = pointNames(score);
  const rows = players.map((player, side) => h('tr', {}, h('th', { scope: 'row' }, person(player)),
    ...score.sets.map((/** @type {number[]} */ set) => h('td', {}, String(set[side]))),
      h('td', { class: 'points' }, points[side] ?? '')));
  ground.replaceChildren(h('table', {}, h('tbody', {}, ...rows)), h('p', {}, call(score)));
}
