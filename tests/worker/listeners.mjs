/** Every way to listen without an SDK. What holds for one holds for all: listeners.test.mjs. */
import { demoKey } from './clients.mjs';
import { EventReader } from './event_reader.mjs';
import { RawClient, action } from './raw_client.mjs';

/** @typedef {Record<string, any> & { data: string, serial: string }} Message */
/**
 * @typedef {{ from?: string, rewind?: string, key?: string, accessToken?: string }} Wanted where to begin, and who asks
 */
/**
 * @typedef {{ next: () => Promise<Message>, leave: () => void }} Listener whose `next` fails with the code of an error
 */
/**
 * @typedef {{ kind: string, rewinds: boolean, listen: (runtime: { url: string }, channel: string, wanted?: Wanted) =>
 *   Promise<Listener> }} Row
 */

/** What an error of any kind comes to. @param {{ code: number, message: string }} error */
const failure = (error) => Object.assign(new Error(error.message), { code: error.code });

/** The parameters that are there. @param {Record<string, string | undefined>} all @returns {Record<string, string>} */
const present = (all) => Object.fromEntries(Object.entries(all).flatMap(([name, value]) => value === undefined ? [] : [[name, value]]));

/** @param {Wanted} [wanted] */
const credentials = ({ key, accessToken } = {}) => accessToken ? { accessToken } : { key: key ?? demoKey };

/** @param {string} path @returns {Row['listen']} */
const stream = (path) => async (runtime, channels, wanted) => {
  const query = present({ channels, ...credentials(wanted), lastEvent: wanted?.from, rewind: wanted?.rewind });
  const reader = await EventReader.open(runtime, query, { path });
  if (reader.status !== 200) throw failure(await reader.refusal());
  await Promise.race([reader.attached(), reader.end()]);
  const next = async () => {
    const { event, data } = await reader.next();
    if (event === 'message') return data;
    throw failure(data.error ?? data);
  };
  return { next, leave: () => reader.leave() };
};

/** @type {Row[]} */
export const listeners = [
  {
    kind: 'a plain WebSocket',
    rewinds: true,
    async listen(runtime, channel, wanted) {
      const query = { channel, attach: 'auto', ...credentials(wanted), channelSerial: wanted?.from, rewind: wanted?.rewind };
      const client = new RawClient(runtime, present(query));
      /** @type {Message[]} */
      const messages = [];
      const frame = async () => {
        const { error, ...frame } = await client.next();
        if (error) throw failure(error);
        messages.push(...(frame.messages ?? []));
        return frame;
      };
      while ((await frame()).action !== action.ATTACHED);
      const next = async () => {
        while (messages.length === 0) await frame();
        return /** @type {Message} */ (messages.shift());
      };
      return { next, leave: () => client.close() };
    },
  },
  { kind: 'a stream of events', rewinds: true, listen: stream('/sse') },
  { kind: 'a stream of lines', rewinds: true, listen: stream('/event-stream') },
  {
    kind: 'requests that wait',
    rewinds: false,
    async listen(runtime, channel, wanted) {
      let query = new URLSearchParams(present({ wait: '30', from_serial: wanted?.from }));
      const cancelled = new AbortController();
      /** @type {Message[]} */
      const messages = [];
      const ask = async () => {
        for (const [name, value] of Object.entries(credentials(wanted))) query.set(name, value);
        const response = await fetch(`${runtime.url}/channels/${encodeURIComponent(channel)}/messages?${query}`, { signal: cancelled.signal });
        const body = await response.json();
        if (body.error) throw failure(body.error);
        messages.push(...body);
        query = new URLSearchParams(response.headers.get('link')?.match(/<\.\/messages\?([^>]*)>; rel="next"/)?.[1]);
      };
      query.set('wait', '0');
      await ask();
      query.set('wait', '30');
      const next = async () => {
        while (messages.length === 0) await ask();
        return /** @type {Message} */ (messages.shift());
      };
      return { next, leave: () => cancelled.abort() };
    },
  },
];
