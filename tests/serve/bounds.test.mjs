/** What the edge's platform bounds for everyone, a server of one's own bounds itself. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import test from 'node:test';
import { Served } from './served.mjs';

test('a client whose request does not go on is cut off, and takes nothing from others', { timeout: 60_000 }, async (t) => {
  const served = await Served.start(t);
  const slow = Array.from({ length: 200 }, (_, index) => {
    const socket = net.connect({ port: served.port, host: '127.0.0.1' });
    // Half of a request's headers, or nothing at all.
    socket.write(index % 2 ? 'GET /time HTTP/1.1\r\nHost: x\r\n' : '');
    socket.on('error', () => {}).resume();
    return once(socket, 'close');
  });
  assert.equal((await fetch(`http://127.0.0.1:${served.port}/time`)).status, 200);
  await Promise.all(slow);
  assert.equal((await fetch(`http://127.0.0.1:${served.port}/time`)).status, 200);
});
