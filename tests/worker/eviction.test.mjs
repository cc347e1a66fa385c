/**
 * Objects lose their memory: each is rebuilt from its storage and its sockets with the next event, and nobody notices.
 * Here the clients' sockets live through it; with sockets lost it is a drop, see continuity.test.mjs.
 */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected, demoKey, formats, inState, rest, wholeHistory } from './clients.mjs';
import { unlessKilled } from './kills.mjs';
import { Network } from './network.mjs';
import { RawClient, action } from './raw_client.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

/** @param {string} channel */
const evictions = (channel) => [
  { what: 'the relay', evict: () => runtime.evict('Relay', 'demo/0') },
  { what: 'the channel', evict: () => runtime.evict('Channel', `demo/${channel}`) },
  {
    what: 'both',
    evict: async () => await runtime.evict('Relay', 'demo/0') + await runtime.evict('Channel', `demo/${channel}`),
  },
];

const noticed = unlessKilled('sockets go with the process, and clients notice');

for (const [index, { what }] of evictions('').entries()) {
  test(`after ${what} lost its memory, messages go on both ways, again and again`, noticed, async (t) => {
    const name = `evicted-${index}`;
    const { evict } = evictions(name)[index];
    const publisher = await connected(t, runtime, formats[0]);
    const subscribers = await Promise.all([
      connected(t, runtime, formats[0]),
      connected(t, runtime, formats[1]),
      connected(t, runtime, { transportParams: { channel: name } }),
    ]);
    const inboxes = await Promise.all(subscribers.map((client) => Inbox.of(client.channels.get(name))));
    const clients = [publisher, ...subscribers];
    /** @type {string[]} */
    const changes = [];
    clients.forEach((client) => client.connection.on(({ current, reason }) => changes.push(`${current}: ${reason}`)));
    const sent = [];
    const serials = [];
    for (let round = 0; round < 8; round++) {
      for (const by of ['realtime', 'rest']) {
        assert.ok(await evict() > 0, 'something was evicted');
        const data = `${round} by ${by}`;
        sent.push(data);
        const client = by === 'rest' ? rest(runtime) : publisher;
        serials.push(...(await client.channels.get(name).publish('a', data)).serials);
        await Promise.all(inboxes.map((inbox) => inbox.until(sent.length)));
      }
    }
    for (const inbox of inboxes) assert.deepEqual(inbox.data, sent);
    assert.deepEqual(serials.toSorted(), serials);
    assert.deepEqual((await wholeHistory(rest(runtime).channels.get(name))).map((message) => message.serial), serials);
    assert.deepEqual(changes, [], 'no client noticed');
  });
}

test('who came to a channel that was never used attaches after it lost its memory', async (t) => {
  const name = 'evicted-before-use';
  const direct = await connected(t, runtime, { transportParams: { channel: name } });
  assert.ok(await runtime.evict('Channel', `demo/${name}`) > 0, 'something was evicted');
  const inbox = await Inbox.of(direct.channels.get(name));
  await rest(runtime).channels.get(name).publish('a', 'after');
  await inbox.until(1);
  assert.deepEqual(inbox.data, ['after']);
});

test('publishes in flight while objects lose their memory are acknowledged and delivered once', async (t) => {
  const name = 'in-flight';
  const [publisher, subscriber] = await Promise.all([connected(t, runtime), connected(t, runtime)]);
  const direct = await connected(t, runtime, { transportParams: { channel: name } });
  const inboxes = await Promise.all([subscriber, direct].map((client) => Inbox.of(client.channels.get(name))));
  const sent = [];
  const publishes = [];
  for (let round = 0; round < 10; round++) {
    for (let index = 0; index < 10; index++) {
      for (const client of [publisher, direct]) {
        const data = `${client === direct ? 'direct' : 'relay'} ${round}.${index}`;
        sent.push(data);
        publishes.push(client.channels.get(name).publish('a', data));
      }
    }
    await Promise.all([
      publishes[publishes.length - 15],
      round % 3 !== 0 && runtime.evict('Relay', 'demo/0'),
      round % 3 !== 1 && runtime.evict('Channel', `demo/${name}`),
    ]);
  }
  await Promise.all(publishes);
  await rest(runtime).channels.get(name).publish('a', 'end');
  await Promise.all(inboxes.map((inbox) => inbox.until('end')));
  const order = (await wholeHistory(rest(runtime).channels.get(name))).map((message) => message.data);
  assert.deepEqual(order.toSorted(), [...sent, 'end'].toSorted());
  for (const inbox of inboxes) assert.deepEqual(inbox.data, order);
});

