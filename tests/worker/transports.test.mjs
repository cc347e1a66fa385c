/**
 * One table of behaviour, over every transport, with the published SDK: who changes the transport notices nothing else.
 * And the same, as far as they can say it, over other protocols, with their published clients.
 */
import assert from 'node:assert/strict';
import test, { after, describe } from 'node:test';
import { Inbox, appsWithFewRights, changesOf, closed, connected, demoKey, inState, realtime, rest, wholeHistory } from './clients.mjs';
import { doors } from './doors.mjs';
import { unlessEvicted } from './evictions.mjs';
import { isKilling, unlessKilled } from './kills.mjs';
import { Network } from './network.mjs';
import { startRuntime } from './runtime.mjs';
import { transports } from './transports.mjs';

const [{ keys: [first, ...others], namespaces, ...demo }] = appsWithFewRights.apps;
const runtime = await startRuntime({ apps: [{
  ...demo,
  keys: [{ ...first, pusher: true }, ...others],
  namespaces: [...namespaces, { id: 'state', persistLast: true }],
}] });
after(() => runtime.stop());

/** How often what is a race is run. */
const rounds = Number(process.env.ROUNDS ?? 3);

/** A token, as an application server asks for it. @param {object} [params] */
const tokenOf = async (params) => (await rest(runtime).auth.requestToken(params)).token;

const kept = unlessKilled('what ends a connection is not what the test looks for');

/** @param {number} count @param {string} by */
const numbered = (count, by) => Array.from({ length: count }, (_, index) => `${by} ${index}`);

