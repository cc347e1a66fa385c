/** The door for Pusher Channels, through `pusher-js` and beside the `ably` SDK (docs/protocol.md § 26). */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { launch, skip } from './browser.mjs';
import { Inbox, connected } from './clients.mjs';
import { unlessEvicted } from './evictions.mjs';
import { heardOn, next, pusherClient, serverLibrary, subscribed } from './pusher.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

test('a public channel is the same for clients of both protocols', async (t) => {
  const [client, ably] = [pusherClient(t, runtime), await connected(t, runtime, { clientId: 'ann' })];
  const { channel } = await subscribed(client, 'scores');
  assert.match(client.connection.socket_id, /^\d+\.\d+$/);
  const heard = heardOn(channel);
  const shared = ably.channels.get('scores');
  await shared.publish('goal', { team: 'red' });
  await shared.publish('text', 'hello');
  await shared.publish({ data: 'no name' });
  assert.deepEqual(await heard.until(3), [['goal', { team: 'red' }], ['text', 'hello'], ['message', 'no name']]);
});

test('a private channel needs a signature, and carries client events to the others', async (t) => {
  const [one, two] = [pusherClient(t, runtime), pusherClient(t, runtime)];
  const ably = await connected(t, runtime);
  const inbox = await Inbox.of(ably.channels.get('private-room'));
  const { channel } = await subscribed(one, 'private-room');
  const { channel: other } = await subscribed(two, 'private-room');
  const [own, heard] = [heardOn(channel), heardOn(other)];
  channel.trigger('client-typing', { who: 'ann' });
  channel.trigger('client-note', 'just text');
  assert.deepEqual(await heard.until(2), [['client-typing', { who: 'ann' }], ['client-note', 'just text']]);
  const [typing, note] = await inbox.until(2);
  assert.deepEqual([typing.name, typing.data, note.data], ['client-typing', { who: 'ann' }, 'just text']);
  assert.equal(typing.connectionId, one.connection.socket_id);
  other.trigger('client-answer', {});
  await own.until(1);
  assert.deepEqual(own.events, [['client-answer', {}]], 'it does not hear itself');

  const wrong = pusherClient(t, runtime, {
    channelAuthorization: {
      customHandler: (/** @type {any} */ _, /** @type {Function} */ done) =>
        done(null, { auth: `demo.key1:${'0'.repeat(64)}` }),
    },
  });
  const error = await next(wrong.subscribe('private-room'), 'pusher:subscription_error');
  assert.deepEqual([error.type, error.status], ['AuthError', 401]);
  assert.match(error.error, /40101/);
});

test('users of a presence channel come and go once, however many connections they have', async (t) => {
  const user = (/** @type {string | number} */ id, /** @type {string} */ name) =>
    ({ user: { user_id: id, user_info: { name } } });
  const ann = pusherClient(t, runtime, user('ann', 'Ann'));
  const { channel, told } = await subscribed(ann, 'presence-room');
  assert.deepEqual([told.count, told.members, told.me.id], [1, { ann: { name: 'Ann' } }, 'ann']);
  /** @type {[string, string, string][]} */
  const changes = [];
  let changed = () => {};
  for (const event of ['pusher:member_added', 'pusher:member_removed']) {
    channel.bind(event, (/** @type {any} */ member) => {
      changes.push([event.slice(14), member.id, member.info?.name]);
      changed();
    });
  }
  const until = (/** @type {number} */ count) => new Promise((resolve) => {
    changed = () => changes.length >= count && resolve(undefined);
    changed();
  });

  const bobs = [pusherClient(t, runtime, user(7, 'Bob')), pusherClient(t, runtime, user(7, 'Bob'))];
  for (const bob of bobs) {
    const { told } = await subscribed(bob, 'presence-room');
    assert.deepEqual([told.count, told.members], [2, { ann: { name: 'Ann' }, 7: { name: 'Bob' } }]);
  }
  const ably = await connected(t, runtime, { clientId: 'cleo' });
  const shared = ably.channels.get('presence-room');
  await shared.presence.enter({ name: 'Cleo' });
  await until(2);
  const members = await shared.presence.get();
  assert.deepEqual(members.map((member) => member.clientId).sort(), ['7', '7', 'ann', 'cleo']);
  assert.deepEqual(members.find((member) => member.clientId === 'ann')?.data, { name: 'Ann' });

  bobs[0].disconnect();
  await shared.presence.leave();
  await until(3);
  bobs[1].disconnect();
  await until(4);
  assert.deepEqual(changes, [
    ['added', '7', 'Bob'], ['added', 'cleo', 'Cleo'], ['removed', 'cleo', 'Cleo'], ['removed', '7', 'Bob'],
  ]);
});

