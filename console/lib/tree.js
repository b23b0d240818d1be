// A JSON text as a tree. Only what is open is read: a document of a megabyte is shown at once.
import { html, useState } from './html.js';
import { membersOf, rootOf } from './jsontext.js';

/**
 * Tree shows a text. Objects and lists are closed, except for the first ones.
 * @param {{label: string, text: string}} props
 */
export function Tree({ label, text }) {
  return html`<div class="tree" role="group" aria-label=${label}>
    <ul><${Node} text=${text} value=${rootOf(text)} name="" open=${2} /></ul></div>`;
}

const shownAtOnce = 200;

/**
 * Node is a value. open is how many levels of it are open at first.
 * @param {{text: string, value: import('./jsontext.js').Value, name: string, open: number}} props
 */
function Node({ text, value, name, open }) {
  const [expanded, setExpanded] = useState(open > 0);
  const first = text[value.start];
  if (first !== '{' && first !== '[') {
    return html`<li><${Name} name=${name} /><${Scalar} text=${text} value=${value} /></li>`;
  }
  const what = first === '{' ? 'object' : 'list';
  if (/^.\s*.$/.test(text.slice(value.start, value.end))) {
    return html`<li><${Name} name=${name} /><code>${first === '{' ? '{}' : '[]'}</code></li>`;
  }
  return html`
    <li>
      <details open=${expanded} onToggle=${(/** @type {any} */ event) => setExpanded(event.currentTarget.open)}>
        <summary><${Name} name=${name} /><span class="hint">${what}, ${sizeOf(value.end - value.start)}</span></summary>
        ${expanded && html`<${Members} text=${text} value=${value} open=${open - 1} />`}
      </details>
    </li>`;
}

/** @param {{text: string, value: import('./jsontext.js').Value, open: number}} props */
function Members({ text, value, open }) {
  const [all] = useState(() => membersOf(text, value));
  const [shown, setShown] = useState(shownAtOnce);
  const few = all.length <= 20;
  return html`
    <ul>
      ${all.slice(0, shown).map((member, i) => html`
        <${Node} key=${i} text=${text} value=${member} name=${member.name} open=${few ? open : 0} />`)}
      ${all.length > shown && html`
        <li><button type="button" class="link" onClick=${() => setShown(shown + 5 * shownAtOnce)}>
          Show more of ${all.length}</button></li>`}
    </ul>`;
}

/** @param {{name: string}} props */
function Name({ name }) {
  return name === '' ? null : html`<span class="key">${name}</span>${' '}`;
}

const longest = 2000; // characters of a text that are shown

/** @param {{text: string, value: import('./jsontext.js').Value}} props */
function Scalar({ text, value }) {
  const length = value.end - value.start;
  const shown = text.slice(value.start, value.start + Math.min(length, longest));
  return html`<code>${shown}</code>${length > longest && html`<span class="hint">… ${sizeOf(length)}</span>`}`;
}

/** @param {number} characters */
export function sizeOf(characters) {
  if (characters < 10_000) return `${characters} characters`;
  if (characters < 1_000_000) return `${Math.round(characters / 1000)} KB`;
  return `${(characters / 1_000_000).toFixed(1)} MB`;
}
