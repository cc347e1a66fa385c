/** `npm start`: set up, build, and serve the worker with the demo app on this machine. */
import { spawn } from 'node:child_process';
import { build, env, root, say, setUp } from './setup.mjs';

const port = process.env.PORT ?? '8787';

setUp();
build();
say('Starting wrangler dev');

/** Whether anybody on this machine may make apps: what SDK test suites ask for. Never said to a deployment. */
const sandbox = process.env.SANDBOX === 'true';

// `--local` and the explicit file keep the demo key on this machine: nothing else ever reads it.
const server = spawn('wrangler', ['dev', '--local', '--ip', '127.0.0.1', '--port', port, '--env-file', '.ci/local.env',
  '--show-interactive-dev-session=false', ...(sandbox ? ['--var', 'SANDBOX:true'] : [])], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });

let greeted = false;
server.stdout.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
  process.stdout.write(text);
  if (greeted || !text.includes('Ready on')) return;
  greeted = true;
  greet();
});

// Ctrl-C reaches wrangler by itself, as it is of our process group; a lone SIGTERM does not. Either way we leave last.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => server.kill('SIGTERM'));
server.on('exit', (code, signal) => process.exit(signal ? 0 : code ?? 0));

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