test('servers publish by signed requests, and exclude the connection that they act for', async (t) => {
  const [one, two] = [pusherClient(t, runtime), pusherClient(t, runtime)];
  const ably = await connected(t, runtime);
  const inbox = await Inbox.of(ably.channels.get('api-a'));
  const heard = [];
  for (const client of [one, two]) {
    for (const name of ['api-a', 'api-b']) heard.push(heardOn((await subscribed(client, name)).channel));
  }
  const server = serverLibrary(runtime);
  const params = { socket_id: one.connection.socket_id, info: 'subscription_count' };
  const answer = await server.trigger(['api-a', 'api-b'], 'goal', { team: 'red' }, params);
  assert.equal(answer.status, 200);
  const counts = { 'api-a': { subscription_count: 3 }, 'api-b': { subscription_count: 2 } };
  assert.deepEqual(await answer.json(), { channels: counts });
  const batch = await server.triggerBatch([
    { channel: 'api-a', name: 'first', data: 'text' },
    { channel: 'api-b', name: 'second', data: { a: [1] } },
    { channel: 'api-a', name: 'third', data: {} },
  ]);
  assert.deepEqual(await batch.json(), {});
  const a = [['first', 'text'], ['third', {}]];
  assert.deepEqual(await heard[2].until(3), [['goal', { team: 'red' }], ...a]);
  assert.deepEqual(await heard[3].until(2), [['goal', { team: 'red' }], ['second', { a: [1] }]]);
  assert.deepEqual([await heard[0].until(2), await heard[1].until(1)], [a, [['second', { a: [1] }]]]);
  const messages = await inbox.until(3);
  assert.deepEqual(messages.map(({ name, data }) => [name, data]), [['goal', { team: 'red' }], ...a]);
  assert.equal(messages[0].connectionId, one.connection.socket_id);
});

test('servers ask which channels are occupied and who is there', async (t) => {
  const ann = { user_id: 'ann', user_info: {} };
  const clients = [0, 1].map(() => pusherClient(t, runtime, { user: ann }));
  for (const client of clients) await subscribed(client, 'presence-asked');
  await subscribed(pusherClient(t, runtime, { user: { user_id: 'bob' } }), 'presence-asked');
  const server = serverLibrary(runtime);
  const get = async (/** @type {string} */ path, params = {}) => (await server.get({ path, params })).json();
  const counts = { user_count: 2, subscription_count: 3 };
  const info = 'user_count,subscription_count';
  assert.deepEqual(await get('/channels/presence-asked', { info }), { occupied: true, ...counts });
  assert.deepEqual(await get('/channels/presence-asked'), { occupied: true });
  assert.deepEqual(await get('/channels/nobody-here'), { occupied: false });
  const listed = await get('/channels', { filter_by_prefix: 'presence-asked', info });
  assert.deepEqual(listed, { channels: { 'presence-asked': counts } });
  assert.deepEqual(await get('/channels/presence-asked/users'), { users: [{ id: 'ann' }, { id: 'bob' }] });
});

