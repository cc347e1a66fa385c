/** Drop off, come back, miss nothing, repeat nothing: through the published SDK, over a network that fails. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import vcdiff from '@ably/vcdiff-decoder';
import { Inbox, connected, demoKey, formats, inState, realtime, rest, wholeHistory } from './clients.mjs';
import { Network } from './network.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

/** Where a connection lives: in the relay of its app, or in the object of the channel that it names. */
const homes = [
  { home: 'a relay', transportParams: (/** @type {string} */ _) => undefined },
  { home: 'the channel\'s object', transportParams: (/** @type {string} */ channel) => ({ channel }) },
];
const RESUMED = 4;
const HAS_BACKLOG = 2;

for (const { format, useBinaryProtocol } of formats) {
  for (const { home, transportParams } of homes) {
    for (const loss of /** @type {const} */ (['cut', 'vanish'])) {
      const name = `missed-${format}-${home}-${loss}`;
      test(`what was missed comes in order, once (${format}, held by ${home}, ${loss})`, async (t) => {
        const network = await Network.to(t, runtime);
        const client = await connected(t, network, { useBinaryProtocol, transportParams: transportParams(name) });
        const sender = (await connected(t, runtime)).channels.get(name);
        const channel = client.channels.get(name);
        const inbox = await Inbox.of(channel);
        await sender.publish('a', 'before');
        await inbox.until('before');
        const { id, key } = client.connection;

        const dropped = client.connection.once('disconnected');
        network[loss]();
        await dropped;
        const missed = Array.from({ length: 30 }, (_, index) => `missed ${index}`);
        for (const data of missed) await sender.publish('a', data);
        const attached = channel.once('attached');
        network.mend();
        const change = /** @type {any} */ (await attached);
        assert.deepEqual([change.resumed, change.hasBacklog], [true, true]);
        await sender.publish('a', 'after');
        await inbox.until('after');
        assert.deepEqual(inbox.data, ['before', ...missed, 'after']);
        assert.equal(client.connection.id, id);
        assert.notEqual(client.connection.key, key);
        assert.equal(client.connection.errorReason, null);
      });
    }
  }
}

test('who missed nothing resumes without a backlog', async (t) => {
  const network = await Network.to(t, runtime);
  const client = await connected(t, network);
  const channel = client.channels.get('nothing-missed');
  await channel.attach();
  await channel.publish('a', 'b');
  await drop(client, network);
  const attached = channel.once('attached');
  network.mend();
  const change = /** @type {any} */ (await attached);
  assert.deepEqual([change.resumed, change.hasBacklog], [true, false]);
});

for (const { home, transportParams } of homes) {
  for (const way of /** @type {const} */ (['up', 'down'])) {
    test(`a publish whose ${way === 'up' ? 'frame' : 'acknowledgement'} was lost is published once (held by ${home})`, async (t) => {
      const name = `unacknowledged-${way}-${home}`;
      const network = await Network.to(t, runtime);
      const client = await connected(t, network, { transportParams: transportParams(name) });
      const inbox = await Inbox.of((await connected(t, runtime)).channels.get(name));
      const channel = client.channels.get(name);
      await channel.publish('a', 'first');
      network.lose(way);
      const sent = Array.from({ length: 10 }, (_, index) => `m${index}`);
      const publishes = sent.map((data) => channel.publish('a', data));
      // With the acknowledgements lost, they are all in before the client knows of any.
      if (way === 'down') await inbox.until(1 + sent.length);
      await drop(client, network);
      const queued = channel.publish('a', 'queued while down');
      network.mend();
      const results = await Promise.all(publishes);
      await queued;
      await inbox.until('queued while down');
      assert.deepEqual(inbox.data, ['first', ...sent, 'queued while down']);
      const history = await wholeHistory(rest(runtime).channels.get(name));
      assert.deepEqual(history.map((message) => message.data), inbox.data);
      assert.deepEqual(results.flatMap((result) => result.serials), history.slice(1, -1).map((message) => message.serial));
    });
  }
}

/** What an app changes of a channel's options, back and forth. */
const changes = {
  modes: [{ modes: ['subscribe'] }, { modes: ['subscribe', 'publish'] }],
  rewind: [{ params: { rewind: '5' } }, { params: {} }],
  deltas: [{ params: { delta: 'vcdiff' } }, { params: {} }],
};

