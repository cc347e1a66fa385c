/**
 * What is measured: parts, each a list of cases for a list of contestants, repeated in turns.
 *
 * @typedef {import('./figures.mjs').Case} Case
 *
 * @typedef {object} Part
 * @property {string} title
 * @property {Case[]} cases
 * @property {string[]} [contestants] of all those asked for; all of them where it is left out
 * @property {number} seconds measured in each run
 * @property {number} repeats
 */

const everySize = { subscribers: [1, 100, 1_000, 5_000], bytes: [100, 2_000], inFlight: [1, 20, 200] };

const others = ['plain-object', 'socket.io', 'ws', 'nchan', 'nats'];
/** The ways to run Courtside are compared among themselves in the first part. */
const ours = ['courtside-serve:json', 'courtside:json', 'courtside:msgpack', 'courtside-channel:json'];
const everyone = [...ours, 'storing-object', 'relaying-objects:json', ...others];
const oneOfEach = ['courtside-serve:json', 'courtside:json', 'relaying-objects:json', ...others];

/** Five thousand subscribers get one message a second, whatever became of the one before. */
export const paced = { subscribers: 5_000, bytes: 100, inFlight: 20, rate: 1 };

/**
 * The comparison with all peers: along each dimension from one point in the middle, so that it ends while one waits for
 * it.
 * @param {'quick' | 'usual' | 'full'} extent
 * @returns {Part[]}
 */
export function sideBySide(extent) {
  const quick = extent === 'quick';
  const [seconds, repeats] = quick ? [1, 1] : [1.5, 3];
  const fewer = quick ? 1 : 2;
  const crowd = { title: 'A crowd at one message a second', cases: [paced], contestants: oneOfEach, seconds: quick ? 3 : 5, repeats: fewer };
  if (extent === 'full') return [{ title: 'Every size', cases: combinations(everySize), seconds: 2, repeats }, crowd];
  return [
    { title: 'In flight', cases: combinations({ subscribers: [100], bytes: [100], inFlight: [1, 20, 200] }),
      contestants: everyone, seconds, repeats },
    { title: 'Larger messages', cases: combinations({ subscribers: [100], bytes: [2_000], inFlight: [20] }),
      contestants: ['courtside-serve:json', 'courtside:msgpack', ...others], seconds, repeats: fewer },
    { title: 'Subscribers', cases: [...combinations({ subscribers: [1], bytes: [100], inFlight: [1] }),
      ...combinations({ subscribers: quick ? [1_000] : [1_000, 5_000], bytes: [100], inFlight: [20] })],
      // A message takes long to reach thousands.
      contestants: oneOfEach, seconds: seconds * 2, repeats: fewer },
    crowd,
  ];
}

/**
 * @param {{ subscribers: number[], bytes: number[], inFlight: number[], rate?: number }} sizes
 * @returns {Case[]}
 */
export function combinations({ subscribers, bytes, inFlight, rate = 0 }) {
  return subscribers.flatMap((subscribers) => bytes.flatMap((bytes) => (
    inFlight.map((inFlight) => ({ subscribers, bytes, inFlight, rate })))));
}