for (const { transport, wire, isDirect, options } of transports) {
  test(`${transport}: what is published arrives everywhere in one order, and is acknowledged with its serials`, async (t) => {
    const name = `order-${transport}`;
    const clients = [
      await connected(t, runtime, options(name)), await connected(t, runtime, options(name)), await connected(t, runtime),
    ];
    const isDirectly = clients.map(({ connection }) => String(connection.key).includes('!65535-'));
    assert.deepEqual(isDirectly, [isDirect, isDirect, false], 'a channel\'s own object or a relay holds it, as its key says');
    const channels = clients.map((client) => client.channels.get(name));
    const inboxes = await Promise.all(channels.map((channel) => Inbox.of(channel)));
    const results = await Promise.all(channels.flatMap((channel, index) => (
      numbered(60, `client ${index}`).map((data) => channel.publish('a', data)))));
    await Promise.all(inboxes.map((inbox) => inbox.until(180)));
    const history = await wholeHistory(rest(runtime).channels.get(name));
    for (const inbox of inboxes) assert.deepEqual(inbox.data, history.map(({ data }) => data));
    for (const [index] of clients.entries()) {
      const own = history.filter(({ data }) => data.startsWith(`client ${index} `));
      assert.deepEqual(own.map(({ data }) => data), numbered(60, `client ${index}`));
      assert.deepEqual(results.slice(index * 60, index * 60 + 60).flatMap(({ serials }) => serials), own.map(({ serial }) => serial));
    }
    // The SDK pings while it is connected only.
    if (!isKilling) assert.ok(await clients[0].connection.ping() >= 0);
  });

  test(`${transport}: all kinds of data come as they went`, async (t) => {
    const name = `data-${transport}`;
    const client = await connected(t, runtime, options(name));
    const inbox = await Inbox.of(client.channels.get(name));
    const data = ['text, "quoted"\n', { a: [1, null, { b: 'ü' }] }, Buffer.from([0, 10, 255]), 'x'.repeat(60_000)];
    for (const one of data) await client.channels.get(name).publish('a', one);
    await inbox.until(data.length);
    assert.deepEqual(inbox.data, data);
  });

  for (const loss of /** @type {const} */ (['cut', 'vanish'])) {
    test(`${transport}: who drops off (${loss}) comes back by resume, with nothing lost and nothing twice`, async (t) => {
      const name = `resume-${loss}-${transport}`;
      const network = await Network.to(t, runtime);
      const client = await connected(t, network, options(name));
      const channel = client.channels.get(name);
      const inbox = await Inbox.of(channel);
      const sender = rest(runtime).channels.get(name);
      await sender.publish('a', 'before');
      await inbox.until('before');
      const { id, key } = client.connection;

      const dropped = client.connection.once('disconnected');
      network[loss]();
      const owed = channel.publish('a', 'on the way');
      await dropped;
      for (const data of numbered(20, 'missed')) await sender.publish('a', data);
      const attached = channel.once('attached');
      network.mend();
      assert.equal(/** @type {any} */ (await attached).resumed, true);
      await owed;
      await sender.publish('a', 'after');
      await inbox.until('after');
      const order = (await wholeHistory(sender)).map(({ data }) => data);
      assert.deepEqual(inbox.data, order);
      assert.deepEqual(order.toSorted(), ['after', 'before', 'on the way', ...numbered(20, 'missed')].toSorted());
      assert.equal(client.connection.id, id);
      assert.notEqual(client.connection.key, key);
    });
  }

  test(`${transport}: a server that dies and is back has lost nothing`, async (t) => {
    const name = `death-${transport}`;
    const client = await connected(t, runtime, options(name));
    const channel = client.channels.get(name);
    const inbox = await Inbox.of(channel);
    const { id } = client.connection;
    const publishes = numbered(5, 'own').map((data) => channel.publish('a', data));
    await runtime.kill();
    await runtime.start();
    await rest(runtime).channels.get(name).publish('a', 'theirs');
    await Promise.all(publishes);
    await rest(runtime).channels.get(name).publish('a', 'end');
    await inbox.until('end');
    assert.deepEqual(inbox.data, (await wholeHistory(rest(runtime).channels.get(name))).map(({ data }) => data));
    assert.deepEqual(inbox.data.toSorted(), ['end', ...numbered(5, 'own'), 'theirs'].toSorted());
    assert.equal(client.connection.id, id);
  });

  test(`${transport}: rewind gives what was before`, async (t) => {
    const name = `rewind-${transport}`;
    for (const data of numbered(5, 'old')) await rest(runtime).channels.get(name).publish('a', data);
    const client = await connected(t, runtime, options(name));
    const inbox = await Inbox.of(client.channels.get(name, { params: { rewind: '3' } }));
    await client.channels.get(name).publish('a', 'new');
    await inbox.until('new');
    assert.deepEqual(inbox.data, ['old 2', 'old 3', 'old 4', 'new']);
  });

  test(`${transport}: another token on a connection that goes on gives and takes rights`, async (t) => {
    const names = [`kept-${transport}`, `lost-${transport}`];
    const client = await connected(t, runtime, { ...options(names[0]), key: undefined, token: await tokenOf() });
    const { id } = client.connection;
    const [kept, lost] = names.map((name) => client.channels.get(name));
    await Promise.all([kept.attach(), lost.attach()]);
    const interruptions = changesOf(client, 'disconnected');
    const denied = assert.rejects(inState(lost, 'detached'), { code: 40160 });
    await client.auth.authorize(undefined, { token: await tokenOf({ capability: { [kept.name]: ['subscribe'] } }) });
    await denied;
    await assert.rejects(kept.publish('a', 'b'), { code: 40160 });
    await client.auth.authorize(undefined, { token: await tokenOf() });
    await lost.attach();
    await lost.publish('a', 'b');
    assert.equal(client.connection.id, id);
    if (!isKilling) assert.deepEqual(interruptions, []);
  });

  test(`${transport}: what is refused has a code, and what comes after goes on`, async (t) => {
    const name = `limits-${transport}`;
    const client = await connected(t, runtime, options(name));
    const channel = client.channels.get(name);
    const inbox = await Inbox.of(channel);
    const refused = [
      assert.rejects(channel.publish('a', 'b', { _forceNack: true }), { code: 40099 }),
      assert.rejects(client.channels.get('[bad').attach(), { code: 40010 }),
      assert.rejects(client.channels.get('[meta]x').publish('a', 'b'), { code: 40010 }),
    ];
    // What the SDK itself refuses, it learned when it connected.
    await assert.rejects(channel.publish('a', 'x'.repeat(70_000)), { code: 40009 });
    await Promise.all(refused);
    await channel.publish('a', 'fine');
    await inbox.until('fine');
    assert.deepEqual(inbox.data, ['fine']);
    const reader = await connected(t, runtime, { ...options('open:x'), key: 'demo.reader:local-only' });
    await assert.rejects(reader.channels.get('open:x').publish('a', 'b'), { code: 40160 });
    await assert.rejects(reader.channels.get('closed').attach(), { code: 40160 });
    await reader.channels.get('open:x').attach();
  });

  test(`${transport}: who isn't let in is told why`, async (t) => {
    for (const [wrong, code] of /** @type {[import('ably').ClientOptions, number][]} */ ([
      [{ key: 'demo.key1:wrong-secret' }, 40101],
      [{ key: undefined, token: await tokenOf({ clientId: 'ann' }), clientId: 'bob' }, 40102],
    ])) {
      const client = realtime(t, runtime, { ...options('closed'), ...wrong });
      await assert.rejects(inState(client.connection, 'connected'), { code });
    }
    const stranger = await connected(t, runtime, { ...options('closed'), recover: JSON.stringify({ connectionKey: '_____!fake-key____', msgSerial: 3, channelSerials: {} }) });
    assert.equal(stranger.connection.errorReason?.code, 80018);
  });

  test(`${transport}: a connection that was closed cannot be resumed`, async (t) => {
    const name = `closed-${transport}`;
    const client = await connected(t, runtime, options(name));
    const key = client.connection.createRecoveryKey();
    const { connectionManager } = /** @type {any} */ (client.connection);
    const way = connectionManager.activeProtocol.getTransport();
    // The SDK does not wait for the answer to its goodbye.
    const gone = new Promise((resolve) => way.wsConnection?.addEventListener('close', resolve));
    client.close();
    await inState(client.connection, 'closed');
    await (way.onceNoPending ? new Promise((resolve) => way.onceNoPending(resolve)) : gone);
    const heir = await connected(t, runtime, { ...options(name), recover: key ?? '' });
    assert.equal(heir.connection.errorReason?.code, 80017);
    assert.notEqual(heir.connection.id, client.connection.id);
  });

  test(`${transport}: the client that recovers a connection keeps it, however fast the other comes back`, kept, async (t) => {
    for (let round = 0; round < rounds; round += 1) {
      const name = `shared-${round}-${transport}`;
      const first = await connected(t, runtime, options(name));
      const { id } = first.connection;
      const ended = first.connection.once('disconnected');
      const second = await connected(t, runtime, { ...options(name), recover: first.connection.createRecoveryKey() ?? '' });
      assert.equal(second.connection.id, id);
      assert.equal((await ended).reason?.code, 80016);
      /** @type {unknown[]} */
      const changes = [];
      second.connection.on(({ reason }) => changes.push(reason));
      await inState(first.connection, 'connected');
      assert.equal(first.connection.errorReason?.code, 80018);
      const inboxes = await Promise.all([first, second].map((client) => Inbox.of(client.channels.get(name))));
      await first.channels.get(name).publish('a', 'of the first');
      await second.channels.get(name).publish('a', 'of the second');
      for (const inbox of inboxes) await inbox.until(2);
      for (const inbox of inboxes) assert.deepEqual(inbox.data, ['of the first', 'of the second']);
      assert.deepEqual([second.connection.id, first.connection.id === id, changes], [id, false, []]);
      await Promise.all([closed(first), closed(second)]);
    }
  });

  // One thing changes at a time: the way, or who holds the connection.
  for (const to of transports.filter((to) => (to.wire === wire) !== (to.isDirect === isDirect))) {
    test(`from ${transport} to ${to.transport}: the connection goes on, with nothing lost and nothing twice`, async (t) => {
      const name = `from-${transport}-to-${to.transport}`;
      const network = await Network.to(t, runtime);
      const first = await connected(t, network, options(name));
      const inbox = await Inbox.of(first.channels.get(name));
      const sender = rest(runtime).channels.get(name);
      await first.channels.get(name).publish('a', 'one');
      await inbox.until('one');
      const recover = first.connection.createRecoveryKey() ?? '';
      network.cut();
      await sender.publish('a', 'missed');
      const second = realtime(t, runtime, { ...to.options(name), recover });
      const goesOn = await Inbox.of(second.channels.get(name));
      await second.channels.get(name).publish('a', 'two');
      await goesOn.until('two');
      assert.deepEqual([inbox.data, goesOn.data], [['one'], ['missed', 'two']]);
      assert.deepEqual([second.connection.id, second.connection.errorReason], [first.connection.id, null]);
      network.mend();
    });
  }
}

