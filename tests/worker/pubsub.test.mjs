/** Publish and subscribe through the published SDK, as its users do. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected, formats, inState, realtime, rest, wholeHistory } from './clients.mjs';
import { isKilling } from './kills.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

for (const { format, useBinaryProtocol } of formats) {
  test(`what is published arrives, and its serial is acknowledged (${format})`, async (t) => {
    const client = await connected(t, runtime, { useBinaryProtocol, clientId: 'umpire' });
    const channel = client.channels.get(`ack-${format}`);
    const inbox = await Inbox.of(channel);

    const first = await channel.publish('score', '15–0');
    const second = await channel.publish({ name: 'score', data: '30–0', extras: { headers: { set: 1 } } });
    const [one, two] = await inbox.until(2);
    assert.deepEqual([one.name, one.data, one.clientId], ['score', '15–0', 'umpire']);
    assert.equal(one.connectionId, client.connection.id);
    assert.deepEqual([...first.serials, ...second.serials], [one.serial, two.serial]);
    assert.ok(/** @type {string} */ (one.serial) < /** @type {string} */ (two.serial), 'serials sort as the order does');
    assert.deepEqual(two.extras, { headers: { set: 1 } });
    assert.equal(one.action, 'message.create');
    assert.equal(one.version.serial, one.serial);
    assert.ok(Math.abs(Date.now() - one.timestamp) < 60_000);
  });

  test(`the messages of one publish stay together (${format})`, async (t) => {
    const [client, other] = await Promise.all([0, 1].map(() => connected(t, runtime, { useBinaryProtocol })));
    const channel = client.channels.get(`together-${format}`);
    const inbox = await Inbox.of(channel);

    const batches = ['a', 'b', 'c'].map((letter) => [0, 1, 2, 3].map((number) => ({ data: `${letter}${number}` })));
    const noise = Array.from({ length: 12 }, () => other.channels.get(channel.name).publish('noise', 'x'));
    const results = await Promise.all(batches.map((batch) => channel.publish(batch)));
    await Promise.all(noise);
    const messages = await inbox.until(24);
    const own = messages.filter((message) => message.name !== 'noise');
    assert.deepEqual(own.map((message) => message.data), batches.flat().map((message) => message.data));
    for (let serial = 0; serial < 3; serial++) {
      const from = messages.indexOf(own[serial * 4]);
      const batch = messages.slice(from, from + 4);
      const ids = [0, 1, 2, 3].map((index) => `${client.connection.id}:${serial}:${index}`);
      assert.deepEqual(batch.map((message) => message.id), ids);
      assert.equal(new Set(batch.map((message) => message.timestamp)).size, 1);
      assert.deepEqual(results[serial].serials, batch.map((message) => message.serial));
    }
  });
}

test('data of any kind arrives as it was sent, within and across formats', async (t) => {
  const clients = await Promise.all(formats.map((format) => connected(t, runtime, format)));
  const channels = clients.map((client) => client.channels.get('kinds'));
  const inboxes = await Promise.all(channels.map(Inbox.of));
  const kinds = [
    'plain', '', 'ünïcödé 🎾 \u0000\u2028', { points: [15, 30], name: null }, [], ['a', 1], Buffer.from([0, 255, 128, 10]),
    Buffer.alloc(0), undefined,
  ];
  let sent = 0;
  for (const channel of channels) {
    for (const data of kinds) {
      await channel.publish('kind', data);
      sent++;
    }
  }
  for (const inbox of inboxes) {
    const messages = await inbox.until(sent);
    messages.forEach(({ data, encoding }, index) => {
      const expected = kinds[index % kinds.length];
      if (Buffer.isBuffer(expected)) assert.deepEqual(Buffer.from(data), expected);
      else assert.deepEqual(data, expected);
      assert.ok(encoding == null, `nothing is left undecoded: ${encoding}`);
    });
  }
  const history = await wholeHistory(channels[0]);
  assert.deepEqual(history.map((message) => message.id), inboxes[1].ids);
});

