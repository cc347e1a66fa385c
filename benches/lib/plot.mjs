/**
 * Grouped bar charts on a logarithmic axis, as SVG text. No library: they are pages of rectangles.
 *
 * @typedef {{ width: number, height: number, content: string }} Chart
 */

const size = { left: 64, right: 16, title: 36, legendLine: 16, plot: 220, bottom: 52, bar: 34, groupGap: 28, groupLeast: 100, least: 560 };
const palette = ['#0b7285', '#3bc9db', '#e8590c', '#f08c00', '#862e9c', '#495057', '#2b8a3e', '#c2255c', '#5c940d', '#ffa8a8'];

/**
 * @param {string} title
 * @param {string[][]} groups the lines of the label under each group of bars
 * @param {number[]} colours of the bars, one of each per group
 * @param {(group: number, bar: number) => import('./figures.mjs').Spread | undefined} value
 * @param {(value: number) => string} show
 * @returns {Chart}
 */
export function barChart(title, groups, colours, value, show) {
  const spreads = groups.map((_, group) => colours.map((_, index) => value(group, index)));
  const known = spreads.flat().filter((spread) => spread !== undefined);
  const low = 10 ** Math.floor(Math.log10(Math.min(...known.map((spread) => spread.low))));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...known.map((spread) => spread.high)) * 1.01));
  const bottom = size.title + size.plot;
  const y = (/** @type {number} */ at) => bottom - size.plot * Math.log10(at / low) / Math.log10(high / low);
  const barsWidth = colours.length * size.bar;
  const groupWidth = Math.max(barsWidth + size.groupGap, size.groupLeast);
  const width = Math.max(size.left + groups.length * groupWidth + size.right, size.least);

  const parts = [text(size.left, 16, title, 'font-weight="bold"')];
  for (let tick = low; tick <= high; tick *= 10) {
    parts.push(`<line x1="${size.left}" x2="${width - size.right}" y1="${y(tick)}" y2="${y(tick)}" stroke="#ced4da"/>`);
    parts.push(text(size.left - 6, y(tick) + 4, show(tick), 'text-anchor="end"'));
  }
  spreads.forEach((bars, group) => {
    const middle = size.left + (group + 0.5) * groupWidth;
    const left = middle - barsWidth / 2;
    bars.forEach((spread, index) => spread && parts.push(bar(left + index * size.bar, spread, colours[index], y, low, show)));
    groups[group].forEach((line, index) => parts.push(text(middle, bottom + 18 + index * 14, line, 'text-anchor="middle"')));
  });
  return { width, height: bottom + size.bottom, content: parts.join('\n') };
}

/**
 * A legend, whose lines are the names of colour 0, 1, …, and charts one below the other.
 * @param {string[]} legend
 * @param {Chart[]} charts
 */
export function page(legend, charts) {
  const width = Math.max(...charts.map((chart) => chart.width));
  const lines = legend.map((name, colour) => {
    const y = size.legendLine * (colour + 0.5);
    return rectangle(size.left, y, 10, 10, colour) + text(size.left + 14, y + 9, name);
  });
  let height = size.legendLine * (legend.length + 1);
  const placed = charts.map((chart) => {
    height += chart.height;
    return `<g transform="translate(0 ${height - chart.height})">\n${chart.content}\n</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" `
    + `font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>\n${[...lines, ...placed].join('\n')}\n</svg>\n`;
}

/**
 * A bar to the median, a whisker from the lowest to the highest.
 * @param {number} x
 * @param {import('./figures.mjs').Spread} spread
 * @param {number} colour
 * @param {(value: number) => number} y
 * @param {number} low
 * @param {(value: number) => string} show
 */
function bar(x, spread, colour, y, low, show) {
  const middle = x + size.bar / 2 - 2;
  return rectangle(x, y(spread.middle), size.bar - 4, Math.max(1, y(low) - y(spread.middle)), colour)
    + `<line x1="${middle}" x2="${middle}" y1="${y(spread.low)}" y2="${y(spread.high)}" stroke="black"/>`
    + text(middle, y(spread.high) - 4, show(spread.middle), 'text-anchor="middle" font-size="9"');
}

/** @param {number} x @param {number} y @param {number} width @param {number} height @param {number} colour */
function rectangle(x, y, width, height, colour) {
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${palette[colour % palette.length]}"/>`;
}

/** @param {number} x @param {number} y @param {string} content @param {string} [attributes] */
function text(x, y, content, attributes = '') {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`;
}