for (const { door, channel, last, hearsItself, acknowledges, resumes, wrongKey, tooLarge, come } of doors) {
  /** @param {string} name */
  const named = (name) => channel(`${name}-${door.replace(/\W/g, '')}`);
  const portOf = (/** @type {Network} */ network) => ({ port: network.clientOptions.port });

  const once = door.startsWith('MQTT') ? unlessEvicted('what is on its way by QoS 1 when the memory goes comes again') : {};

  test(`${door}: what is published arrives everywhere in one order, and is there when it is acknowledged`, once, async (t) => {
    const name = named('order');
    const clients = [await come(t, runtime, name), await come(t, runtime, name)];
    const ably = (await connected(t, runtime)).channels.get(name);
    const inbox = await Inbox.of(ably);
    await Promise.all([...clients.flatMap((client, index) => numbered(20, `client ${index}`).map(async (text) => {
      await client.publish(text);
      if (!acknowledges) return;
      assert.equal((await wholeHistory(rest(runtime).channels.get(name))).filter(({ data }) => data === text).length, 1);
    })), ...numbered(20, 'ably').map((text) => ably.publish('a', text))]);
    await ably.publish('a', 'end');
    await inbox.until('end');
    const history = (await wholeHistory(rest(runtime).channels.get(name))).map(({ data }) => data);
    assert.deepEqual(inbox.data, history);
    assert.equal(history.length, 61);
    for (const [index, { heard }] of clients.entries()) {
      await heard.until((text) => text === 'end');
      const isOwn = (/** @type {string} */ text) => text.startsWith(`client ${index} `);
      assert.deepEqual(heard.all, history.filter((text) => hearsItself || !isOwn(text)));
      assert.deepEqual(history.filter(isOwn), numbered(20, `client ${index}`), 'each in its own order');
    }
  });

  test(`${door}: texts come as they went`, async (t) => {
    const name = named('data');
    const [sender, reader] = [await come(t, runtime, name), await come(t, runtime, name)];
    const inbox = await Inbox.of((await connected(t, runtime)).channels.get(name));
    const texts = ['text, "quoted"\n', 'ü \u2028 \0 \u{1f600}', 'x'.repeat(60_000), '5'];
    for (const text of texts) await sender.publish(text);
    await inbox.until(texts.length);
    await reader.heard.until(() => reader.heard.all.length === texts.length);
    assert.deepEqual(inbox.data, texts);
    // Its client makes JSON of what is JSON.
    assert.deepEqual(reader.heard.all.map(String), texts);
  });

  for (const loss of /** @type {const} */ (['cut', 'vanish'])) {
    test(`${door}: who drops off (${loss}) comes back, and ${resumes ? 'missed nothing' : 'hears what comes then'}`, async (t) => {
      const name = named(`resume-${loss}`);
      const network = await Network.to(t, runtime);
      const client = await come(t, portOf(network), name);
      const sender = rest(runtime).channels.get(name);
      await sender.publish('a', 'before');
      await client.heard.until((text) => text === 'before');
      const back = client.back();
      network[loss]();
      for (const data of numbered(20, 'missed')) await sender.publish('a', data);
      network.mend();
      assert.equal(await back, resumes, 'whether it is told that it missed nothing');
      await sender.publish('a', 'after');
      await client.heard.until((text) => text === 'after');
      // A message that was not acknowledged when the connection was lost may come again.
      const heard = client.heard.all.filter((text, index, all) => text !== 'before' || all.indexOf(text) === index);
      assert.deepEqual(heard, ['before', ...resumes ? numbered(20, 'missed') : [], 'after']);
    });
  }

  test(`${door}: a server that dies and is back has lost nothing that was acknowledged`, async (t) => {
    const name = named('death');
    const client = await come(t, runtime, name);
    // Not every protocol acknowledges; what somebody hears is kept, too.
    const inbox = await Inbox.of((await connected(t, runtime)).channels.get(name));
    await client.publish('own');
    await inbox.until(1);
    if (hearsItself) await client.heard.until((text) => text === 'own');
    const back = client.back();
    await runtime.kill();
    await runtime.start();
    await rest(runtime).channels.get(name).publish('a', 'theirs');
    await back;
    await rest(runtime).channels.get(name).publish('a', 'end');
    await client.heard.until((text) => text === 'end');
    const history = (await wholeHistory(rest(runtime).channels.get(name))).map(({ data }) => data);
    assert.deepEqual(history, ['own', 'theirs', 'end']);
    if (resumes) assert.ok(client.heard.all.includes('theirs'), 'it missed nothing');
  });

  test(`${door}: who comes later can have what was said last`, async (t) => {
    const name = last(`last-${door.replace(/\W/g, '')}`);
    for (const data of ['old', 'newest']) await rest(runtime).channels.get(name).publish('a', data);
    const client = await come(t, runtime, name);
    await rest(runtime).channels.get(name).publish('a', 'end');
    await client.heard.until((text) => text === 'end');
    assert.deepEqual(client.heard.all, ['newest', 'end']);
  });

  test(`${door}: what is refused has a code, and what comes after goes on`, async (t) => {
    const name = named('limits');
    const client = await come(t, runtime, name);
    await assert.rejects(client.publish('x'.repeat(70_000)), (error) => Boolean(tooLarge(error)));
    const another = await come(t, runtime, name);
    await another.publish('fine');
    const history = await wholeHistory(rest(runtime).channels.get(name));
    assert.deepEqual(history.map(({ data }) => data), ['fine']);
  });

  test(`${door}: who isn't let in is told why`, async (t) => {
    const wrong = { id: 'demo.key1', secret: 'a-wrong-secret' };
    await assert.rejects(come(t, runtime, named('closed'), wrong), (error) => Boolean(wrongKey(error)));
  });
}