test('what is not signed right, or asks for what is not there, is refused with a code', async (t) => {
  const status = async (/** @type {Promise<unknown>} */ asked) => {
    const error = await asked.then(() => assert.fail('it was let in'), (refused) => /** @type {any} */ (refused));
    return [error.status, JSON.parse(error.body).error.code];
  };
  const server = serverLibrary(runtime);
  /** @type {(library: typeof server, channel?: string, event?: string, data?: any, params?: any) => Promise<any>} */
  const trigger = (library, channel = 'a', event = 'e', data = {}, params = {}) =>
    status(library.trigger(channel, event, data, params));
  assert.deepEqual(await trigger(serverLibrary(runtime, { secret: 'another-one' })), [401, 40101]);
  assert.deepEqual(await trigger(serverLibrary(runtime, { key: 'demo.nobody' })), [401, 40101]);
  assert.deepEqual(await trigger(serverLibrary(runtime, { appId: 'other' })), [401, 40101]);
  assert.deepEqual(await trigger(server, 'a', 'pusher:cache_miss'), [400, 40001]);
  assert.deepEqual(await trigger(server, 'a', 'e', 'x'.repeat(70_000)), [400, 40009]);
  assert.deepEqual(await trigger(server, 'a', 'e', {}, { socket_id: '1.2', info: 'mood' }), [400, 40003]);
  assert.deepEqual(await status(server.get({ path: '/channels', params: { info: 'user_count' } })), [400, 40000]);
  assert.deepEqual(await status(server.get({ path: '/channels/a/users' })), [400, 40000]);
  assert.deepEqual(await status(server.get({ path: '/channels', params: { mood: 'good' } })), [400, 40002]);
  const unsigned = await fetch(`${runtime.url}/apps/demo/events`, { method: 'POST', body: '{}' });
  assert.equal(unsigned.status, 401);
});

test('a cache channel gives its last event to who comes, or says that there is none', async (t) => {
  const server = serverLibrary(runtime);
  const first = pusherClient(t, runtime);
  const channel = first.subscribe('private-cache-score');
  await next(channel, 'pusher:cache_miss');
  for (const score of [1, 2]) await server.trigger('private-cache-score', 'score', { score });
  const later = pusherClient(t, runtime).subscribe('private-cache-score');
  const heard = heardOn(later, () => true);
  assert.deepEqual((await heard.until(2)).map(([name]) => name), ['pusher:subscription_succeeded', 'score']);
  assert.deepEqual(heard.events[1][1], { score: 2 });
  await server.trigger('presence-cache-score', 'score', { score: 3 });
  const member = heardOn(pusherClient(t, runtime, { user: { user_id: 'ann' } }).subscribe('presence-cache-score'), () => true);
  assert.deepEqual((await member.until(2)).map(([name]) => name), ['pusher:subscription_succeeded', 'score']);
});

test('an encrypted channel is opaque to the server', async (t) => {
  const encryptionMasterKeyBase64 = Buffer.alloc(32, 7).toString('base64');
  const server = serverLibrary(runtime, { encryptionMasterKeyBase64 });
  const channelAuthorization = {
    customHandler: (/** @type {any} */ { socketId, channelName }, /** @type {Function} */ done) =>
      done(null, server.authorizeChannel(socketId, channelName)),
  };
  const client = pusherClient(t, runtime, { channelAuthorization });
  const ably = await connected(t, runtime);
  const inbox = await Inbox.of(ably.channels.get('private-encrypted-a'));
  const { channel } = await subscribed(client, 'private-encrypted-a');
  const heard = heardOn(channel);
  await server.trigger('private-encrypted-a', 'secret', { word: 'sesame' });
  assert.deepEqual(await heard.until(1), [['secret', { word: 'sesame' }]]);
  const [sealed] = await inbox.until(1);
  assert.deepEqual(Object.keys(sealed.data).sort(), ['ciphertext', 'nonce']);
});

test('a user who signed in hears what servers tell it, and can be sent away', async (t) => {
  const server = serverLibrary(runtime);
  const client = pusherClient(t, runtime, { user: { user_id: 'ann' } });
  client.signin();
  await next(client, 'pusher:signin_success');
  const told = next(client.user, 'news');
  await next(/** @type {any} */ (client.user).serverToUserChannel, 'pusher:subscription_succeeded');
  await server.sendToUser('ann', 'news', { text: 'hello' });
  assert.deepEqual(await told, { text: 'hello' });
  const ended = next(client.connection, 'error');
  const state = next(client.connection, 'disconnected');
  await server.terminateUserConnections('ann');
  assert.equal((await ended).data.code, 4009);
  await state;
});

