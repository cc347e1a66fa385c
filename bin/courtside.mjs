#!/usr/bin/env node
/** The command `courtside`. */
import fs from 'node:fs';
import { onReload } from './signals.mjs';

// What is imported at the top is read before anything runs: the rest must not keep signals waiting.
const { Progress } = await import('./client/terminal.mjs');
const { commands: others, help: helpOf, load, read, summary } = await import('./command.mjs');
const { SIGNAL_TWICE_MS } = await import('./limits.mjs');
const { Log } = await import('./log.mjs');
const { BadOption, dataFolder, readOptions, readPlaces, unknownVariables, usage } = await import('./options.mjs');

const forms = {
  serve: 'courtside serve [options]             serve, until SIGTERM; SIGHUP reads the apps again',
  backup: 'courtside backup [--data DIR] DEST    copy what is kept into an empty directory, also while it is served',
  restore: 'courtside restore [--data DIR] FROM   copy it back, into a data directory that is empty',
};
const codes = 'Exit codes: 0 done, 1 failed, 2 wrong usage.\n';
const places = `  --data DIR  where everything is kept (${dataFolder}); COURTSIDE_DATA says it, too\n`;
const ofServe = `each can be set by the environment, too, such as COURTSIDE_PORT:\n\n${usage()}\n\n${codes}`;

const help = `${Object.values(forms).join('\n')}
${summary()}
courtside --help | --version          courtside COMMAND --help says more of each

Options of serve; ${ofServe}`;

/** What `--help` says of each. */
const helps = {
  serve: `${forms.serve}\n\nOptions; ${ofServe}`,
  backup: `${forms.backup}\n\n${places}\n${codes}`,
  restore: `${forms.restore}\n\n${places}\n${codes}`,
};

const commands = { serve, backup, restore };

// Who reads may have enough, as `head` does.
process.stdout.on('error', (error) => process.exit(/** @type {any} */ (error).code === 'EPIPE' ? 0 : 1));

const [command = '--help', ...args] = process.argv.slice(2);
try {
  if (Object.hasOwn(others, command)) await other(command);
  else if (Object.hasOwn(commands, command)) await own(/** @type {keyof typeof commands} */ (command));
  else if (command === '--help' || args.includes('--help')) process.stdout.write(help);
  else if (command === '--version') process.stdout.write(`${version()}\n`);
  else throw new BadOption(`there is no command ${command}; see courtside --help`);
} catch (error) {
  const { message } = /** @type {Error} */ (error);
  process.stderr.write(`courtside: ${message}\n`);
  process.exit(error instanceof BadOption ? 2 : 1);
}

/** @param {string} name */
async function other(name) {
  const command = await load(name);
  const ends = args.indexOf('--');
  if (args.slice(0, ends < 0 ? args.length : ends).includes('--help')) process.stdout.write(helpOf(name, command));
  else {
    const { values, places } = read(name, command, args, process.env);
    process.exitCode = await command.run(values, places) ?? 0;
  }
}

/** @param {keyof typeof commands} name */
async function own(name) {
  if (args.includes('--help')) process.stdout.write(helps[name]);
  else await commands[name]();
}

async function serve() {
  const settings = readOptions(args, process.env);
  const { Server } = await import('./server.mjs');
  const log = new Log(settings.logLevel);
  const unknown = unknownVariables(process.env);
  const note = 'no option of serve has such a name; see courtside serve --help';
  if (unknown.length > 0) log.say('warn', 'unknown variables', { variables: unknown, note });
  const server = new Server(settings, log);
  const stop = () => void server.stop().then(() => process.exit(0));
  let signalledAt = 0;
  const signalled = () => {
    if (signalledAt > 0 && Date.now() - signalledAt >= SIGNAL_TWICE_MS) return server.hasten();
    signalledAt ||= Date.now();
    stop();
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT']) process.on(signal, signalled);
  // A server outlives whoever reads its log, and a full disk of logs, but not its terminal.
  process.stdout.removeAllListeners('error').on('error', (error) => {
    if (/** @type {any} */ (error).code === 'EIO') stop();
  });
  const notRead = (/** @type {Error} */ { message }) => log.say('error', 'apps not read', { message });
  // All options are read: a configuration file may hold the apps.
  const reload = async () => server.reload(readOptions(args, process.env).apps);
  onReload(() => void reload().catch(notRead));
  await server.start();
}

async function backup() {
  const { data, place } = readPlaces(args, process.env, 'backup');
  const copied = await import('./backup.mjs');
  const { objects, damaged } = await withProgress((tell) => copied.backup(data, place, version(), tell));
  process.stdout.write(`${objects} objects copied\n`);
  if (damaged.length > 0) throw new Error(`some could not be read, and are not in the backup:\n${damaged.join('\n')}`);
}

async function restore() {
  const { data, place } = readPlaces(args, process.env, 'restore');
  const copied = await import('./backup.mjs');
  const { objects, damaged } = await withProgress((tell) => copied.restore(data, place, tell));
  process.stdout.write(`${objects} objects restored\n`);
  if (damaged.length > 0) throw new Error(`some are not in the backup, as they could not be read:\n${damaged.join('\n')}`);
}

/** @template T @param {(tell: import('./backup.mjs').Tell) => Promise<T>} act */
async function withProgress(act) {
  const progress = new Progress();
  try {
    return await act((part, what) => progress.tell(part, what));
  } finally {
    progress.end();
  }
}

function version() {
  return JSON.parse(fs.readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
}