for (const [what, options] of Object.entries(changes)) {
  test(`each message comes once to a client that changes its ${what} while others publish`, async (t) => {
    const name = `changes-${what}`;
    const channel = (await connected(t, runtime, { plugins: { vcdiff } })).channels.get(name);
    const inbox = await Inbox.of(channel);
    const sender = (await connected(t, runtime)).channels.get(name);
    let [sent, goesOn] = [0, true];
    const publishing = Array.from({ length: 8 }, async () => {
      while (goesOn) await sender.publish('a', `${'as a message before it, '.repeat(10)}${sent++}`);
    });
    for (let round = 0; round < 40; round++) await channel.setOptions(/** @type {any} */ (options[round % 2]));
    goesOn = false;
    await Promise.all(publishing);
    await sender.publish('a', 'end');
    await inbox.until('end');
    const history = await wholeHistory(rest(runtime).channels.get(name));
    assert.equal(history.length, sent + 1);
    assert.deepEqual(inbox.data, history.map((message) => message.data));
  });
}

test('through many drops, while others publish, nothing is lost or repeated', async (t) => {
  const network = await Network.to(t, runtime);
  const clients = await Promise.all([
    connected(t, network), connected(t, network, { useBinaryProtocol: false, transportParams: { channel: 'drops' } }),
  ]);
  const inboxes = await Promise.all(clients.map((client) => Inbox.of(client.channels.get('drops'))));
  const sender = (await connected(t, runtime)).channels.get('drops');
  const own = clients[0].channels.get('drops');
  const publishes = [];
  for (let round = 0; round < 6; round++) {
    for (let index = 0; index < 20; index++) publishes.push(sender.publish('a', `${round}.${index}`), own.publish('a', `own ${round}.${index}`));
    await publishes[publishes.length - 30];
    const back = clients.map((client) => client.connection.once('connected'));
    network[round % 2 ? 'cut' : 'vanish']();
    network.mend();
    await Promise.all(back);
  }
  await Promise.all(publishes);
  await sender.publish('a', 'end');
  await Promise.all(inboxes.map((inbox) => inbox.until('end')));
  const history = await wholeHistory(rest(runtime).channels.get('drops'));
  const order = history.map((message) => message.data);
  assert.equal(order.length, publishes.length + 1);
  assert.equal(new Set(order).size, order.length);
  for (const inbox of inboxes) assert.deepEqual(inbox.data, order);
});

test('a client that wants no echo is not replayed its own messages', async (t) => {
  const network = await Network.to(t, runtime);
  const client = await connected(t, network, { echoMessages: false });
  const channel = client.channels.get('echo');
  const inbox = await Inbox.of(channel);
  const others = await Inbox.of((await connected(t, runtime)).channels.get('echo'));
  network.lose('down');
  const published = channel.publish('a', 'own');
  await others.until('own');
  await rest(runtime).channels.get('echo').publish('a', 'theirs');
  await drop(client, network);
  network.mend();
  await published;
  await inbox.until('theirs');
  await rest(runtime).channels.get('echo').publish('a', 'end');
  await inbox.until('end');
  assert.deepEqual(inbox.data, ['theirs', 'end']);
});

test('a key that never was gives a new connection that says so, and channels go on all the same', async (t) => {
  const network = await Network.to(t, runtime);
  const client = await connected(t, network);
  const channel = client.channels.get('bad-key');
  const inbox = await Inbox.of(channel);
  const { id } = client.connection;
  await drop(client, network);
  await rest(runtime).channels.get('bad-key').publish('a', 'missed');
  /** @type {any} */ (client.connection).connectionManager.connectionKey = '_____!ablyjs_test_fake-key____';
  const [back, attached] = [client.connection.once('connected'), channel.once('attached')];
  network.mend();
  const { reason } = await back;
  assert.deepEqual([reason?.code, reason?.statusCode], [80018, 400]);
  assert.notEqual(client.connection.id, id);
  assert.equal(/** @type {any} */ (await attached).resumed, true);
  await channel.publish('a', 'after');
  await inbox.until('after');
  assert.deepEqual(inbox.data, ['missed', 'after']);
});

