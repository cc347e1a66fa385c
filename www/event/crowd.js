/** The stage's button for a crowd of simulated attendees, shown while a local server is there that makes one. */
import { button, h } from './dom.js';
import { text } from './strings.js';

/** @typedef {import('./main.js').Context} Context */

const SIZE = 200;

/** @param {HTMLElement} element @param {Context} context */
export function crowd(element, { ably, attempt }) {
  const section = /** @type {HTMLElement} */ (element.closest('section'));
  const channel = ably.channels.get('event:crowd');
  const note = h('p', { class: 'note', role: 'status' });
  const come = () => attempt(() => channel.publish('come', { size: SIZE }), 'crowd');
  const go = button(text.crowd.go, come, { class: 'primary' });
  element.append(h('p', { class: 'faint' }, text.crowd.intro), go, note);
  const look = async () => {
    const makers = await channel.presence.get();
    section.hidden = makers.length === 0;
    const here = Number(makers[0]?.data?.here ?? 0);
    go.disabled = here > 0;
    note.textContent = here > 0 ? text.crowd.running(here) : '';
  };
  channel.presence.subscribe(() => void look().catch(() => {})).then(look).catch(() => {});
}