/**
 * A connection over HTTP that is lost with its relay's memory leaves members, for whom the channel looks five seconds
 * after it lost its own.
 * @param {string} wire
 */
const ghosts = (wire) => {
  if (isKilling) return unlessKilled('the SDK enters anew what it has no answer to, and who closes unheard stays for a while');
  return wire.startsWith('Comet') ? unlessEvicted('no channel keeps its own for the five seconds after which it looks for members') : {};
};

describe('what takes its time goes on at the same time', { concurrency: true }, () => {
  for (const { transport, wire, options } of transports) {
    test(`${transport}: a token that expires is renewed, and the connection resumes`, kept, async (t) => {
      const name = `expiry-${transport}`;
      let tokens = 0;
      const authCallback = (/** @type {any} */ _, /** @type {any} */ give) => (
        void tokenOf({ ttl: tokens++ ? 60_000 : 3_000 }).then((token) => give(null, token)));
      const client = await connected(t, runtime, { ...options(name), key: undefined, authCallback });
      const { id } = client.connection;
      const channel = client.channels.get(name);
      const inbox = await Inbox.of(channel);
      const { reason } = await client.connection.once('disconnected');
      assert.deepEqual([reason?.code, reason?.statusCode], [40142, 401]);
      await inState(client.connection, 'connected');
      await channel.publish('a', 'still here');
      await inbox.until('still here');
      assert.deepEqual([client.connection.id, tokens], [id, 2]);
    });

    test(`${transport}: members are there until they close, and a while after they are lost`, ghosts(wire), async (t) => {
      const name = `presence-${transport}`;
      const watcher = (await connected(t, runtime)).channels.get(name);
      /** @type {string[]} */
      const seen = [];
      const left = new Promise((resolve) => void watcher.presence.subscribe(({ action, clientId }) => {
        seen.push(`${action} ${clientId}`);
        if (clientId === 'bob' && action === 'leave') resolve(undefined);
      }));
      await watcher.attach();
      const network = await Network.to(t, runtime);
      const transportParams = { ...options(name).transportParams, remainPresentFor: 1_000 };
      const [ann, bob] = [
        await connected(t, runtime, { ...options(name), clientId: 'ann' }),
        await connected(t, network, { ...options(name), transportParams, clientId: 'bob' }),
      ];
      await ann.channels.get(name).presence.enter();
      await bob.channels.get(name).presence.enter();
      ann.close();
      // It says nothing any more; how soon that is noticed is another test's.
      network.cut();
      await left;
      assert.deepEqual(seen, ['enter ann', 'enter bob', 'leave ann', 'leave bob']);
      assert.deepEqual(await watcher.presence.get(), []);
      network.mend();
    });
  }
});
