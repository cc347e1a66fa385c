/** The worker in its runtime, before any protocol: it starts, serves the page, and comes back after a power cut. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { startRuntime } from './runtime.mjs';

test('a browser gets the page, and its files, at the address of the endpoint', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());

  const page = await fetch(runtime.url);
  assert.equal(page.status, 200);
  assert.match(page.headers.get('content-type') ?? '', /text\/html/);
  const sdk = await fetch(`${runtime.url}/vendor/ably.min.js`);
  assert.match(sdk.headers.get('content-type') ?? '', /javascript/);
});

test('a runtime that was killed starts again where it was', async (t) => {
  const runtime = await startRuntime();
  t.after(() => runtime.stop());
  const { url } = runtime;

  await runtime.kill();
  await assert.rejects(fetch(url));
  await runtime.start();
  assert.equal(runtime.url, url);
  assert.equal((await fetch(url)).status, 200);
});