test('another process recovers the connection and its channels where they were', async (t) => {
  const network = await Network.to(t, runtime);
  const first = await connected(t, network);
  const names = ['recover-a', 'recover-b'];
  const inboxes = await Promise.all(names.map((name) => Inbox.of(first.channels.get(name))));
  for (const name of names) await first.channels.get(name).publish('a', 'before');
  await Promise.all(inboxes.map((inbox) => inbox.until('before')));
  const recover = /** @type {string} */ (first.connection.createRecoveryKey());
  const { id, key } = first.connection;
  network.vanish();
  for (const name of names) await rest(runtime).channels.get(name).publish('a', 'missed');

  const second = await connected(t, runtime, { recover });
  assert.equal(second.connection.id, id);
  assert.notEqual(second.connection.key, key);
  for (const name of names) {
    const channel = second.channels.get(name);
    const inbox = await Inbox.of(channel);
    await channel.publish('a', 'after');
    await inbox.until('after');
    assert.deepEqual(inbox.data, ['missed', 'after']);
  }
});

test('a recovery key that is no good gives a new connection with the reason', async (t) => {
  const recover = JSON.stringify({ connectionKey: '_____!ablyjs_test_fake-key____', msgSerial: 3, channelSerials: {} });
  const client = realtime(t, runtime, { recover });
  const { reason } = /** @type {any} */ (await inStateChange(client));
  assert.equal(reason?.code, 80018);
  await client.channels.get('recover-bad').publish('a', 'b');
});

test('a resume after the relay lost its memory is one all the same', async (t) => {
  const network = await Network.to(t, runtime);
  const client = await connected(t, network);
  const channel = client.channels.get('forgotten');
  const inbox = await Inbox.of(channel);
  const { id } = client.connection;
  await drop(client, network);
  await rest(runtime).channels.get('forgotten').publish('a', 'missed');
  await runtime.evict('Relay', 'demo/0');
  await runtime.evict('Channel', 'demo/forgotten');
  network.mend();
  await inbox.until('missed');
  assert.equal(client.connection.id, id);
  await channel.publish('a', 'after');
  await inbox.until('after');
  assert.deepEqual(inbox.data, ['missed', 'after']);
});

test('keys are good once their successor has not been used, and wrong credentials come first', async (t) => {
  const open = (/** @type {Record<string, string>} */ query) => {
    const client = new RawClient(runtime, { key: demoKey, ...query });
    t.after(() => client.close());
    return client;
  };
  const connect = async (/** @type {Record<string, string>} */ query) => {
    const client = open(query);
    const { connectionId, connectionDetails, error } = await client.expect(action.CONNECTED);
    return { client, id: connectionId, key: connectionDetails.connectionKey, code: error?.code };
  };
  const first = await connect({});
  const second = await connect({ resume: first.key });
  assert.deepEqual([second.id, second.code], [first.id, undefined]);
  assert.equal((await first.client.expect(action.DISCONNECTED)).error.code, 80016);
  // Its CONNECTED may have been lost: the client has sent nothing since, and comes with the old key again.
  const third = await connect({ resume: first.key });
  assert.deepEqual([third.id, third.code], [first.id, undefined]);
  // So nobody has the second key. Who comes with it all the same is another, and the two would never stop.
  for (let again = 0; again < 2; again++) assert.equal((await connect({ resume: second.key })).code, 80018);
  third.client.send({ action: action.HEARTBEAT, id: 'heard' });
  await third.client.expect(action.HEARTBEAT);
  const late = await connect({ resume: first.key });
  assert.equal(late.code, 80018);
  assert.notEqual(late.id, first.id);

  const thief = open({ resume: third.key, key: 'demo.key1:wrong-one' });
  assert.equal((await thief.expect(action.ERROR)).error.code, 40101);
  const other = await connect({ resume: third.key, clientId: 'eve' });
  assert.equal(other.code, 80018);
  assert.notEqual(other.id, first.id);
  third.client.send({ action: action.HEARTBEAT, id: 'still here' });
  assert.equal((await third.client.expect(action.HEARTBEAT)).id, 'still here');

  third.client.send({ action: action.CLOSE });
  await third.client.expect(action.CLOSED);
  for (let again = 0; again < 2; again++) {
    const reopened = await connect({ resume: third.key });
    assert.equal(reopened.code, 80017);
    assert.notEqual(reopened.id, first.id);
  }
});

