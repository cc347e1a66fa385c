/** `npm start`: set up, build, and serve the worker with the demo app on this machine. */
import { spawn } from 'node:child_process';
import { greeting } from './greeting.mjs';
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
  console.log(greeting(port, sandbox));
});

// Ctrl-C reaches wrangler by itself, as it is of our process group; a lone SIGTERM does not. Either way we leave last.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => server.kill('SIGTERM'));
server.on('exit', (code, signal) => process.exit(signal ? 0 : code ?? 0));
