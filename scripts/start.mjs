/** `npm start`: set up, build, and serve the worker with the demo app on this machine, as `courtside serve` does. */
import { greeting } from './greeting.mjs';
import { build, say, setUp } from './setup.mjs';

await setUp();
await build();
say('Starting Courtside');
// Not before what it needs is installed.
const { start } = await import('../bin/index.mjs');
const { standBy } = await import('./crowd.mjs');

/** Whether anybody on this machine may make apps: what SDK test suites ask for. Never said to a deployment. */
const sandbox = process.env.SANDBOX === 'true';

const options = { port: process.env.PORT ?? 8787, data: './courtside-data', sandbox, logLevel: 'error' };
const server = await start(options).catch((error) => {
  console.error(error.message);
  process.exit(1);
});

const crowd = standBy({ url: server.url, clientOptions: server.clientOptions, key: server.key ?? '' });
const stop = async () => {
  await crowd.then((maker) => maker.stop(), () => {});
  await server.stop();
  process.exit(0);
};
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void stop());
console.log(greeting(server.port, sandbox));