test('who may not come in is told why, and whether to come back', async (t) => {
  const refusedCode = async (/** @type {{ key: string }} */ options) => {
    const client = pusherClient(t, runtime, options);
    return (await next(client.connection, 'error')).error.data.code;
  };
  assert.equal(await refusedCode({ key: 'nobody.key' }), 4001);
  assert.equal(await refusedCode({ key: 'demo.host' }), 4001, 'that key does not let Pusher clients in');
  assert.equal(await refusedCode({ key: 'nonsense' }), 4001);
});

const words = unlessEvicted('who lost its memory asks whether the client is there');

test('a client that speaks the wire itself is answered in its words', words, async (t) => {
  const open = async (/** @type {string} */ path) => {
    const socket = new WebSocket(`${runtime.url.replace('http', 'ws')}${path}`);
    t.after(() => socket.close());
    /** @type {any[]} */
    const frames = [];
    let wake = () => {};
    socket.onmessage = ({ data }) => { frames.push(JSON.parse(data)); wake(); };
    const take = async () => {
      while (frames.length === 0) await new Promise((resolve) => { wake = () => resolve(undefined); });
      return frames.shift();
    };
    return { socket, take, closed: new Promise((resolve) => { socket.onclose = resolve; }) };
  };
  const { socket, take } = await open('/app/demo.key1?protocol=7&client=mine');
  const hello = await take();
  assert.equal(hello.event, 'pusher:connection_established');
  assert.equal(JSON.parse(hello.data).activity_timeout, 15);
  socket.send('{"event":"pusher:ping","data":{}}');
  assert.deepEqual(await take(), { event: 'pusher:pong', data: '{}' });
  socket.send('no json');
  const error = await take();
  assert.deepEqual([error.event, error.data.code], ['pusher:error', 4009]);
  socket.send(JSON.stringify({ event: 'pusher:subscribe', data: { channel: 'a' } }));
  assert.deepEqual(await take(), { event: 'pusher_internal:subscription_succeeded', channel: 'a', data: '{}' });
  socket.send('x'.repeat(600_000));
  const tooLarge = await take();
  assert.deepEqual([tooLarge.event, tooLarge.data.code], ['pusher:error', 4009]);
  assert.match(tooLarge.data.message, /40009/);
  socket.send('{"event":"pusher:ping","data":{}}');
  assert.deepEqual(await take(), { event: 'pusher:pong', data: '{}' });

  const old = await open('/app/demo.key1?protocol=3');
  assert.equal((await old.take()).data.code, 4007);
  assert.equal((await old.closed).code, 4007);
});

test('a connection goes on when the objects have lost their memory', async (t) => {
  const ann = pusherClient(t, runtime, { user: { user_id: 'ann' } });
  const bob = pusherClient(t, runtime, { user: { user_id: 'bob' } });
  const { channel } = await subscribed(ann, 'presence-asleep');
  const { channel: other } = await subscribed(bob, 'presence-asleep');
  const heard = heardOn(other);
  /** @type {string[]} */
  const lost = [];
  ann.connection.bind('state_change', (/** @type {any} */ change) => lost.push(change.current));
  channel.trigger('client-before', {});
  await heard.until(1);
  for (const name of ['Relay', 'Channel']) await runtime.evict(/** @type {any} */ (name));
  channel.trigger('client-after', {});
  assert.deepEqual(await heard.until(2), [['client-before', {}], ['client-after', {}]]);
  const removed = next(channel, 'pusher:member_removed');
  for (const name of ['Relay', 'Channel']) await runtime.evict(/** @type {any} */ (name));
  bob.unsubscribe('presence-asleep');
  assert.equal((await removed).id, 'bob');
  assert.deepEqual(lost, []);
});