test('an attach from a serial replays what follows, before anything live', async (t) => {
  const client = new RawClient(runtime, { key: demoKey });
  t.after(() => client.close());
  await client.expect(action.CONNECTED);
  const channel = 'serials';
  const publish = async (/** @type {string} */ data) =>
    (await rest(runtime).channels.get(channel).publish('a', data)).serials[0]?.replace(/:\d+$/, '');
  const [one] = [await publish('one'), await publish('two'), await publish('three')];
  const attach = async (/** @type {object} */ frame) => {
    client.send({ action: action.ATTACH, channel, ...frame });
    return client.expect(action.ATTACHED);
  };
  const heard = async (/** @type {number} */ count) => {
    const data = [];
    while (data.length < count) {
      const { messages } = await client.expect(action.MESSAGE);
      data.push(...messages.map((/** @type {any} */ message) => message.data));
    }
    return data;
  };
  const resumed = await attach({ channelSerial: one });
  assert.equal(resumed.flags & (RESUMED | HAS_BACKLOG), RESUMED | HAS_BACKLOG);
  assert.deepEqual(await heard(2), ['two', 'three']);
  const four = await publish('four');
  assert.deepEqual(await heard(1), ['four']);
  const present = await attach({ channelSerial: four });
  assert.equal(present.flags & (RESUMED | HAS_BACKLOG), RESUMED);
  assert.equal(present.channelSerial, four);

  const stranger = await attach({ channelSerial: `${one?.split('@')[0]}@anotherLife0` });
  assert.deepEqual([stranger.flags & RESUMED, stranger.error.code], [0, 90003]);
  const future = await attach({ channelSerial: `99999999999999-000@${one?.split('@')[1]}` });
  assert.deepEqual([future.flags & RESUMED, future.error.code], [0, 90003]);
  await publish('five');
  assert.deepEqual(await heard(1), ['five']);
});

test('a long absence is replayed in order; one too long is announced as a gap', async (t) => {
  const network = await Network.to(t, runtime);
  const client = await connected(t, network);
  const sender = (await connected(t, runtime)).channels.get('long');
  const channel = client.channels.get('long');
  const inbox = await Inbox.of(channel);
  const large = 'x'.repeat(60_000);
  const absence = async (/** @type {number} */ from, /** @type {number} */ to) => {
    await drop(client, network);
    const names = Array.from({ length: to - from }, (_, index) => String(from + index));
    await Promise.all(names.map((name) => sender.publish(name, large)));
    const attached = channel.once('attached');
    network.mend();
    return /** @type {any} */ (await attached);
  };
  assert.equal((await absence(0, 40)).resumed, true);
  await sender.publish('live', 'after 2 MB');
  await inbox.until('after 2 MB');
  assert.deepEqual(inbox.messages.map((message) => message.name), [...Array.from({ length: 40 }, (_, index) => `${index}`), 'live']);

  const gap = await absence(40, 190);
  assert.deepEqual([gap.resumed, gap.reason?.code], [false, 90004]);
  await sender.publish('live', 'after 9 MB');
  await inbox.until('after 9 MB');
  assert.equal(inbox.messages.length, 42, 'nothing of what is announced as lost');
  const names = (await wholeHistory(rest(runtime).channels.get('long'))).map((message) => message.name);
  assert.deepEqual(names.filter((name) => name !== 'live'), Array.from({ length: 190 }, (_, index) => `${index}`));
});

test('who says that it drops its transport may resume', async (t) => {
  const client = new RawClient(runtime, { key: demoKey });
  const { connectionId, connectionDetails } = await client.expect(action.CONNECTED);
  client.send({ action: action.DISCONNECT });
  assert.equal(await client.closed(), 1000);
  const again = new RawClient(runtime, { key: demoKey, resume: connectionDetails.connectionKey });
  t.after(() => again.close());
  assert.equal((await again.expect(action.CONNECTED)).connectionId, connectionId);
});

test('a runtime that was killed is found again by its clients, as if nothing had been', async (t) => {
  const client = await connected(t, runtime);
  const name = 'persisted:killed';
  const inbox = await Inbox.of(client.channels.get(name));
  await client.channels.get(name).publish('a', 'before');
  await inbox.until('before');
  const { id } = client.connection;
  await runtime.kill();
  const queued = client.channels.get(name).publish('a', 'while down');
  await runtime.start();
  await queued;
  await rest(runtime).channels.get(name).publish('a', 'after');
  await inbox.until('after');
  assert.deepEqual(inbox.data, ['before', 'while down', 'after']);
  assert.equal(client.connection.id, id);
});

/** The network fails, and the client has seen it. @param {import('ably').Realtime} client @param {Network} network */
async function drop(client, network) {
  const dropped = client.connection.once('disconnected');
  network.cut();
  await dropped;
}

/** @param {import('ably').Realtime} client */
const inStateChange = (client) => client.connection.once('connected');
