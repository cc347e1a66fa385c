/** `npm start`: set up, build, and serve the worker with the demo app on this machine, as `courtside serve` does. */
import { build, say, setUp } from './setup.mjs';

await setUp();
await build();
say('Starting the server');

// Only now are its packages installed.
const { start } = await import('../bin/index.mjs');

/** Whether anybody on this machine may make apps: what SDK test suites ask for. Never said to a deployment. */
const sandbox = process.env.SANDBOX === 'true';

const options = { port: process.env.PORT ?? 8787, data: './courtside-data', sandbox, logLevel: 'error' };
const server = await start(options).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
const port = server.port;

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void server.stop().then(() => process.exit(0)));
greet();

function greet() {
  console.log(`
  Courtside is up: http://127.0.0.1:${port}   (Ctrl-C ends it)
  The demo key:    demo.key1:local-only${sandbox ? `
  The sandbox:     POST http://127.0.0.1:${port}/apps makes an app` : ''}

  Try it in another terminal, here in this folder, with \`node --input-type=module\`:

    const { default: Ably } = await import('ably');
    const ably = new Ably.Realtime({ key: 'demo.key1:local-only', endpoint: 'localhost', port: ${port}, tls: false });
    const channel = ably.channels.get('tennis-score-updates');
    await channel.subscribe('score', (message) => console.log(message.data));
    await channel.publish('score', 'Game Point!');
`);
}
