// Choosing some of many objects, by a search on the server: however many there are, a page of them is loaded.
import { Failure } from './feedback.js';
import { html, useEffect, useId, useRef, useState } from './html.js';

/** @typedef {{id: string, name: string, [member: string]: any}} Choice */

/**
 * Picker shows what is chosen, and a search for more. An object that the search does not find, or that the user may not
 * search, can be named by its ID.
 * @param {{label: string, hint?: string, placeholder: string, chosen: Choice[], onChange: (chosen: Choice[]) => void,
 *   search: (text: string, signal: AbortSignal) => Promise<Choice[]>, none: string,
 *   problem?: string, about?: (choice: Choice) => any}} props
 *   none says what it means that nothing is chosen; about returns what is shown beside a chosen object.
 */
export function Picker({ label, hint, placeholder, chosen, onChange, search, none, problem, about }) {
  const id = useId();
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [text, setText] = useState('');
  const [open, setOpen] = useState(false);
  const found = useFound(open, text, search);
  const rest = found.items.filter((item) => !chosen.some((each) => each.id === item.id));
  const add = (/** @type {Choice} */ item) => {
    onChange([...chosen, item]);
    setText('');
    input.current?.focus();
  };
  const remove = (/** @type {string} */ gone) => {
    onChange(chosen.filter((each) => each.id !== gone));
    input.current?.focus();
  };
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Escape' && open) {
      event.stopPropagation();
      setOpen(false);
    }
    if (event.key !== 'Enter' || event.target !== input.current) return;
    event.preventDefault(); // not the form's
    if (rest.length === 1) add(rest[0]);
  };
  const left = (/** @type {any} */ event) => {
    const to = event.relatedTarget; // null where a browser does not focus buttons that are pressed
    if (to && !event.currentTarget.contains(to)) setOpen(false);
  };
  const byID = text.trim();
  return html`
    <div class="field picker" role="group" aria-labelledby=${id} onKeyDown=${keys} onFocusOut=${left}>
      <span class="label" id=${id}>${label}</span>
      ${hint && html`<p class="hint">${hint}</p>`}
      ${chosen.length === 0 && html`<p class="hint">${none}</p>`}
      ${chosen.length > 0 && html`<ul class="chosen">${chosen.map((item) => html`
        <li key=${item.id}><span class="grow"><strong class="name">${item.name || item.id}</strong> <code>${item.id}</code> ${about?.(item)}</span>
          <button type="button" class="quiet" aria-label=${`Remove ${item.name || item.id}`} title="Remove"
            onClick=${() => remove(item.id)}>✕</button></li>`)}</ul>`}
      <input type="search" ref=${input} placeholder=${placeholder} aria-label=${placeholder} value=${text}
        aria-invalid=${problem ? 'true' : undefined} aria-describedby=${problem ? id + '-problem' : undefined}
        autocomplete="off" spellcheck=${false} onFocus=${() => setOpen(true)}
        onInput=${(/** @type {any} */ event) => { setText(event.target.value); setOpen(true); }} />
      ${problem && html`<p class="problem" id=${id + '-problem'}>${problem}</p>`}
      ${open && html`<div class="found">
        <${Failure} error=${found.error} />
        <ul>${rest.map((item) => html`<li key=${item.id}>
          <button type="button" aria-label=${`Add ${item.name || item.id}`} onClick=${() => add(item)}>${item.name || item.id}</button>
          <code>${item.id}</code></li>`)}</ul>
        <p class="hint" role="status">${statusOf(found, rest, byID)}</p>
        ${byID && !found.loading && rest.length === 0 && html`
          <p><button type="button" onClick=${() => add({ id: byID, name: '' })}>Add the ID ${byID}</button></p>`}
      </div>`}
    </div>`;
}

/**
 * @param {{items: Choice[], loading: boolean, error: any}} found
 * @param {Choice[]} rest
 * @param {string} text
 */
function statusOf({ items, loading, error }, rest, text) {
  if (loading) return 'Searching…';
  if (error) return 'You can still name one by its ID.';
  if (rest.length > 0) return 'Type to find others.';
  if (items.length > 0) return 'All that were found are chosen.';
  return text ? 'Nothing found.' : 'There is none yet.';
}

const typingPause = 200; // milliseconds without a key after which a search begins

/**
 * @param {boolean} open
 * @param {string} text
 * @param {(text: string, signal: AbortSignal) => Promise<Choice[]>} search
 */
function useFound(open, text, search) {
  const [found, setFound] = useState({ items: /** @type {Choice[]} */ ([]), loading: false, error: /** @type {any} */ (null) });
  useEffect(() => {
    if (!open) return undefined;
    const abort = new AbortController();
    setFound((before) => ({ ...before, loading: true }));
    const timer = setTimeout(() => search(text.trim(), abort.signal).then(
      (items) => abort.signal.aborted || setFound({ items, loading: false, error: null }),
      (error) => abort.signal.aborted || setFound({ items: [], loading: false, error }),
    ), text ? typingPause : 0);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [open, text]);
  return found;
}