test('attachments change across a loss of memory', async (t) => {
  const client = await connected(t, runtime);
  const [one, two] = ['attach-one', 'attach-two'].map((name) => client.channels.get(name));
  const first = await Inbox.of(one);
  await runtime.evict('Relay', 'demo/0');
  const second = await Inbox.of(two);
  await runtime.evict('Relay', 'demo/0');
  await one.detach();
  await runtime.evict('Relay', 'demo/0');
  await rest(runtime).channels.get('attach-one').publish('a', 'unheard');
  await rest(runtime).channels.get('attach-two').publish('a', 'heard');
  await second.until('heard');
  await one.attach();
  await rest(runtime).channels.get('attach-one').publish('a', 'again');
  await first.until('again');
  assert.deepEqual([first.data, second.data], [['again'], ['heard']]);
});

for (const [home, channel] of [['a relay', undefined], ['the channel\'s object', 'crowded-0']]) {
  test(`as many channels as a connection may have are remembered, with long names too (held by ${home})`, async (t) => {
    const client = new RawClient(runtime, { key: demoKey, ...(channel && { channel }) });
    t.after(() => client.close());
    await client.expect(action.CONNECTED);
    const count = 200;
    // As many names for each channel as a connection may have.
    const names = Array.from({ length: count }, (_, index) => `[?number=${String(index).padStart(index < 40 ? 61 : 60, '0')}]crowded-${index >> 2}`);
    assert.ok(names.every((name) => name.length === 80));
    for (const name of names) client.send({ action: action.ATTACH, channel: name });
    for (let index = 0; index < count; index++) await client.expect(action.ATTACHED);
    for (const round of [0, 1]) {
      assert.ok(await runtime.evict('Relay', 'demo/0') + await runtime.evict('Channel', 'demo/crowded-0') > 0);
      for (let index = 0; index < count / 4; index++) await rest(runtime).channels.get(`crowded-${index}`).publish('a', `${round}`);
      const heard = [];
      for (let index = 0; index < count; index++) heard.push((await client.expect(action.MESSAGE)).channel);
      assert.deepEqual(heard.toSorted(), names);
    }
    client.send({ action: action.ATTACH, channel: 'one-more' });
    const { error } = await client.expect(action.ERROR);
    assert.deepEqual([error.code, error.message], [90010, 'a connection has at most 200 channels']);
  });
}

test('modes, echo and capability are remembered', async (t) => {
  const quiet = await connected(t, runtime, { echoMessages: false });
  const channel = quiet.channels.get('remembered', { modes: ['SUBSCRIBE'] });
  const inbox = await Inbox.of(channel);
  const own = await Inbox.of(quiet.channels.get('remembered-echo'));
  await runtime.evict('Relay', 'demo/0');
  await assert.rejects(channel.publish('a', 'b'), (/** @type {any} */ error) => error.statusCode === 401);
  await runtime.evict('Relay', 'demo/0');
  await quiet.channels.get('remembered-echo').publish('a', 'own');
  await rest(runtime).channels.get('remembered-echo').publish('a', 'end');
  await own.until('end');
  assert.deepEqual([inbox.data, own.data], [[], ['end']]);
});

test('a connection that hibernates in its channel\'s object reaches other channels too', async (t) => {
  const client = await connected(t, runtime, { transportParams: { channel: 'hibernates' } });
  const names = ['hibernates', 'elsewhere'];
  const inboxes = await Promise.all(names.map((name) => Inbox.of(client.channels.get(name))));
  for (let round = 0; round < 4; round++) {
    await runtime.evict('Channel', 'demo/hibernates');
    if (round % 2) await runtime.evict('Channel', 'demo/elsewhere');
    for (const name of names) await rest(runtime).channels.get(name).publish('a', `${name} ${round}`);
    for (const name of names) await client.channels.get(name).publish('a', `own ${name} ${round}`);
  }
  await Promise.all(inboxes.map((inbox) => inbox.until(8)));
  for (const [index, name] of names.entries()) {
    const expected = [0, 1, 2, 3].flatMap((round) => [`${name} ${round}`, `own ${name} ${round}`]);
    assert.deepEqual(inboxes[index].data, expected);
  }
});