test('a message without a name or data is one all the same', async (t) => {
  const client = await connected(t, runtime);
  const channel = client.channels.get('empty');
  const inbox = await Inbox.of(channel);
  await channel.publish({});
  const [message] = await inbox.until(1);
  assert.deepEqual([message.name, message.data], [undefined, undefined]);
});

test('an encoding that only its users know is left alone', async (t) => {
  const [sender, reader] = await Promise.all(formats.map((format) => connected(t, runtime, format)));
  const inbox = await Inbox.of(reader.channels.get('encodings'));
  await sender.channels.get('encodings').publish({ data: 'xyz', encoding: 'rot13' });
  const [message] = await inbox.until(1);
  assert.deepEqual([message.data, message.encoding], ['xyz', 'rot13']);
});

test('encrypted messages pass through, and only the key opens them', async (t) => {
  const cipher = { key: Buffer.alloc(16, 7).toString('base64') };
  const [sender, reader] = await Promise.all(formats.map((format) => connected(t, runtime, format)));
  const opened = await Inbox.of(reader.channels.get('secret', { cipher }));
  const closed = await Inbox.of((await connected(t, runtime)).channels.get('secret'));
  await sender.channels.get('secret', { cipher }).publish('score', { points: 15 });
  await sender.channels.get('secret', { cipher }).publish('score', Buffer.from([1, 2]));
  const [first, second] = await opened.until(2);
  assert.deepEqual(first.data, { points: 15 });
  assert.deepEqual(Buffer.from(second.data), Buffer.from([1, 2]));
  const [unread] = await closed.until(1);
  assert.match(String(unread.encoding), /cipher\+aes-128-cbc/);
});

test('a client that wants no echo hears the others only', async (t) => {
  const quiet = await connected(t, runtime, { echoMessages: false });
  const other = await connected(t, runtime);
  const inboxes = await Promise.all([quiet, other].map((client) => Inbox.of(client.channels.get('echo'))));
  await quiet.channels.get('echo').publish('a', 'mine');
  await other.channels.get('echo').publish('a', 'yours');
  await Promise.all(inboxes.map((inbox) => inbox.until('yours')));
  assert.deepEqual(inboxes.map((inbox) => inbox.data), [['yours'], ['mine', 'yours']]);
});

test('publishing needs no attachment', async (t) => {
  const [sender, reader] = await Promise.all([connected(t, runtime), connected(t, runtime)]);
  const inbox = await Inbox.of(reader.channels.get('transient'));
  const channel = sender.channels.get('transient');
  const { serials } = await channel.publish('a', 'hello');
  assert.equal(channel.state, 'initialized');
  const [message] = await inbox.until(1);
  assert.equal(message.serial, serials[0]);
});

test('many channels share a connection and do not mix', async (t) => {
  const client = await connected(t, runtime);
  const names = Array.from({ length: 30 }, (_, index) => `many-${index}`);
  const inboxes = await Promise.all(names.map((name) => Inbox.of(client.channels.get(name))));
  await Promise.all(names.map((name) => client.channels.get(name).publish('a', name)));
  await Promise.all(inboxes.map((inbox) => inbox.until(1)));
  assert.deepEqual(inboxes.map((inbox) => inbox.data), names.map((name) => [name]));
});

test('after a detach nothing comes, after another attach it does', async (t) => {
  const [client, other] = await Promise.all([connected(t, runtime), connected(t, runtime)]);
  const channel = client.channels.get('detach');
  const inbox = await Inbox.of(channel);
  const sender = other.channels.get('detach');
  await sender.publish('a', 'one');
  await inbox.until('one');
  await channel.detach();
  assert.equal(channel.state, 'detached');
  await sender.publish('a', 'unheard');
  await channel.attach();
  await sender.publish('a', 'two');
  await inbox.until('two');
  assert.deepEqual(inbox.data, ['one', 'two']);
});

