/** Heartbeats that a client answers (`heartbeats=bounce`): they show that its code runs, and that it reads. */
import assert from 'node:assert/strict';
import test, { after, describe } from 'node:test';
import { demoKey, formats } from './clients.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

describe('heartbeats that are answered', { concurrency: true }, () => {
  for (const { format, useBinaryProtocol } of formats) {
    test(`who answers them stays, and who doesn't is told to come back (${format})`, async (t) => {
      const query = {
        key: demoKey, v: '5', heartbeats: 'bounce', heartbeatInterval: '5000', format: useBinaryProtocol ? 'msgpack' : 'json',
      };
      const client = new RawClient(runtime, query);
      t.after(() => client.close());
      const { connectionId, connectionDetails } = await client.expect(action.CONNECTED);
      for (let round = 0; round < 2; round += 1) {
        const { id } = await client.expect(action.PING);
        assert.equal(typeof id, 'string');
        client.send({ action: action.PONG, id });
      }
      // Any other word is as good.
      await client.expect(action.PING);
      client.send({ action: action.HEARTBEAT, id: 'there' });
      await client.expect(action.HEARTBEAT);
      await client.expect(action.PING);
      assert.equal((await client.expect(action.DISCONNECTED)).error.code, 80003);
      assert.equal(await client.closed(), 1000);

      const again = new RawClient(runtime, { ...query, resume: connectionDetails.connectionKey });
      t.after(() => again.close());
      assert.equal((await again.expect(action.CONNECTED)).connectionId, connectionId);
    });
  }
});
