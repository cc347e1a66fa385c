/** Whoever watches a deployment sees by which door each connection came in, and no door is a way around a bound. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { after } from 'node:test';
import { connected, rest, wholeHistory } from './clients.mjs';
import { doors } from './doors.mjs';
import { Raw, versions } from './mqtt_clients.mjs';
import { startRuntime } from './runtime.mjs';

const token = 'an-admin-token-of-this-test';
const apps = { apps: [{ id: 'demo', keys: [{ name: 'key1', secret: 'local-only', capability: { '*': ['*'] }, pusher: true }], namespaces: [] }] };
const runtime = await startRuntime(apps, { variables: { ADMIN_TOKEN: token }, tellsCounts: true });
after(() => runtime.stop());

/** @param {string} path */
const ask = (path) => fetch(runtime.url + path, { headers: { authorization: `Bearer ${token}` } });

const names = ['pusher', 'socketio', 'mqtt', 'mqtt'];

test('an operator sees by which door each connection came in, and metrics count them', async (t) => {
  await connected(t, runtime, { clientId: 'sdk' });
  const channel = (/** @type {number} */ index) => doors[index].channel(`watched-${index}`);
  await Promise.all(doors.map(({ come }, index) => come(t, runtime, channel(index))));
  const shown = await (await ask('/apps/demo/connections?limit=100')).json();
  const of = (/** @type {string} */ name) => shown.filter((/** @type {any} */ one) => one.channels.includes(name))
    .map((/** @type {any} */ one) => `${one.transport} ${one.protocol}`);
  assert.deepEqual(doors.map((_, index) => of(channel(index))), names.map((name) => [`websocket ${name}`]));
  const sdk = shown.find((/** @type {any} */ one) => one.clientId === 'sdk');
  assert.deepEqual([sdk.transport, sdk.protocol], ['websocket', 'ably']);

  const counts = async () => {
    const text = await (await ask('/metrics')).text();
    return Object.fromEntries([...text.matchAll(/connections_by_door_total\{door="(\w+)"\} (\d+)/g)].map(([, door, count]) => [door, Number(count)]));
  };
  /** @type {Record<string, number>} */
  let counted = {};
  // Objects report what they counted when they have time.
  while (!(counted.pusher >= 1 && counted.socketio >= 1 && counted.mqtt >= 2)) counted = await counts();
  assert.deepEqual(counted, { pusher: 1, socketio: 1, mqtt: 2 });
});

test('a WebSocket at a path that is no door is told so, whatever it brings', async () => {
  for (const path of ['/elsewhere', '/ws', '/mqtt/', '/app/demo.key1/more', '/channels/c/messages']) {
    const socket = new WebSocket(`${runtime.url.replace('http', 'ws')}${path}?key=demo.key1:local-only`);
    const [{ data }] = await once(socket, 'message');
    const { action, error } = JSON.parse(data);
    assert.deepEqual([action, error.statusCode, error.code], [9, 404, 40400], path);
    socket.close();
  }
});

test('Socket.IO: who publishes too fast is refused, and what was acknowledged is there', async (t) => {
  const client = await doors[1].come(t, runtime, 'fast');
  const outcomes = await Promise.allSettled(Array.from({ length: 1_500 }, (_, index) => client.publish(`${index}`)));
  const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.code] : []));
  assert.deepEqual([...new Set(refused)], [42911]);
  const acknowledged = outcomes.flatMap(({ status }, index) => (status === 'fulfilled' ? [`${index}`] : []));
  const history = new Set((await wholeHistory(rest(runtime).channels.get('fast'))).map(({ data }) => data));
  assert.deepEqual(acknowledged.filter((text) => !history.has(text)), [], 'what was acknowledged is not there');
});

for (const { version, protocolVersion } of versions) {
  test(`MQTT ${version}: who publishes too fast is cut off, since nobody could say what is lost`, async () => {
    const client = new Raw(runtime, { protocolVersion });
    await client.connect();
    const packet = client.bytes({ cmd: 'publish', topic: `fast/${protocolVersion}`, payload: 'x' });
    for (let frame = 0; frame < 15; frame++) client.say(...Array.from({ length: 100 }, () => packet));
    const told = await client.closed;
    assert.deepEqual(told.slice(1).map(({ cmd, reasonCode }) => [cmd, reasonCode]), protocolVersion === 5 ? [['disconnect', 0x97]] : []);
  });
}
