/**
 * Signals that must not end a server, nor open a door of it, from the first instant on in which it can hear any. It is
 * imported before all else.
 */

/** What to do at a SIGHUP; until it is known, one that came is kept. */
let reload = () => { isAsked = true; };
let isAsked = false;

// Without a listener SIGUSR1 opens Node's debugger, and SIGUSR2 ends the process.
for (const signal of ['SIGUSR1', 'SIGUSR2']) process.on(signal, () => {});
if (process.argv[2] === 'serve') process.on('SIGHUP', () => reload());

/** Has it called for each SIGHUP, also for one that came before. @param {() => void} act */
export function onReload(act) {
  reload = act;
  if (isAsked) act();
}
