/** The published Spaces SDK, unchanged: members, locations, locks and cursors of a space with several clients. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import * as spacesModule from '@ably/spaces';
import { connected, formats } from './clients.mjs';
import { startRuntime } from './runtime.mjs';

const runtime = await startRuntime();
after(() => runtime.stop());

// A CommonJS module, whose default Node has one level deeper.
const Spaces = /** @type {any} */ (spacesModule.default).default ?? spacesModule.default;

/** @type {import('ably').Realtime[]} */
const clients = [];

/** Before any client closes: the SDK asks for members at each event, and would never hear that it cannot. */
function quiet() {
  const channels = clients.splice(0).flatMap((client) => Object.values(client.channels.all));
  channels.forEach((channel) => channel.presence.unsubscribe());
}

/**
 * A client that is in a space, which forgets at once who leaves.
 * @param {import('node:test').TestContext} t
 * @param {string} name
 * @param {import('ably').ClientOptions} options
 */
async function inSpace(t, name, options) {
  t.after(quiet);
  const client = await connected(t, runtime, options);
  clients.push(client);
  const space = await new Spaces(client).get(name, { offlineTimeout: 1 });
  await space.enter({ name: options.clientId });
  return { client, space };
}

/**
 * The first event of these that is wanted.
 * @param {any} emitter @param {string} event @param {(event: any) => unknown} isWanted
 * @returns {Promise<any>}
 */
function once(emitter, event, isWanted) {
  return new Promise((resolve) => emitter.subscribe(event, (/** @type {any} */ update) => {
    if (isWanted(update)) resolve(update);
  }));
}

