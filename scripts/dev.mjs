/** `npm run dev`: the demo app behind `wrangler dev`, which builds again whenever the source changes. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { build, env, root, say, setUp } from './setup.mjs';

await setUp();
await build();
say('Starting wrangler dev');

// `--local` and the explicit file keep the demo key on this machine: nothing else ever reads it.
const file = path.join(root, 'target/dev.env');
const apps = fs.readFileSync(path.join(root, 'bin/demo.json'), 'utf8').trim();
const sandbox = process.env.SANDBOX === 'true' ? 'SANDBOX=true\n' : '';
const port = process.env.PORT ?? '8787';
const errors = `http://127.0.0.1:${port}/errors#`;
fs.writeFileSync(file, `SHORT_SECRETS=true\nEVENT_KEY=demo.event\nERRORS_URL='${errors}'\nAPPS='${apps}'\n${sandbox}`);
const args = ['dev', '--local', '--ip', '127.0.0.1', '--port', port, '--env-file', file];
const server = spawn('wrangler', args, { cwd: root, env, stdio: 'inherit' });

// Ctrl-C reaches wrangler by itself, as it is of our process group; a lone SIGTERM does not. Either way we leave last.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => server.kill('SIGTERM'));
server.on('exit', (code, signal) => process.exit(signal ? 0 : code ?? 0));