test('an id that was published before is known afterwards', async (t) => {
  const client = await connected(t, runtime);
  const inbox = await Inbox.of(client.channels.get('known'));
  const message = { id: 'mine', data: 'once' };
  const first = await client.channels.get('known').publish(message);
  await runtime.evict('Channel', 'demo/known');
  const again = await client.channels.get('known').publish(message);
  assert.deepEqual(again.serials, first.serials);
  await client.channels.get('known').publish('a', 'end');
  await inbox.until('end');
  assert.deepEqual(inbox.data, ['once', 'end']);
});

test('an object whose sockets are lost with its memory is found again', async (t) => {
  const names = ['lost-relay', 'lost-direct'];
  const clients = await Promise.all([
    connected(t, runtime), connected(t, runtime, { transportParams: { channel: 'lost-direct' } }),
  ]);
  const inboxes = await Promise.all(clients.map((client, index) => Inbox.of(client.channels.get(names[index]))));
  const ids = clients.map((client) => client.connection.id);
  const gone = clients.map((client) => client.connection.once('disconnected'));
  const wake = (/** @type {number} */ index) => () => clients[index].connection.ping().catch(() => {});
  await runtime.cut('Relay', 'demo/0', wake(0));
  await runtime.cut('Channel', 'demo/lost-direct', wake(1));
  for (const name of names) await rest(runtime).channels.get(name).publish('a', 'missed');
  await Promise.all(gone);
  await Promise.all(clients.map((client) => inState(client.connection, 'connected')));
  for (const [index, client] of clients.entries()) {
    await client.channels.get(names[index]).publish('a', 'after');
    await inboxes[index].until('after');
    assert.deepEqual(inboxes[index].data, ['missed', 'after']);
  }
  assert.deepEqual(clients.map((client) => client.connection.id), ids);
});

for (const direct of [false, true]) {
  const holder = direct ? 'channel\'s own object' : 'relay';
  test(`a transport that was replaced, and hangs, does not come back with its ${holder}`, async (t) => {
    const name = `hanging-${direct}`;
    const network = await Network.to(t, runtime);
    const client = await connected(t, network, { clientId: 'ann', ...(direct && { transportParams: { channel: name } }) });
    const [channel, inbox] = [client.channels.get(name), await Inbox.of(client.channels.get(name))];
    await channel.presence.enter();
    const { id } = client.connection;
    const dropped = client.connection.once('disconnected');
    // The server's end of it stays, and what is said to it is not answered.
    network.vanish();
    await dropped;
    network.mend();
    await inState(client.connection, 'connected');
    await inState(channel, 'attached');
    const sent = ['one', 'two', 'three'];
    for (const data of sent) {
      await rest(runtime).channels.get(name).publish('a', data);
      await inbox.until(data);
      assert.ok(await runtime.evict('Relay', 'demo/0') + await runtime.evict('Channel', `demo/${name}`) > 0);
    }
    const listed = await (await fetch(`${runtime.url}/apps/demo/connections?key=${demoKey}`)).json();
    const channels = listed.filter((/** @type {any} */ one) => one.connectionId === id).map((/** @type {any} */ one) => one.channels);
    assert.deepEqual(channels, [[name]], 'the connection is there once');
    assert.deepEqual(inbox.data, sent);
    assert.equal((await channel.presence.get()).length, 1);
    assert.equal(client.connection.id, id);
  });
}

test('heartbeats go on', async (t) => {
  const direct = { channel: 'beats' };
  for (const query of [{}, direct]) {
    const client = new RawClient(runtime, { key: demoKey, heartbeatInterval: '5000', ...query });
    t.after(() => client.close());
    await client.expect(action.CONNECTED);
    await runtime.evict('Relay', 'demo/0');
    await runtime.evict('Channel', 'demo/beats');
    // One may have come while they were evicted.
    const before = client.heard.length;
    do assert.equal((await client.any()).action, action.HEARTBEAT); while (client.heard.length === before);
  }
});