for (const { format, useBinaryProtocol } of formats) {
  test(`members of a space see each other come, move and go (${format})`, async (t) => {
    const { space: ann } = await inSpace(t, `deck-${format}`, { clientId: 'ann', useBinaryProtocol });
    const entered = once(ann.members, 'enter', ({ clientId }) => clientId === 'bob');
    const { space: bob } = await inSpace(t, `deck-${format}`, { clientId: 'bob', useBinaryProtocol });
    assert.deepEqual((await entered).profileData, { name: 'bob' });
    assert.deepEqual((await bob.members.getAll()).map((/** @type {any} */ { clientId }) => clientId).sort(), ['ann', 'bob']);

    const moved = once(ann.locations, 'update', ({ member }) => member.clientId === 'bob');
    await bob.locations.set({ slide: 3 });
    assert.deepEqual((await moved).currentLocation, { slide: 3 });
    assert.deepEqual(Object.values(await ann.locations.getOthers()), [{ slide: 3 }]);

    const renamed = once(ann.members, 'updateProfile', ({ clientId }) => clientId === 'bob');
    await bob.updateProfileData((/** @type {any} */ profile) => ({ ...profile, color: 'red' }));
    assert.deepEqual((await renamed).profileData, { name: 'bob', color: 'red' });

    const left = once(ann.members, 'leave', ({ clientId }) => clientId === 'bob');
    const removed = [ann, bob].map(({ members }) => once(members, 'remove', ({ clientId }) => clientId === 'bob'));
    await bob.leave({ name: 'bob, gone' });
    assert.deepEqual((await left).profileData, { name: 'bob, gone' });
    await Promise.all(removed);
  });

  test(`a component is locked by one member at a time, also for who comes later (${format})`, async (t) => {
    const { space: ann } = await inSpace(t, `locks-${format}`, { clientId: 'ann', useBinaryProtocol });
    const { space: bob } = await inSpace(t, `locks-${format}`, { clientId: 'bob', useBinaryProtocol });
    const locked = once(bob.locks, 'update', ({ id, status }) => id === 'title' && status === 'locked');
    const granted = once(ann.locks, 'update', ({ status }) => status === 'locked');
    await ann.locks.acquire('title', { attributes: { part: 1 } });
    assert.deepEqual([(await locked).member.clientId, (await locked).attributes], ['ann', { part: 1 }]);
    await granted;
    // The SDK asks for it, sees whose it is, and lets go.
    const denied = once(bob.locks, 'update', ({ member, status }) => member.clientId === 'bob' && status === 'unlocked');
    await bob.locks.acquire('title');
    assert.equal((await denied).reason.code, 101003);

    const { client } = await inSpace(t, `locks-${format}`, { clientId: 'eve', useBinaryProtocol });
    const channel = `locks-${format}::$space`;
    const { items } = await client.request('GET', `/channels/${encodeURIComponent(channel)}/presence`, 6, { clientId: 'ann' });
    for (const [member] of [items, await client.channels.get(channel).presence.get({ clientId: 'ann' })]) {
      const [{ id, attributes, timestamp }] = member.extras.locks;
      assert.deepEqual([id, attributes, typeof timestamp], ['title', { part: 1 }, 'number']);
    }

    const unlocked = once(bob.locks, 'update', ({ id, status }) => id === 'title' && status === 'unlocked');
    await ann.locks.release('title');
    await unlocked;
    await bob.locks.acquire('title');
  });

  test(`cursors move, and their last places can be read (${format})`, async (t) => {
    const { space: ann, client } = await inSpace(t, `cursors-${format}`, { clientId: 'ann', useBinaryProtocol });
    const { space: bob, client: other } = await inSpace(t, `cursors-${format}`, { clientId: 'bob', useBinaryProtocol });
    const seen = once(bob.cursors, 'update', ({ position }) => position.x === 9);
    const last = once(bob.cursors, 'update', ({ position }) => position.x === 10);
    // The SDK sends none before it knows of another member, which may be any number of moves away.
    const move = (/** @type {number} */ x) => ann.cursors.set({ position: { x, y: 1 }, data: { state: 'drag' } });
    const moving = setInterval(() => move(9), 20);
    await seen.finally(() => clearInterval(moving));
    // The SDK sends by a timer of its own: after this one it has no more to send.
    await move(10);
    await last;
    assert.deepEqual([(await seen).clientId, (await seen).data], ['ann', { state: 'drag' }]);
    const stored = (await bob.cursors.getAll())[String(client.connection.id)];
    assert.deepEqual([stored?.clientId, stored?.position], ['ann', { x: 10, y: 1 }]);
    // What the SDK does without waiting is acknowledged before this is.
    for (const one of [client, other]) await one.channels.get(`cursors-${format}::$cursors`).publish('done', null);
  });

  test(`a space tells who is where and has what, of oneself and of others (${format})`, async (t) => {
    const { space: ann, client } = await inSpace(t, `all-${format}`, { clientId: 'ann', useBinaryProtocol });
    const { space: bob, client: other } = await inSpace(t, `all-${format}`, { clientId: 'bob', useBinaryProtocol });
    const [own, others] = [client, other].map(({ connection }) => String(connection.id));
    const updated = once(ann, 'update', ({ members }) => members.some((/** @type {any} */ { location }) => location?.slide === 2));
    await ann.locations.set({ slide: 1 });
    await bob.locations.set({ slide: 2 });
    await updated;
    const { members } = await ann.getState();
    assert.deepEqual(members.map((/** @type {any} */ { clientId, isConnected }) => [clientId, isConnected]).sort(), [['ann', true], ['bob', true]]);
    assert.equal((await ann.members.getSelf()).connectionId, own);
    assert.deepEqual((await ann.members.getOthers()).map((/** @type {any} */ { connectionId }) => connectionId), [others]);
    assert.deepEqual(await ann.locations.getSelf(), { slide: 1 });
    assert.deepEqual(await ann.locations.getAll(), { [own]: { slide: 1 }, [others]: { slide: 2 } });

    const both = Promise.all([ann, bob].flatMap(({ locks }) => ['a', 'b'].map((wanted) => once(locks, 'update', ({ id, status }) => id === wanted && status === 'locked'))));
    await ann.locks.acquire('a');
    await bob.locks.acquire('b');
    await both;
    const ids = (/** @type {any[]} */ locks) => locks.map(({ id }) => id).sort();
    assert.deepEqual([ids(await ann.locks.getAll()), ids(await ann.locks.getSelf()), ids(await ann.locks.getOthers())], [['a', 'b'], ['a'], ['b']]);
    assert.equal(ann.locks.get('b').member.clientId, 'bob');
    // A lock goes with its member, and both hear that, once.
    const freed = once(ann.locks, 'update', ({ id, status }) => id === 'b' && status === 'unlocked');
    await bob.leave();
    await freed;
    assert.deepEqual([ids(await ann.locks.getAll()), ann.locks.get('b')], [['a'], undefined]);

    let told = 0;
    const count = () => told++;
    ann.subscribe('update', count);
    ann.unsubscribe('update', count);
    const again = once(ann, 'update', () => true);
    await ann.updateProfileData({ name: 'ann, again' });
    await again;
    assert.deepEqual([told, (await ann.members.getSelf()).profileData], [0, { name: 'ann, again' }]);
  });
}
