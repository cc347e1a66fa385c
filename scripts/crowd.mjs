/**
 * A crowd on demand, for local runs: attendees who join the event, say something, vote, and leave. The stage asks for
 * one on the channel `event:crowd`, where this server shows by its presence that it can make one. There is one crowd at
 * a time, of a bounded size and life.
 */
import Ably from 'ably';

/** How many come at most, how many of them at once, and how long the last of them stay. */
const SIZE_MAX = 200;
const WAVE = 10;
const WAVE_MS = 400;
const STAY_MS = 20_000;
/** Messages that are looked through for an open poll and for questions. */
const RECENT = 20;

const names = ['Ada', 'Bo', 'Cleo', 'Dev', 'Eli', 'Fay', 'Gus', 'Hana', 'Ivo', 'Jun', 'Kai', 'Lea', 'Mio', 'Noa',
  'Ola', 'Pia', 'Quin', 'Rui', 'Sol', 'Tea'];
const sayings = [
  'What a rally!', 'Hello from the back row', 'Did you see that serve?', 'Come on!', 'That was in, surely',
    'Best match this year',
  'Deuce again…', 'My hands are shaking', 'Who else is watching on a train?', 'Great point', 'So close to the line',
    'New balls, please',
];

/** @typedef {{ url: string, clientOptions: object, key: string }} Place where the event is, and a host's key */

/**
 * Stands by until it is told to stop.
 * @param {Place} place @param {{ most?: number, stayMs?: number }} [bounds]
 */
export async function standBy(place, { most = SIZE_MAX, stayMs = STAY_MS } = {}) {
  const ably = new Ably.Realtime({ ...place.clientOptions, key: place.key, clientId: 'crowd-maker', logLevel: 0 });
  const channel = ably.channels.get('event:crowd');
  let here = 0;
  let stopped = false;
  /** @type {Promise<unknown> | undefined} */
  let crowd;
  const tell = () => channel.presence.update({ here }).catch(() => {});
  const count = (/** @type {number} */ by) => {
    here += by;
    if (here % WAVE === 0) void tell();
  };
  const come = async (/** @type {number} */ size) => {
    const members = Array.from({ length: size }, async (_, index) => {
      await pause(Math.floor(index / WAVE) * WAVE_MS);
      if (stopped) return;
      count(1);
      await attend(place, index, stayMs, () => stopped).catch(() => {});
      count(-1);
    });
    await Promise.all(members);
    crowd = undefined;
    await tell();
  };
  await channel.subscribe('come', ({ data }) => {
    const size = Math.min(Number(data?.size) || 0, most);
    if (size > 0) crowd ??= come(size);
  });
  await channel.presence.enter({ here });
  return {
    async stop() {
      stopped = true;
      await crowd;
      ably.close();
    },
  };
}

/**
 * One of them, from joining to leaving.
 * @param {Place} place @param {number} index @param {number} stayMs @param {() => boolean} isOver
 */
async function attend(place, index, stayMs, isOver) {
  const ably = new Ably.Realtime({ ...place.clientOptions, authCallback: tokens(place.url, index), logLevel: 0,
    echoMessages: false });
  try {
    await ably.channels.get('event:audience').attach();
    await pause(Math.random() * stayMs / 2, isOver);
    if (!isOver()) await vote(ably);
    if (!isOver() && index % 2 === 0) await ably.channels.get('event:chat').publish('message',
      { text: anyOf(sayings) });
    await pause(Math.random() * stayMs / 2, isOver);
  } finally {
    ably.close();
  }
}

/** In the poll that is open, and for a question. @param {Ably.Realtime} ably */
async function vote(ably) {
  const [polls, questions] = [ably.channels.get('event:polls'), ably.channels.get('event:questions')];
  const poll = (await polls.history({ limit: RECENT })).items.find(({ name, data }) => name === 'poll'
    && !data?.closed);
  if (poll?.serial) {
    const name = String(Math.floor(Math.random() * poll.data.options.length));
    await polls.annotations.publish(poll.serial, { type: 'vote:unique.v1', name });
  }
  const { items } = await questions.history({ limit: RECENT });
  const question = anyOf(items.filter(({ action }) => action !== 'message.delete'));
  if (question?.serial) await questions.annotations.publish(question.serial, { type: 'upvote:flag.v1' });
}

/** @param {string} url @param {number} index @returns {Ably.ClientOptions['authCallback']} */
function tokens(url, index) {
  const body = JSON.stringify({ name: `${names[index % names.length]} ${index}`, seat: crypto.randomUUID() });
  return (_, done) => {
    const asked = fetch(`${url}/event/token`, { method: 'POST', body }).then((response) => response.json());
    asked.then((details) => done(null, details), (error) => done(error.message, null));
  };
}

/** @template T @param {T[]} all @returns {T | undefined} */
const anyOf = (all) => all[Math.floor(Math.random() * all.length)];

/** Ends sooner when all is over. @param {number} ms @param {() => boolean} [isOver] */
async function pause(ms, isOver = () => false) {
  for (let left = ms; left > 0 && !isOver(); left -= 250) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(left, 250)));
  }
}
