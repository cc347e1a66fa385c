/** The published chat SDK, unchanged, as its users use it: two clients of a room, and what each hears of the other. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import test, { after } from 'node:test';
import { ChatClient, ChatMessageEventType, LogLevel, MessageReactionType, OrderBy } from '@ably/chat';
import { Heard, connected, demoKey, formats } from './clients.mjs';
import { isKilling } from './kills.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

/** @typedef {import('@ably/chat').Room} Room */
/** @typedef {import('@ably/chat').Message} Message */

/** @param {object} claims */
function jwt(claims) {
  const encoded = (/** @type {object} */ part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const body = { iat: now, exp: now + 600, 'x-ably-capability': '{"*":["*"]}', ...claims };
  const signed = `${encoded({ alg: 'HS256', typ: 'JWT', kid: 'demo.key1' })}.${encoded(body)}`;
  return `${signed}.${createHmac('sha256', 'local-only').update(signed).digest('base64url')}`;
}

/**
 * A chat client of a room, attached to it.
 * @param {import('node:test').TestContext} t
 * @param {string} name
 * @param {import('ably').ClientOptions} options
 * @param {import('@ably/chat').RoomOptions} [roomOptions]
 */
async function inRoom(t, name, options, roomOptions) {
  const client = new ChatClient(await connected(t, runtime, options), { logLevel: LogLevel.Silent });
  const room = await client.rooms.get(name, roomOptions);
  await room.attach();
  return room;
}

/** What of a message its versions and history repeat. @param {Message} message */
const plain = (message) => ({ ...JSON.parse(JSON.stringify(message)) });

/** @param {{ items: Message[] }} page */
const texts = ({ items }) => items.map(({ text }) => text);

for (const { format, useBinaryProtocol } of formats) {
  test(`messages are sent, edited and deleted, and are one in events and history (${format})`, async (t) => {
    const name = `talk/ü ${format}`;
    const ann = await inRoom(t, name, { clientId: 'ann', useBinaryProtocol });
    const bob = await inRoom(t, name, { clientId: 'bob', useBinaryProtocol });
    const heard = new Heard();
    bob.messages.subscribe(heard.hear);

    const headers = { n: 1, flag: true };
    const sent = await ann.messages.send({ text: 'hello', metadata: { mood: { kind: 'good' } }, headers });
    const created = await heard.until((event) => event.type === ChatMessageEventType.Created);
    assert.deepEqual(plain(created.message), plain(sent));
    assert.deepEqual([sent.clientId, sent.metadata, sent.headers], ['ann', { mood: { kind: 'good' } }, headers]);
    assert.deepEqual([sent.version.serial, sent.action], [sent.serial, 'message.create']);

    const details = { description: 'typo', metadata: { by: 'hand' } };
    const edited = await ann.messages.update(sent.serial, { text: 'hello all' }, details);
    const updated = await heard.until((event) => event.type === ChatMessageEventType.Updated);
    assert.deepEqual(plain(updated.message), plain(edited));
    assert.deepEqual([edited.text, edited.metadata, edited.headers, edited.serial], ['hello all', {}, {}, sent.serial]);
    assert.deepEqual([edited.version.clientId, edited.version.description], ['ann', 'typo']);
    assert.ok(edited.version.serial > sent.serial && edited.timestamp.getTime() === sent.timestamp.getTime());
    assert.deepEqual(plain(await bob.messages.get(sent.serial)), plain(edited));

    const deleted = await bob.messages.delete(sent.serial, { description: 'rude' });
    const gone = await heard.until((event) => event.type === ChatMessageEventType.Deleted);
    assert.deepEqual(plain(gone.message), plain(deleted));
    assert.deepEqual([deleted.text, deleted.clientId, deleted.version.clientId], ['', 'ann', 'bob']);

    const versions = await ann.messages.getVersions(sent.serial);
    assert.deepEqual(versions.items.map(plain), [sent, edited, deleted].map(plain));
    const history = await ann.messages.history({});
    assert.deepEqual(history.items.map(plain), [plain(deleted)]);
    assert.equal(heard.all.length, 3);
  });

  test(`a listener is told what came before it, and pages lead on (${format})`, async (t) => {
    const ann = await inRoom(t, `before-${format}`, { clientId: 'ann', useBinaryProtocol });
    for (const text of ['1', '2', '3', '4', '5']) await ann.messages.send({ text });
    const bob = await inRoom(t, `before-${format}`, { clientId: 'bob', useBinaryProtocol });
    const early = bob.messages.subscribe(() => {});
    const heard = new Heard();
    bob.messages.subscribe(heard.hear);
    await ann.messages.send({ text: '6' });
    await heard.until((event) => event.message.text === '6');
    const late = bob.messages.subscribe(() => {});
    await ann.messages.send({ text: '7' });
    assert.deepEqual(texts(await early.historyBeforeSubscribe({ limit: 50 })), ['5', '4', '3', '2', '1']);
    assert.deepEqual(texts(await late.historyBeforeSubscribe({ limit: 2 })), ['6', '5']);

    const first = await ann.messages.history({ limit: 3, orderBy: OrderBy.OldestFirst });
    const second = /** @type {typeof first} */ (await first.next());
    const third = /** @type {typeof first} */ (await second.next());
    assert.deepEqual([first, second, third].map(texts), [['1', '2', '3'], ['4', '5', '6'], ['7']]);
    assert.ok(first.hasNext() && third.isLast());
    assert.deepEqual([texts(await second.current()), texts(await second.first())], [['4', '5', '6'], ['1', '2', '3']]);
  });

  test(`reactions to a message are counted, told, and taken back (${format})`, async (t) => {
    const raw = { messages: { rawMessageReactions: true } };
    const ann = await inRoom(t, `reactions-${format}`, { clientId: 'ann', useBinaryProtocol }, raw);
    const bob = await inRoom(t, `reactions-${format}`, { clientId: 'bob', useBinaryProtocol });
    const [raws, sums] = [new Heard(), new Heard()];
    ann.messages.reactions.subscribeRaw(raws.hear);
    bob.messages.reactions.subscribe(sums.hear);
    const { serial } = await ann.messages.send({ text: 'vote' });
    await ann.messages.reactions.send(serial, { name: '👍' });
    await bob.messages.reactions.send(serial, { name: '👍' });
    await bob.messages.reactions.send(serial, { name: 'a', type: MessageReactionType.Unique });
    await bob.messages.reactions.send(serial, { name: 'yes', type: MessageReactionType.Multiple, count: 10 });
    const counted = await sums.until((event) => event.reactions.multiple.yes);
    assert.deepEqual(counted.reactions.distinct['👍'], { total: 2, clientIds: ['ann', 'bob'], clipped: false });
    assert.deepEqual(counted.reactions.unique.a, { total: 1, clientIds: ['bob'], clipped: false });
    assert.deepEqual([counted.messageSerial, counted.reactions.multiple.yes.clientIds], [serial, { bob: 10 }]);
    assert.deepEqual(plain(await ann.messages.get(serial)).reactions, JSON.parse(JSON.stringify(counted.reactions)));

    const own = await ann.messages.reactions.clientReactions(serial, 'ann');
    assert.deepEqual([own?.distinct['👍'].total, own?.distinct['👍'].clientIds], [2, ['ann']]);
    assert.deepEqual([own?.unique, own?.multiple], [{}, {}]);

    await bob.messages.reactions.delete(serial, { type: MessageReactionType.Unique });
    await sums.until((event) => Object.keys(event.reactions.unique).length === 0 && event.reactions.multiple.yes);
    await bob.messages.reactions.delete(serial, { name: 'yes', type: MessageReactionType.Multiple });
    await bob.messages.reactions.delete(serial, { name: '👍' });
    await ann.messages.reactions.delete(serial, { name: '👍' });
    await sums.until((event) => Object.keys({ ...event.reactions.distinct, ...event.reactions.multiple }).length === 0);
    await raws.until(() => raws.all.length === 8);
    const told = raws.all.map(({ type, reaction }) => `${type} ${reaction.clientId} ${reaction.name || '-'} ${reaction.count ?? '-'}`);
    assert.deepEqual(told, ['create ann 👍 -', 'create bob 👍 -', 'create bob a -', 'create bob yes 10',
      'delete bob - -', 'delete bob yes -', 'delete bob 👍 -', 'delete ann 👍 -'].map((text) => `reaction.${text}`));
  });

  test(`typing, room reactions, presence and occupancy (${format})`, async (t) => {
    const name = `room-${format}`;
    const ann = await inRoom(t, name, { clientId: 'ann', useBinaryProtocol }, { occupancy: { enableEvents: true } });
    const bob = await inRoom(t, name, { clientId: 'bob', useBinaryProtocol });
    const [typing, reactions, presence, occupancy] = [new Heard(), new Heard(), new Heard(), new Heard()];
    ann.typing.subscribe(typing.hear);
    bob.reactions.subscribe(reactions.hear);
    ann.presence.subscribe(presence.hear);
    ann.occupancy.subscribe(occupancy.hear);

    await bob.typing.keystroke();
    const starts = await typing.until(({ change }) => change.type === 'typing.started');
    assert.deepEqual([starts.change.clientId, [...starts.currentlyTyping]], ['bob', ['bob']]);
    await bob.typing.stop();
    await typing.until(({ currentlyTyping }) => currentlyTyping.size === 0);

    await bob.reactions.send({ name: '🎉', metadata: { size: 2 }, headers: { loud: true } });
    const { reaction } = await reactions.until(() => true);
    assert.deepEqual([reaction.name, reaction.metadata, reaction.headers], ['🎉', { size: 2 }, { loud: true }]);
    assert.deepEqual([reaction.clientId, reaction.isSelf], ['bob', true]);

    await bob.presence.enter({ seat: 4 });
    assert.ok(await bob.presence.isUserPresent('bob'));
    await presence.until(({ type, member }) => type === 'enter' && member.clientId === 'bob' && member.data.seat === 4);
    await bob.presence.update({ seat: 5 });
    await presence.until(({ type, member }) => type === 'update' && member.data.seat === 5);
    assert.deepEqual((await ann.presence.get()).map(({ clientId, data }) => [clientId, data]), [['bob', { seat: 5 }]]);

    await occupancy.until((event) => event.occupancy.connections === 2 && event.occupancy.presenceMembers === 1);
    // Those who come back from a kill are counted when they are there.
    if (!isKilling) assert.deepEqual(await bob.occupancy.get(), { connections: 2, presenceMembers: 1 });
    await bob.presence.leave({ said: 'bye' });
    await presence.until(({ type, member }) => type === 'leave' && member.data.said === 'bye');
    assert.deepEqual((await ann.messages.history({})).items, []);
  });
}

for (const { format, useBinaryProtocol } of formats) {
  test(`a room says how it stands, tells of a gap, and is left, released and made anew (${format})`, async (t) => {
    const name = `lives-${format}`;
    const client = new ChatClient(await connected(t, runtime, { clientId: 'ann', useBinaryProtocol }), { logLevel: LogLevel.Silent });
    const room = await client.rooms.get(name);
    const [stands, gaps] = [new Heard(), new Heard()];
    room.onStatusChange(stands.hear);
    room.onDiscontinuity(gaps.hear);
    assert.deepEqual([room.name, room.status, client.connection.status, client.clientId], [name, 'initialized', 'connected', 'ann']);
    await room.attach();
    await room.messages.send({ text: 'forgotten' });
    const headers = { authorization: `Basic ${btoa(demoKey)}` };
    const purged = await fetch(`${runtime.url}/channels/${encodeURIComponent(room.channel.name)}/messages`, { method: 'DELETE', headers });
    assert.equal(purged.status, 204);
    assert.equal((await gaps.until(() => true)).cause?.code, 90003);
    assert.deepEqual((await room.messages.history({})).items, []);
    await room.detach();
    assert.equal(room.status, 'detached');
    await client.rooms.release(name);
    assert.equal(room.status, 'released');
    assert.deepEqual([...new Set(stands.all.map(({ current }) => current))], ['attaching', 'attached', 'detaching', 'detached', 'released']);
    const again = await client.rooms.get(name);
    await again.attach();
    assert.deepEqual([again === room, again.status, again.error], [false, 'attached', undefined]);
    await client.dispose();
    assert.equal(again.status, 'released');
  });

  test(`what is kept of a room is read by time, by client and at once (${format})`, async (t) => {
    const name = `kept-${format}`;
    const ann = await inRoom(t, name, { clientId: 'ann', useBinaryProtocol }, { occupancy: { enableEvents: true } });
    const bob = await inRoom(t, name, { clientId: 'bob', useBinaryProtocol });
    const [first, second] = [await ann.messages.send({ text: 'first' }), await ann.messages.send({ text: 'second' })];
    const [start, end] = [first, second].map(({ timestamp }) => timestamp.getTime());
    assert.deepEqual(texts(await bob.messages.history({ start, end, orderBy: OrderBy.OldestFirst })), ['first', 'second']);
    assert.deepEqual(texts(await bob.messages.history({ end: start - 1 })), []);
    assert.deepEqual(texts(await bob.messages.history({ start: end + 1 })), []);

    const heard = new Heard();
    bob.messages.subscribe(heard.hear);
    bob.messages.reactions.subscribe(heard.hear);
    await bob.messages.reactions.send(first.serial, { name: '👍' });
    const reacted = first.with(await heard.until((event) => event.reactions?.distinct['👍']));
    const edited = await ann.messages.update(first.serial, first.copy({ text: 'edited' }));
    const whole = reacted.with(await heard.until((event) => event.message?.text === 'edited'));
    assert.deepEqual(plain(whole), plain(await bob.messages.get(first.serial)));
    assert.deepEqual([whole.text, whole.version.serial, whole.reactions.distinct['👍'].total], ['edited', edited.version.serial, 1]);
    assert.deepEqual((await bob.messages.reactions.clientReactions(first.serial))?.distinct['👍'].clientIds, ['bob']);
    assert.deepEqual(Object.keys((await ann.messages.reactions.clientReactions(first.serial))?.distinct ?? {}), []);

    const typing = new Heard();
    ann.typing.subscribe(typing.hear);
    await bob.typing.keystroke();
    await typing.until(({ currentlyTyping }) => currentlyTyping.has('bob'));
    assert.deepEqual([[...ann.typing.current], ann.typing.currentTypers.map(({ clientId }) => clientId)], [['bob'], ['bob']]);
    const present = new Heard();
    ann.presence.subscribe(present.hear);
    await Promise.all([ann.presence.enter(), bob.presence.enter({ seat: 1 })]);
    await present.until(({ member }) => member.clientId === 'bob');
    assert.deepEqual((await ann.presence.get({ clientId: 'bob' })).map(({ data }) => data), [{ seat: 1 }]);
    const counted = new Heard();
    ann.occupancy.subscribe(counted.hear);
    await counted.until(({ occupancy: { presenceMembers, connections } }) => presenceMembers === 2 && connections === 2);
    assert.deepEqual(ann.occupancy.current, { connections: 2, presenceMembers: 2 });
    // Nobody is there when the server was just killed, until they come back.
    let asked = await bob.occupancy.get();
    while (asked.connections < 2) asked = await bob.occupancy.get();
    assert.deepEqual(asked, { connections: 2, presenceMembers: 2 });
  });
}

test('what a token says of its client comes with all that it does, and an edit has the editor\'s', async (t) => {
  const name = 'claimed';
  const host = await inRoom(t, name, { token: jwt({ 'x-ably-clientId': 'ann', [`ably.room.${name}`]: 'host', 'ably.room.*': 'none' }) },
    { messages: { rawMessageReactions: true } });
  const fan = await inRoom(t, name, { token: jwt({ 'x-ably-clientId': 'bob', 'ably.room.*': 'fan' }) });
  const [heard, typing, reactions, presence] = [new Heard(), new Heard(), new Heard(), new Heard()];
  host.messages.subscribe(heard.hear);
  host.typing.subscribe(typing.hear);
  host.messages.reactions.subscribeRaw(reactions.hear);
  host.presence.subscribe(presence.hear);
  const sent = await host.messages.send({ text: 'welcome' });
  const edited = await fan.messages.update(sent.serial, { text: 'hi' });
  await heard.until(({ type, message }) => type === 'message.updated' && message.userClaim === 'fan');
  assert.deepEqual([sent.userClaim, edited.userClaim, edited.clientId], ['host', 'fan', 'ann']);
  assert.deepEqual((await host.messages.getVersions(sent.serial)).items.map(({ userClaim }) => userClaim), ['host', 'fan']);
  await fan.typing.keystroke();
  assert.equal((await typing.until(() => true)).change.userClaim, 'fan');
  await fan.messages.reactions.send(sent.serial, { name: 'x' });
  assert.equal((await reactions.until(() => true)).reaction.userClaim, 'fan');
  await fan.presence.enter();
  assert.equal((await presence.until(() => true)).member.userClaim, 'fan');
});

test('a capability that names a room is enough for it, and for no other', async (t) => {
  const token = jwt({ 'x-ably-clientId': 'ann', 'x-ably-capability': JSON.stringify({ hall: ['publish', 'subscribe', 'presence', 'history', 'annotation-publish'] }) });
  const room = await inRoom(t, 'hall', { token });
  const { serial } = await room.messages.send({ text: 'here' });
  await room.messages.reactions.send(serial, { name: 'x' });
  await assert.rejects(room.messages.update(serial, { text: 'no' }), { code: 40160 });
  await assert.rejects(room.occupancy.get(), { code: 40160 });
  await assert.rejects(inRoom(t, 'other', { token }), { code: 40160 });
});

test('a message is sent once, though its request is repeated', async (t) => {
  const client = await connected(t, runtime, { clientId: 'ann' });
  const send = (/** @type {string} */ key, text = 'once') =>
    client.request('POST', '/chat/v4/rooms/again/messages', 4, { idempotencyKey: key }, { text });
  const [first, second, third] = [await send('k1'), await send('k1', 'changed'), await send('k2')];
  assert.deepEqual([second.items[0], third.items[0].serial === first.items[0].serial], [first.items[0], false]);
  const room = await new ChatClient(client).rooms.get('again');
  assert.deepEqual(texts(await room.messages.history({})), ['once', 'once']);
});

test('what is wrong is refused with a code, in both formats', async (t) => {
  const nobody = { Authorization: `Basic ${btoa(demoKey)}`, 'content-type': 'application/json' };
  const anonymous = await fetch(`${runtime.url}/chat/v4/rooms/r/messages`, { method: 'POST', headers: nobody, body: '{"text":"x"}' });
  assert.deepEqual([anonymous.status, (await anonymous.json()).error.code], [400, 40000]);
  for (const { useBinaryProtocol } of formats) {
    const client = await connected(t, runtime, { clientId: 'ann', useBinaryProtocol });
    const ask = async (/** @type {string} */ method, /** @type {string} */ path, /** @type {any} */ body, params = {}) => {
      const answer = await client.request(method, `/chat/v4/rooms/r${path}`, 4, params, body);
      return [answer.statusCode, answer.errorCode];
    };
    const unknown = '/messages/01726585978590-001%40none%3A000';
    for (const body of [{}, { text: '' }, { text: 5 }, { text: 'x', metadata: [] }, { text: 'x', headers: 'h' }, []]) {
      assert.deepEqual(await ask('POST', '/messages', body), [400, 40000], JSON.stringify(body));
    }
    assert.deepEqual(await ask('POST', '/messages', { text: 'x'.repeat(70_000) }), [400, 40009]);
    assert.deepEqual(await ask('GET', unknown, null), [404, 40400]);
    assert.deepEqual(await ask('PUT', unknown, { message: { text: 'x' } }), [404, 40400]);
    assert.deepEqual(await ask('PUT', unknown, { text: 'x' }), [400, 40000]);
    assert.deepEqual(await ask('POST', `${unknown}/delete`, {}), [404, 40400]);
    assert.deepEqual(await ask('POST', `${unknown}/reactions`, { type: 'distinct', name: 'x' }), [404, 40400]);
    assert.deepEqual(await ask('POST', `${unknown}/reactions`, { type: 'flag', name: 'x' }), [400, 40000]);
    assert.deepEqual(await ask('POST', `${unknown}/reactions`, { type: 'multiple', name: 'x', count: 0 }), [400, 40003]);
    assert.deepEqual(await ask('DELETE', `${unknown}/reactions`, null, { type: 'distinct' }), [400, 40000]);
    assert.deepEqual(await ask('GET', '/messages/nonsense', null), [400, 40003]);
    assert.deepEqual(await ask('GET', '/messages', null, { limit: 'x' }), [400, 40003]);
    assert.deepEqual(await ask('GET', '/presence', null), [404, 40400]);
    assert.deepEqual(await ask('PATCH', unknown, {}), [405, 40500]);
  }
});
