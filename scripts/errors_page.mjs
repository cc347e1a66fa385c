/** The page that errors lead to, `/errors#40160`: docs/errors.md, with a place for each code. */

/** @param {string} markdown */
export function errorsPage(markdown) {
  const [, title = '', ...blocks] = markdown.split(/^# (.*)\n+|\n{2,}/m).filter((block) => block !== undefined);
  const body = blocks.filter((block) => block.trim() !== '').map(blockOf).join('\n');
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Courtside: ${inline(title)}</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/errors.css">
</head>
<body>
<main>
<h1>${inline(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

/** @param {string} block a table or a paragraph */
function blockOf(block) {
  if (!block.startsWith('|')) return `<p>${inline(block)}</p>`;
  const [head = '', , ...rows] = block.trim().split('\n');
  const titles = cells(head).map((text) => `<th scope="col">${inline(text)}</th>`).join('');
  return `<div><table>\n<thead><tr>${titles}</tr></thead>\n<tbody>\n${rows.map(row).join('\n')}\n</tbody>\n</table></div>`;
}

/** @param {string} line */
function row(line) {
  const [code = '', ...others] = cells(line);
  const rest = others.map((text) => `<td>${inline(text)}</td>`).join('');
  return `<tr id="${inline(code)}"><th scope="row">${inline(code)}</th>${rest}</tr>`;
}

/** @param {string} line */
const cells = (line) => line.split('|').slice(1, -1).map((cell) => cell.trim());

/** Links lead to other documents, which are not here. @param {string} text */
function inline(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/`([^`]*)`/g, '<code>$1</code>');
}
