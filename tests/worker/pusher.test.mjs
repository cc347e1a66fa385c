/** The door for Pusher Channels, through `pusher-js` and beside the `ably` SDK (docs/protocol.md § 26). */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Inbox, connected } from './clients.mjs';
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
    channelAuthorization: { customHandler: (_, done) => done(null, { auth: `demo.key1:${'0'.repeat(64)}` }) },
  });
  const error = await next(wrong.subscribe('private-room'), 'pusher:subscription_error');
  assert.deepEqual([error.type, error.status], ['AuthError', 401]);
  assert.match(error.error, /40101/);
});

test('users of a presence channel come and go once, however many connections they have', async (t) => {
  const user = (id, name) => ({ user: { user_id: id, user_info: { name } } });
  const ann = pusherClient(t, runtime, user('ann', 'Ann'));
  const { channel, told } = await subscribed(ann, 'presence-room');
  assert.deepEqual([told.count, told.members, told.me.id], [1, { ann: { name: 'Ann' } }, 'ann']);
  const changes = [];
  let changed = () => {};
  for (const event of ['pusher:member_added', 'pusher:member_removed']) {
    channel.bind(event, (member) => {
      changes.push([event.slice(14), member.id, member.info?.name]);
      changed();
    });
  }
  const until = (count) => new Promise((resolve) => {
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