test('a channel tells its modes and parameters', async (t) => {
  const client = await connected(t, runtime);
  const plain = client.channels.get('modes-plain', { params: { nonsense: 'x' } });
  await plain.attach();
  assert.deepEqual(plain.params, {});
  assert.deepEqual(sorted(plain.modes), ['annotation_publish', 'presence', 'presence_subscribe', 'publish', 'subscribe']);

  const reader = client.channels.get('modes-flags', { modes: ['SUBSCRIBE'] });
  await reader.attach();
  assert.deepEqual(sorted(reader.modes), ['subscribe']);
  // Before its channel is attached again a client may publish there: that needs no attachment.
  if (!isKilling) await assert.rejects(reader.publish('a', 'b'), (/** @type {any} */ error) => error.statusCode === 401);

  const named = client.channels.get('modes-param', { params: { modes: 'publish,subscribe', rewind: '1' } });
  await named.attach();
  assert.deepEqual(sorted(named.modes), ['publish', 'subscribe']);
  assert.deepEqual(named.params, { modes: 'publish,subscribe', rewind: '1' });

  await named.setOptions({ params: { modes: 'publish' } });
  assert.deepEqual(sorted(named.modes), ['publish']);
});

test('who attached to publish only is sent nothing', async (t) => {
  const client = await connected(t, runtime);
  const writer = client.channels.get('publish-only', { modes: ['PUBLISH'] });
  await writer.attach();
  /** @type {unknown[]} */
  const heard = [];
  const transport = /** @type {any} */ (client.connection).connectionManager.activeProtocol.getTransport();
  transport.on('message', (/** @type {any} */ frame) => heard.push(frame.action));
  await writer.publish('a', 'one');
  await client.connection.ping();
  assert.ok(!heard.includes(15), `no MESSAGE among ${heard}`);
});

test('rewind gives the last messages first, in order, and again after a detach', async (t) => {
  const sender = await connected(t, runtime);
  for (const data of ['one', 'two', 'three']) await sender.channels.get('rewind').publish('a', data);
  const client = await connected(t, runtime);
  const channel = client.channels.get('rewind', { params: { rewind: '2' } });
  const attached = channel.once('attached');
  const inbox = await Inbox.of(channel);
  assert.equal(/** @type {any} */ (await attached).hasBacklog, true);
  await sender.channels.get('rewind').publish('a', 'four');
  await inbox.until('four');
  assert.deepEqual(inbox.data, ['two', 'three', 'four']);

  await channel.detach();
  await channel.attach();
  await sender.channels.get('rewind').publish('a', 'five');
  await inbox.until('five');
  assert.deepEqual(inbox.data, ['two', 'three', 'four', 'three', 'four', 'five']);

  const byName = await Inbox.of((await connected(t, runtime)).channels.get('[?rewind=1]rewind'));
  await byName.until(1);
  assert.deepEqual(byName.data, ['five']);
});

test('rewind by time reaches back so far, and an empty channel has no backlog', async (t) => {
  const client = await connected(t, runtime);
  const fresh = client.channels.get('rewind-fresh', { params: { rewind: '1m' } });
  const attached = fresh.once('attached');
  const inbox = await Inbox.of(fresh);
  assert.equal(/** @type {any} */ (await attached).hasBacklog, false);
  for (const data of ['one', 'two', 'three']) await fresh.publish('a', data);
  await inbox.until(3);
  const limited = (await connected(t, runtime)).channels.get('rewind-fresh', { params: { rewind: '1m', rewindLimit: '2' } });
  const late = await Inbox.of(limited);
  await late.until(2);
  assert.deepEqual(late.data, ['two', 'three']);
});