test('a token of Courtside is as good as a server of one\'s own', async (t) => {
  const ably = await connected(t, runtime);
  const { token } = await ably.auth.requestToken({ clientId: 'dora' });
  const headers = { Authorization: `Bearer ${Buffer.from(token).toString('base64')}` };
  const endpoint = (/** @type {string} */ path) => ({ endpoint: `${runtime.url}${path}`, transport: 'ajax', headers });
  const client = pusherClient(t, runtime, {
    channelAuthorization: endpoint('/pusher/auth'), userAuthentication: endpoint('/pusher/user-auth'),
  });
  const { told } = await subscribed(client, 'presence-token');
  assert.deepEqual([told.me.id, told.count], ['dora', 1]);
  client.signin();
  assert.deepEqual(JSON.parse((await next(client, 'pusher:signin_success')).user_data), { id: 'dora' });
  const weak = await ably.auth.requestToken({ clientId: 'dora', capability: { '*': ['subscribe'] } });
  const body = new URLSearchParams({ socket_id: client.connection.socket_id, channel_name: 'private-x' });
  const refused = await fetch(`${runtime.url}/pusher/auth`, {
    method: 'POST', body, headers: { authorization: `Bearer ${Buffer.from(weak.token).toString('base64')}` },
  });
  assert.deepEqual([refused.status, (await refused.json()).error.code], [401, 40160]);
});

/** @param {object} body */
async function ban(body) {
  const authorization = `Basic ${Buffer.from('demo.key1:local-only').toString('base64')}`;
  const headers = { authorization, 'content-type': 'application/json' };
  const answer = await fetch(`${runtime.url}/apps/demo/bans`, { method: 'POST', headers, body: JSON.stringify(body) });
  assert.equal(answer.status, 201, await answer.text());
}

test('a banned user is sent away, comes in nowhere and is signed for no more', async (t) => {
  const [eva, fay] = ['eva', 'fay'].map((user_id) => pusherClient(t, runtime, { user: { user_id } }));
  await subscribed(eva, 'presence-banned');
  const { channel } = await subscribed(fay, 'presence-banned');
  const ably = await connected(t, runtime);
  const { token } = await ably.auth.requestToken({ clientId: 'eva' });
  const gone = next(channel, 'pusher:member_removed');
  const ended = next(eva.connection, 'disconnected');
  await ban({ clientId: 'eva', reason: 'spam' });
  await ended;
  assert.equal((await gone).id, 'eva');
  const again = pusherClient(t, runtime, { user: { user_id: 'eva' } });
  const refused = next(again.connection, 'error');
  again.subscribe('presence-banned');
  assert.match((await refused).data.message, /banned from this app \(spam\).*40300/s);
  for (const [path, asked] of [['auth', { channel_name: 'private-x' }], ['user-auth', {}]]) {
    const body = new URLSearchParams({ socket_id: '1.2', .../** @type {object} */ (asked) });
    const headers = { authorization: `Bearer ${Buffer.from(token).toString('base64')}` };
    const answer = await fetch(`${runtime.url}/pusher/${path}`, { method: 'POST', body, headers });
    assert.deepEqual([answer.status, (await answer.json()).error.code], [403, 40300]);
  }
});

test('a mute user says nothing, and hears on', async (t) => {
  const [gil, hal] = ['gil', 'hal'].map((user_id) => pusherClient(t, runtime, { user: { user_id } }));
  const { channel: mute } = await subscribed(gil, 'presence-mute');
  const { channel: other } = await subscribed(hal, 'presence-mute');
  await ban({ clientId: 'gil', channel: 'presence-mute', publishInterval: 0 });
  const refused = next(gil.connection, 'error');
  // Until the ban has arrived.
  let error;
  while (!error) {
    const heard = next(other, 'client-said').then(() => undefined);
    mute.trigger('client-said', 'x');
    error = await Promise.race([refused, heard]);
  }
  assert.match(error.data.message, /muted on this channel.*40300/s);
  const heard = next(mute, 'client-said');
  other.trigger('client-said', 'y');
  assert.equal(await heard, 'y');
});

