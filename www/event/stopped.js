/**
 * Channels that the server ended, as for a client that was banned there or whose token allows less: the SDK does not
 * attach them again by itself. It is said, and tried again when the reader asks for it.
 */
import { button, byId, h } from './dom.js';
import { NAMES } from './names.js';
import { text } from './strings.js';

/** @param {import('ably').Realtime} ably with the channels that are followed */
export function followStopped({ channels, connection }) {
  const said = h('span');
  const note = h('p', { id: 'stopped', role: 'status', hidden: true }, said, button(text.stopped.again, again,
    { class: 'quiet' }));
  byId('banner').after(note);
  // The SDK has no type for it, and its specification has it (RTS2).
  /** @type {import('ably').RealtimeChannel[]} */
  const known = Object.values(/** @type {any} */ (channels).all);
  // A key of before names could be changed does not allow that, and all else goes on.
  const all = known.filter(({ name }) => name !== NAMES);
  for (const channel of all) channel.on(['attached', 'failed'], draw);

  const stopped = () => all.filter(({ state }) => state === 'failed');

  function draw() {
    // Where the connection itself failed, it has said so.
    const [first] = connection.state === 'connected' ? stopped() : [];
    const held = note.contains(document.activeElement);
    note.hidden = first === undefined;
    said.textContent = first ? text.stopped.why(first.errorReason?.message ?? '') : '';
    const main = document.querySelector('main');
    if (!held || !note.hidden || !main) return;
    main.tabIndex = -1;
    main.focus({ preventScroll: true });
  }

  /** What fails again is said again. */
  function again() {
    for (const channel of stopped()) channel.attach().catch(() => {});
  }
}