test('history until the attach, and live messages from there, meet without a gap', async (t) => {
  const [client, sender] = await Promise.all([connected(t, runtime), connected(t, runtime)]);
  const source = sender.channels.get('until');
  /** @type {string[]} */
  const published = [];
  const publish = async () => {
    published.push(`m${published.length}`);
    await source.publish('a', published.at(-1));
  };
  while (published.length < 10) await publish();
  let isAttached = false;
  const publishing = (async () => {
    while (!isAttached) await publish();
  })();
  const inbox = await Inbox.of(client.channels.get('until'));
  isAttached = true;
  await publishing;
  await publish();
  await inbox.until(`m${published.length - 1}`);
  const page = await client.channels.get('until').history({ untilAttach: true, limit: 1_000 });
  assert.deepEqual([...page.items.map((message) => message.data).reverse(), ...inbox.data], published);
});

test('an id of the publisher is taken once, over every way to publish', async (t) => {
  const [one, two] = await Promise.all(formats.map((format) => connected(t, runtime, format)));
  const inbox = await Inbox.of(one.channels.get('ids'));
  const message = { id: 'mine', name: 'a', data: 'once' };
  const first = await one.channels.get('ids').publish(message);
  const second = await one.channels.get('ids').publish(message);
  const third = await two.channels.get('ids').publish(message);
  const fourth = await rest(runtime).channels.get('ids').publish(message);
  await one.channels.get('ids').publish('a', 'end');
  await inbox.until('end');
  assert.deepEqual(inbox.data, ['once', 'end']);
  assert.equal(inbox.messages[0].id, 'mine');
  for (const again of [second, third, fourth]) assert.deepEqual(again.serials, first.serials);

  const batch = [{ id: 'base:0', data: 'x' }, { id: 'base:1', data: 'y' }];
  await one.channels.get('ids').publish(batch);
  await two.channels.get('ids').publish(batch);
  await one.channels.get('ids').publish('a', 'end of batch');
  await inbox.until('end of batch');
  assert.deepEqual(inbox.data, ['once', 'end', 'x', 'y', 'end of batch']);
  for (const bad of [[{ id: 'a:0' }, { id: 'b:1' }], [{ id: 'a:1' }, { id: 'a:0' }], [{ id: 'a:0' }, {}]]) {
    await assert.rejects(one.channels.get('ids').publish(bad), (/** @type {any} */ error) => error.code === 40031);
  }
});

test('a publish that the server refuses says why, and the next one goes through', async (t) => {
  const client = await connected(t, runtime);
  const channel = client.channels.get('refused');
  const inbox = await Inbox.of(channel);
  const results = await Promise.allSettled([
    channel.publish('a', 'one'),
    channel.publish('a', 'no', { _forceNack: true }),
    channel.publish('a', 'two'),
    channel.publish({ data: 'no', extras: /** @type {any} */ ('text') }),
    channel.publish('a', 'three'),
  ]);
  const codes = results.map((result) => result.status === 'rejected' ? result.reason.code : 'published');
  assert.deepEqual(codes, ['published', 40099, 'published', 40032, 'published']);
  await inbox.until('three');
  assert.deepEqual(inbox.data, ['one', 'two', 'three']);
});

test('names with odd characters are names', async (t) => {
  const client = await connected(t, runtime);
  const odd = ['a b', 'ä/ö?ü#%41&=+', '🎾', 'x:y:z', '...', 'a\\b"c\'', '%00', 'A', 'a', 'name,with,commas', '[?rewind=1]x[y]'];
  const inboxes = await Promise.all(odd.map((name) => Inbox.of(client.channels.get(name))));
  await Promise.all(odd.map((name) => client.channels.get(name).publish('a', name)));
  await Promise.all(inboxes.map((inbox) => inbox.until(1)));
  assert.deepEqual(inboxes.map((inbox) => inbox.data), odd.map((name) => [name]));
  for (const name of odd) {
    const { items } = await rest(runtime).channels.get(name).history();
    assert.deepEqual(items.map((message) => message.data), [name], name);
  }
});

