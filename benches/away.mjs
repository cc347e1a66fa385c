/**
 * How long clients of the `ably` SDK are away from `courtside serve`, at `npx node benches/away.mjs [clients]
 * [rounds]`, 100 and 10 unless said: when its runtime is killed, when it is started anew on a socket that systemd
 * would hold, and when it is started anew on its own.
 */
import fs from 'node:fs';
import path from 'node:path';
import Ably from 'ably';
import { listen } from '../bin/listening.mjs';
import { Served, folder } from '../tests/serve/served.mjs';

const [clients, rounds] = [Number(process.argv[2] ?? 100), Number(process.argv[3] ?? 10)];
/** @type {(() => any)[]} */
const ends = [];
const scope = { after: (/** @type {() => any} */ end) => void ends.unshift(end) };

const apps = path.join(folder(scope), 'apps.json');
const secret = 'a-secret-of-this-measurement';
fs.writeFileSync(apps, JSON.stringify({ apps: [{ id: 'own', keys: [{ name: 'main', secret }] }] }));
const given = await listen('127.0.0.1', 0);

const killed = await Served.start(scope, { args: ['--apps', apps] });
await measure('the runtime is killed', killed, async () => process.kill(killed.runtimePid, 'SIGKILL'));
const handedOn = await Served.start(scope, { args: ['--apps', apps], sockets: given.descriptors });
await measure('restart on a socket that was given', handedOn, () => restart(handedOn));
const alone = await Served.start(scope, { args: ['--apps', apps, '--drain', '5'] });
await measure('restart', alone, () => restart(alone));

for (const end of ends) await end();
await given.close();

/** @param {Served} served */
async function restart(served) {
  await served.stop();
  await served.start();
}

/** @param {string} what @param {Served} served @param {() => Promise<unknown>} act */
async function measure(what, served, act) {
  const crowd = Array.from({ length: clients }, () => new Ably.Realtime({ key: `own.main:${secret}`, ...served.clientOptions, logLevel: 0 }));
  await Promise.all(crowd.map(({ connection }) => connection.once('connected')));
  /** @type {{ ms: number, tries: number }[]} */
  const absences = [];
  for (let round = 0; round < rounds; round++) {
    const back = crowd.map(({ connection }) => absence(connection));
    await act();
    absences.push(...await Promise.all(back));
  }
  const sorted = absences.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (/** @type {number} */ share) => `${((sorted[Math.floor(share * (sorted.length - 1))] ?? 0) / 1_000).toFixed(2)} s`;
  const first = absences.filter(({ tries }) => tries === 1).length;
  console.log(`${what}: away ${at(0.5)} (median), ${at(1)} (longest); at the first try ${first} of ${absences.length}`);
  for (const client of crowd) client.close();
}

/** @param {import('ably').Connection} connection @returns {Promise<{ ms: number, tries: number }>} */
function absence(connection) {
  return new Promise((resolve) => {
    let began = 0;
    let tries = 0;
    const follow = (/** @type {import('ably').ConnectionStateChange} */ { current }) => {
      if (current === 'disconnected') began ||= performance.now();
      if (current === 'connecting') tries++;
      if (current !== 'connected') return;
      connection.off(follow);
      resolve({ ms: performance.now() - began, tries });
    };
    connection.on(follow);
  });
}
