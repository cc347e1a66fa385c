/**
 * Preloaded into the process of each test file: says which test has been under way for long. Of a file in which one
 * hangs node names the file alone, when the time of that is over.
 */
import { afterEach, beforeEach } from 'node:test';

const LONG_MS = Number(process.env.TEST_LONG_MS ?? 120_000);

/** By full names. @type {Map<string, NodeJS.Timeout>} */
const timers = new Map();

// A process that a test forks has the same options, and runs no tests.
if (!process.send) {
  beforeEach((context) => {
    const { fullName } = /** @type {import('node:test').TestContext} */ (context);
    const say = () => console.log(`under way for ${LONG_MS / 1_000} s: ${fullName}`);
    timers.set(fullName, setTimeout(say, LONG_MS).unref());
  });
  afterEach((context) => {
    const { fullName } = /** @type {import('node:test').TestContext} */ (context);
    clearTimeout(timers.get(fullName));
    timers.delete(fullName);
  });
}
