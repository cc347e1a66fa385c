/**
 * How calm the chat stays when it is flooded: `npx node benches/chat_frames.mjs [messages a second] [seconds]`. A real
 * Chromium shows the venue while a publisher sends, 500 a second for ten seconds by default. Told are frames a second,
 * their median, p99 and longest time, how many rows were in the page at most, and how late the last message was. Exits
 * with 1 when a message is missing at the end, or when the page stood still for a second.
 */
import { launch } from '../tests/worker/browser.mjs';
import { demoKey } from '../tests/worker/clients.mjs';
import { demoApps, startRuntime } from '../tests/worker/runtime.mjs';
import { Venue, says } from '../tests/worker/venue.mjs';
import Ably from 'ably';

const [rate = 500, seconds = 10] = process.argv.slice(2).map(Number);
/** Publishes a second: a crowd's messages come by many, and a commit gathers them. */
const BEATS = 10;
const STILL_MS = 1_000;

// One key is the whole crowd here, and not bounded as one client is.
const [demo] = demoApps.apps;
const namespaces = [{ id: 'event', mutableMessages: true }];
const runtime = await startRuntime({ apps: [{ ...demo, namespaces }] });
const browser = await launch();
try {
  const page = await new Venue(browser, runtime.url).attendee('Reader');
  const api = new Ably.Rest({ key: demoKey, ...runtime.clientOptions });
  const chat = api.channels.get('event:chat');
  await chat.publish('message', { text: 'before the flood' });
  await says(page, 'chat', 'before the flood');
  const last = `number ${rate * seconds - 1} of the flood`;
  const watched = page.evaluate(watch, last);
  const beganAt = performance.now();
  for (let beat = 0; beat < seconds * BEATS; beat++) {
    const batch = Array.from({ length: rate / BEATS }, (_, index) => ({ name: 'message',
      clientId: `Fan ${index % 40}~${index % 40}`, data: { text: `number ${beat * (rate / BEATS) + index} of the flood` } }));
    await chat.publish(batch);
    const aheadMs = beganAt + (beat + 1) * (1_000 / BEATS) - performance.now();
    if (aheadMs > 0) await new Promise((resolve) => setTimeout(resolve, aheadMs));
  }
  const sentMs = performance.now() - beganAt;
  const { times, rows, tookMs } = await watched;
  times.sort((one, other) => one - other);
  const at = (/** @type {number} */ part) => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0);
  console.log(JSON.stringify({
    messagesPerSecond: Math.round(rate * seconds / (sentMs / 1_000)), framesPerSecond: Math.round(times.length / (tookMs / 1_000)),
    frameMs: { median: at(0.5), p99: at(0.99), longest: at(1) }, rowsInThePage: rows, lastWasLateMs: Math.round(tookMs - sentMs),
  }, null, 2));
  if (at(1) >= STILL_MS) process.exitCode = 1;
} finally {
  await browser.close();
  await runtime.stop();
}

/**
 * Runs in the page until it shows that text.
 * @param {string} last @returns {Promise<{ times: number[], rows: number, tookMs: number }>}
 */
function watch(last) {
  return new Promise((resolve, reject) => {
    const chat = /** @type {HTMLElement} */ (document.querySelector('[data-part="chat"]'));
    const beganAt = performance.now();
    /** @type {number[]} */
    const times = [];
    let [before, rows] = [beganAt, 0];
    const next = (/** @type {number} */ now) => {
      times.push(now - before);
      before = now;
      rows = Math.max(rows, chat.querySelectorAll('.message').length);
      if (chat.textContent?.includes(last)) return resolve({ times, rows, tookMs: now - beganAt });
      if (now - beganAt > 120_000) return reject(new Error('the last message never came'));
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  });
}
