/** Slides in step with the presenter. Anyone may leaf through them alone, and go back to the presenter. */
import { button, h } from './dom.js';
import { text } from './strings.js';

/** @typedef {import('./main.js').Context} Context */

const DECK_MAX = 20_000;

/** @param {HTMLElement} element @param {Context} context */
export function slides(element, { role, shared, attempt }) {
  const slide = h('div', { class: 'slide', tabindex: '0', role: 'region', 'aria-label': text.part.slides,
    'aria-live': 'polite' });
  const where = h('span', { class: 'where' });
  const step = h('span', { class: 'step' });
  const previous = button(text.slides.previous, () => go(-1));
  const next = button(text.slides.next, () => go(1));
  const back = button(text.slides.back, () => {
    alone = undefined;
    draw();
    // The button that had the keyboard is hidden.
    slide.focus({ preventScroll: true });
  }, { class: 'primary', hidden: true });
  const full = button(text.slides.full, () => attempt(fill),
    { class: 'quiet', hidden: !document.fullscreenEnabled });
  const controls = h('div', { class: 'row controls' }, previous, next, where, step, back, full);
  element.append(slide, controls);
  if (role === 'host') element.append(editor({ shared, attempt }));
  slide.addEventListener('keydown', (event) => {
    const isRightToLeft = getComputedStyle(slide).direction === 'rtl';
    const forth = [isRightToLeft ? 'ArrowLeft' : 'ArrowRight', 'PageDown'].includes(event.key);
    const back = [isRightToLeft ? 'ArrowRight' : 'ArrowLeft', 'PageUp'].includes(event.key);
    // With Alt and the like a key is the browser's own.
    if (!(forth || back) || event.altKey || event.ctrlKey || event.metaKey) return;
    // The page stays where it is.
    event.preventDefault();
    go(forth ? 1 : -1);
  });

  /** Where this reader is, if it is not where the presenter is. @type {number | undefined} */
  let alone;
  /** Where the presenter has pressed on to, until all have been told. @type {number | undefined} */
  let wanted;
  const deck = () => deckOf(shared.now.deck);
  const presenter = () => Math.min(Math.max(0, shared.now.slide ?? 0), Math.max(0, deck().length - 1));
  const at = () => Math.min(alone ?? wanted ?? presenter(), Math.max(0, deck().length - 1));

  async function fill() {
    await slide.requestFullscreen();
    // For its keys.
    slide.focus();
  }

  /** @param {number} by */
  function go(by) {
    const to = Math.min(Math.max(0, at() + by), deck().length - 1);
    if (deck().length === 0 || to === at()) return;
    if (role === 'host') {
      wanted = to;
      void attempt(tell, 'slide');
    } else {
      alone = to === presenter() ? undefined : to;
    }
    draw();
  }

  /** Each press is a step from the last one. What is pressed while one is told goes out together, after it. */
  async function tell() {
    try {
      for (let told; told !== wanted;) {
        told = wanted;
        await shared.set('slide', told);
      }
    } finally {
      wanted = undefined;
      draw();
    }
  }

  function draw() {
    const all = deck();
    const [title, ...points] = all[at()] ?? [];
    const shown = title === undefined ? [h('p', { class: 'empty' }, text.slides.none)]
      : [h('h3', { dir: 'auto' }, title), h('ul', { dir: 'auto' }, ...points.map((point) => h('li', {}, point)))];
    slide.replaceChildren(...shown);
    where.textContent = all.length > 0 ? text.slides.now(at() + 1, all.length) : '';
    step.textContent = all.length === 0 || role === 'host' ? '' : alone === undefined ? text.slides.live
      : text.slides.apart(presenter() + 1);
    back.hidden = alone === undefined;
    controls.hidden = all.length === 0;
  }
  shared.on(draw);
}

/** One slide per paragraph. @param {unknown} written */
function deckOf(written) {
  const paragraphs = String(written ?? '').slice(0, DECK_MAX).split(/\n\s*\n/u);
  const slides = paragraphs.map((paragraph) => paragraph.split('\n').map((line) => line.trim()).filter(Boolean));
  return slides.filter((lines) => lines.length > 0);
}

/** @param {Pick<Context, 'shared' | 'attempt'>} context */
function editor({ shared, attempt }) {
  const input = h('textarea', { id: 'deck', rows: 11, maxlength: DECK_MAX });
  input.value = shared.now.deck ?? text.slides.starter;
  shared.on(({ deck }) => { if (deck !== undefined && document.activeElement !== input) input.value = deck; });
  return h('details', { class: 'panel', open: true }, h('summary', {}, text.slides.deck),
    h('div', { class: 'field' }, h('label', { for: 'deck' }, text.slides.help), input),
    button(text.slides.show, () => attempt(async () => {
      await shared.set('deck', input.value);
      await shared.set('slide', 0);
    }, 'deck'), { class: 'primary' }));
}