test('Laravel Echo listens, whispers and sees who is there', async (t) => {
  const { default: Echo } = await import('laravel-echo');
  const echo = (/** @type {string} */ name) => {
    const client = pusherClient(t, runtime, { user: { user_id: name, user_info: { name } } });
    return new Echo({ broadcaster: 'pusher', client, key: 'demo.key1', namespace: false });
  };
  const [ann, bob] = [echo('Ann'), echo('Bob')];
  const here = await new Promise((resolve) => { ann.join('hall').here(resolve); });
  assert.deepEqual(here, [{ name: 'Ann' }]);
  const joined = new Promise((resolve) => { ann.join('hall').joining(resolve); });
  const whispered = new Promise((resolve) => { ann.join('hall').listenForWhisper('typing', resolve); });
  const announced = new Promise((resolve) => { ann.join('hall').listen('Announced', resolve); });
  await new Promise((resolve) => { bob.join('hall').here(resolve); });
  assert.deepEqual(await joined, { name: 'Bob' });
  bob.join('hall').whisper('typing', { who: 'bob' });
  assert.deepEqual(await whispered, { who: 'bob' });
  await serverLibrary(runtime).trigger('presence-hall', 'Announced', { text: 'hello' });
  assert.deepEqual(await announced, { text: 'hello' });
});

test('who says too much is told so, and goes on', async (t) => {
  const client = pusherClient(t, runtime);
  const other = pusherClient(t, runtime);
  const { channel } = await subscribed(client, 'private-busy');
  const heard = heardOn((await subscribed(other, 'private-busy')).channel);
  const refused = next(client.connection, 'error');
  for (let number = 0; number < 1_500; number++) channel.trigger('client-n', number);
  assert.equal((await refused).data.code, 4301);
  const events = await heard.until(500);
  const numbers = events.slice(0, 500).map(([, number]) => number);
  assert.deepEqual(numbers, Array.from({ length: 500 }, (_, number) => number));
  assert.equal(client.connection.state, 'connected');
});

test('a page in a browser subscribes, is authorised by a token and sends client events', { skip }, async (t) => {
  const ably = await connected(t, runtime, { clientId: 'ann' });
  const inbox = await Inbox.of(ably.channels.get('presence-page'));
  const { token } = await ably.auth.requestToken({ clientId: 'eve' });
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage({ bypassCSP: true });
  // Of another origin: the same machine by another name.
  await page.goto(`http://localhost:${runtime.port}/event/event.css`);
  await page.addScriptTag({ path: 'node_modules/pusher-js/dist/web/pusher.min.js' });
  const told = await page.evaluate(([host, port, bearer]) => new Promise((resolve, reject) => {
    const { Pusher } = /** @type {any} */ (window);
    const client = new Pusher('demo.key1', {
      cluster: 'any', wsHost: host, wsPort: Number(port), forceTLS: false, enabledTransports: ['ws'],
      channelAuthorization: { endpoint: `http://${host}:${port}/pusher/auth`, headers: { Authorization: bearer } },
    });
    const channel = client.subscribe('presence-page');
    channel.bind('pusher:subscription_error', (/** @type {any} */ error) => reject(new Error(JSON.stringify(error))));
    channel.bind('pusher:subscription_succeeded', (/** @type {any} */ members) => {
      channel.trigger('client-hello', { from: members.myID });
      resolve([members.myID, members.count]);
    });
  }), ['127.0.0.1', `${runtime.port}`, `Bearer ${Buffer.from(token).toString('base64')}`]);
  assert.deepEqual(told, ['eve', 1]);
  const [hello] = await inbox.until(1);
  assert.deepEqual([hello.name, hello.data, hello.clientId], ['client-hello', { from: 'eve' }, 'eve']);
});

// The last: the runtime dies.
test('a client comes back after the server died, and is subscribed again', async (t) => {
  const client = pusherClient(t, runtime, { user: { user_id: 'ann' } });
  const { channel } = await subscribed(client, 'kept');
  const { channel: presence } = await subscribed(client, 'presence-kept');
  const before = client.connection.socket_id;
  const heard = heardOn(channel);
  await runtime.kill();
  const again = [channel, presence].map((one) => next(one, 'pusher:subscription_succeeded'));
  await runtime.start();
  const [, members] = await Promise.all(again);
  assert.notEqual(client.connection.socket_id, before);
  assert.equal(members.me.id, 'ann');
  await serverLibrary(runtime).trigger('kept', 'after', {});
  assert.deepEqual(await heard.until(1), [['after', {}]]);
});
