/** An event stream that goes on by itself where it was cut off (docs/protocol.md § 14), without a gap or a repeat. */
import { setTimeout as pause } from 'node:timers/promises';
import { LINE_OF_STREAM_MAX, RETRY_MAX_MS, RETRY_MIN_MS, STREAM_QUIET_MS } from './limits.mjs';
import { NotOurs, Refused, Unreachable, errorOf } from './request.mjs';

/** @typedef {{ event: string, data: any }} Event what came: `message`, `presence`, `gap` or another */

/**
 * Its events, for ever. Fails with {@link Refused} when the server refuses it for good. `said` is told of what happens
 * to the connection.
 * @param {import('./place.mjs').Place} place
 * @param {Record<string, string | undefined>} query
 * @param {(text: string) => void} said
 * @returns {AsyncGenerator<Event>}
 */
export async function* events(place, query, said) {
  /** @type {string | undefined} */
  let lastEvent;
  let wait = RETRY_MIN_MS;
  for (;;) {
    try {
      for await (const line of lines(place, { ...query, lastEvent, rewind: lastEvent ? undefined : query.rewind })) {
        if (wait > RETRY_MIN_MS) said('connected again');
        wait = RETRY_MIN_MS;
        const { id, event, data } = line;
        if (event === 'error') throw new Refused(data.statusCode, data);
        if (event) yield { event, data };
        lastEvent = id ?? lastEvent;
      }
      throw new Error('the stream ended');
    } catch (error) {
      if (error instanceof NotOurs || (error instanceof Refused && !isPassing(error))) throw error;
      if (error instanceof Unreachable && !place.wasThere) throw error;
      said(`${/** @type {Error} */ (error).message}; trying again`);
    }
    await pause(wait * (0.5 + Math.random() / 2));
    wait = Math.min(wait * 2, RETRY_MAX_MS);
  }
}

/** What passes by itself, or says that its reader is to come back. @param {Refused} refused */
const isPassing = (refused) => refused.passes || [80003, 80018].includes(refused.code);

/**
 * The objects of one stream, until it ends or nothing comes.
 * @param {import('./place.mjs').Place} place
 * @param {Record<string, string | undefined>} query
 */
async function* lines(place, query) {
  const url = place.at('/event-stream', query);
  const quiet = new AbortController();
  const timer = setTimeout(() => quiet.abort(new Error('nothing came for too long')), STREAM_QUIET_MS);
  try {
    const response = await reached(url, place, quiet.signal);
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      timer.refresh();
      const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = parts.pop() ?? '';
      if (rest.length > LINE_OF_STREAM_MAX) throw new NotOurs(url);
      for (const part of parts) if (part !== '') yield JSON.parse(part);
    }
  } finally {
    clearTimeout(timer);
    quiet.abort();
  }
}

/** @param {URL} url @param {import('./place.mjs').Place} place @param {AbortSignal} signal */
async function reached(url, place, signal) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, { headers: place.headers, signal, redirect: 'error' });
    place.wasThere = true;
  } catch (error) {
    throw new Unreachable(url, error, place.wasThere);
  }
  if (response.ok && !response.headers.get('content-type')?.startsWith('application/x-ndjson')) throw new NotOurs(url);
  if (response.ok) return response;
  throw new Refused(response.status, errorOf(await response.text()));
}