test('a name that is none fails its channel and leaves the connection', async (t) => {
  const client = await connected(t, runtime);
  for (const name of [':hell', '[nonsense]x', 'line\nbreak', 'x'.repeat(2_049)]) {
    const channel = client.channels.get(name);
    await assert.rejects(channel.attach(), (/** @type {any} */ error) => error.code === 40010, name);
    assert.equal(channel.state, 'failed');
    await assert.rejects(channel.publish('a', 'b'));
  }
  await client.channels.get('x'.repeat(2_048)).publish('a', 'b');
  assert.equal(client.connection.state, 'connected');
});

test('a connection that names its channel lives in that channel\'s object, and reaches the others', async (t) => {
  const direct = await connected(t, runtime, { transportParams: { channel: 'home' } });
  const usual = await connected(t, runtime);
  const clients = [direct, usual];
  const home = await Promise.all(clients.map((client) => Inbox.of(client.channels.get('home'))));
  const away = await Promise.all(clients.map((client) => Inbox.of(client.channels.get('away'))));
  for (const [index, client] of clients.entries()) {
    await client.channels.get('home').publish('a', `home ${index}`);
    await client.channels.get('away').publish('a', `away ${index}`);
  }
  await Promise.all([home, away].flat().map((inbox) => inbox.until(2)));
  for (const inbox of home) assert.deepEqual(inbox.data, ['home 0', 'home 1']);
  for (const inbox of away) assert.deepEqual(inbox.data, ['away 0', 'away 1']);

  // Without its channel's object it is gone; the other clients' relay goes on.
  const gone = direct.connection.once('disconnected');
  await runtime.cut('Channel', 'demo/home', () => direct.connection.ping().catch(() => {}));
  await gone;
  assert.equal(usual.connection.state, 'connected');
});

test('a ping comes back', async (t) => {
  const client = await connected(t, runtime);
  assert.ok(await client.connection.ping() >= 0);
});

test('closing ends the connection in order', async (t) => {
  const client = realtime(t, runtime);
  await inState(client.connection, 'connected');
  client.close();
  await inState(client.connection, 'closed');
  client.connect();
  await inState(client.connection, 'connected');
});

test('1,000 messages of three publishers reach ten subscribers in one order, each once', async (t) => {
  const subscribers = await Promise.all(Array.from({ length: 10 }, (_, index) => connected(t, runtime, {
    ...formats[index % 2],
    // Some in the channel's own object, most in the relay.
    ...(index % 5 === 0 && { transportParams: { channel: 'thousand' } }),
  })));
  const publishers = await Promise.all(Array.from({ length: 3 }, (_, index) => connected(t, runtime, formats[index % 2])));
  const inboxes = await Promise.all(subscribers.map((client) => Inbox.of(client.channels.get('thousand'))));

  const sent = Array.from({ length: 1_000 }, (_, index) => `${index % 3}-${index}`);
  const acknowledged = await Promise.all(sent.map((data, index) =>
    publishers[index % 3].channels.get('thousand').publish('a', data)));
  await Promise.all(inboxes.map((inbox) => inbox.until(1_000)));

  const [order] = inboxes.map((inbox) => inbox.data);
  for (const inbox of inboxes) assert.deepEqual(inbox.data, order);
  assert.deepEqual(sorted(order), sorted(sent));
  for (const publisher of ['0', '1', '2']) {
    const from = (/** @type {string[]} */ data) => data.filter((text) => text.startsWith(publisher));
    assert.deepEqual(from(order), from(sent), 'each publisher in its own order');
  }
  const serials = inboxes[0].messages.map((message) => message.serial);
  assert.deepEqual(sorted(serials), serials);
  assert.deepEqual(sorted(acknowledged.flatMap((result) => result.serials)), serials);
  const history = await wholeHistory(rest(runtime).channels.get('thousand'));
  assert.deepEqual(history.map((message) => message.data), order);
});

/** @template T @param {T[]} values */
const sorted = (values) => [...values].sort();
