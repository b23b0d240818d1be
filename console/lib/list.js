// Lists, which the server pages: however many objects there are, a page of them is loaded.
import { Empty, Failure, Loading } from './feedback.js';
import { html, useCallback, useEffect, useRef, useState } from './html.js';
import { route, setQuery } from './route.js';

/**
 * @template T
 * @typedef {object} Column
 * @property {string} title
 * @property {(item: T) => any} cell
 * @property {string} [class] number, actions, host, address, operation
 */

/**
 * useLoaded loads something, and again when one of deps changes. A load that is overtaken by another is aborted. The
 * promise of reload is kept when what was loaded again is there, or could not be loaded.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {unknown[]} deps
 * @returns {{data: T | undefined, error: any, loading: boolean, reload: () => Promise<void>}}
 */
export function useLoaded(load, deps) {
  const [state, setState] = useState({ data: /** @type {T | undefined} */ (undefined), error: /** @type {any} */ (null), loading: true });
  const [round, setRound] = useState(0);
  const waiting = useRef(/** @type {(() => void)[]} */ ([]));
  useEffect(() => {
    const abort = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    load(abort.signal).then(
      (data) => abort.signal.aborted || setState({ data, error: null, loading: false }),
      (error) => abort.signal.aborted || setState((before) => ({ ...before, error, loading: false })),
    ).then(() => abort.signal.aborted || waiting.current.splice(0).forEach((done) => done()));
    return () => abort.abort();
  }, [...deps, round]);
  const reload = useCallback(() => /** @type {Promise<void>} */ (new Promise((resolve) => {
    waiting.current.push(resolve);
    setRound((before) => before + 1);
  })), []);
  return { ...state, reload };
}

/**
 * List is a table of what load returns, with a search field and a pager. Search and page are in the page's address.
 * @template T
 * @param {{caption: string, columns: Column<T>[], keyOf: (item: T) => string,
 *   load: (request: {page: number, search: string, signal: AbortSignal}) => Promise<{items: T[], pages: number}>,
 *   search?: string, filters?: any, deps?: unknown[], empty?: any, failed?: (error: any, retry: () => void) => any}} props
 *   search is the label of the search field; without it there is none. empty is shown where nothing exists, and failed
 *   in place of an error. The list is loaded again when one of deps changes.
 */
export function List({ caption, columns, keyOf, load, search, filters, deps = [], empty, failed = shownFailure }) {
  const { org, query } = route.use();
  const page = Math.max(1, Number(query.p) || 1);
  const text = query.q ?? '';
  const { data, error, loading, reload } = useLoaded(
    (signal) => load({ page, search: text, signal }), [org, page, text, ...deps]);
  const isEmpty = data && data.items.length === 0;
  return html`
    ${(search || filters) && html`<div class="filters" role="search">
      ${search && html`<${SearchField} label=${search} value=${text} onSearch=${(/** @type {string} */ q) => setQuery({ q, p: undefined })} />`}
      ${filters}
    </div>`}
    ${error && failed(error, reload)}
    ${!data && loading && html`<${Loading} />`}
    ${isEmpty && (text || page > 1
      ? html`<${Empty} title="Nothing found"><p>${text ? `Nothing matches “${text}”.` : 'This page is empty.'}${' '}
          <button type="button" class="link" onClick=${() => setQuery({ q: undefined, p: undefined })}>Show everything</button></p><//>`
      : empty ?? html`<${Empty} title="Nothing yet" />`)}
    ${data && !isEmpty && html`
      <${Table} caption=${caption} columns=${columns} keyOf=${keyOf} items=${data.items} busy=${loading} />
      <${Pager} page=${page} pages=${data.pages} onPage=${(/** @type {number} */ p) => setQuery({ p: p > 1 ? p : undefined })} />`}`;
}

const shownFailure = (/** @type {any} */ error, /** @type {() => void} */ retry) => html`<${Failure} error=${error} retry=${retry} />`;

/**
 * Table becomes a list of cards where there is little space.
 * @template T
 * @param {{caption: string, columns: Column<T>[], items: T[], keyOf: (item: T) => string, busy?: boolean}} props
 */
export function Table({ caption, columns, items, keyOf, busy = false }) {
  return html`
    <table aria-busy=${busy ? 'true' : 'false'}>
      <caption class="unseen">${caption}</caption>
      <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.class}>${column.title}</th>`)}</tr></thead>
      <tbody>${items.map((item) => html`
        <tr key=${keyOf(item)}>${columns.map((column) => html`
          <td class=${column.class} data-title=${column.title}>${column.cell(item)}</td>`)}</tr>`)}</tbody>
    </table>`;
}

/** @param {{page: number, pages: number, onPage: (page: number) => void}} props */
export function Pager({ page, pages, onPage }) {
  if (pages <= 1 && page <= 1) return null;
  return html`
    <nav class="pager" aria-label="Pages">
      <button type="button" disabled=${page <= 1} onClick=${() => onPage(page - 1)}>Previous</button>
      <span>Page ${page} of ${pages}</span>
      <button type="button" disabled=${page >= pages} onClick=${() => onPage(page + 1)}>Next</button>
    </nav>`;
}

const typingPause = 250; // milliseconds after which a search is sent

/**
 * useFocusKey returns a ref for a form: the key / focuses its first field.
 * @returns {{current: HTMLElement | null}}
 */
export function useFocusKey() {
  const form = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const focus = (/** @type {KeyboardEvent} */ event) => {
      const typing = event.target instanceof Element && event.target.closest('input, textarea, select, [contenteditable]');
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || typing) return;
      event.preventDefault();
      const input = form.current?.querySelector('input');
      input?.focus();
      input?.select();
    };
    document.addEventListener('keydown', focus);
    return () => document.removeEventListener('keydown', focus);
  }, []);
  return form;
}

/**
 * SearchField is focused by the key /.
 * @param {{label: string, value: string, onSearch: (text: string) => void}} props
 */
export function SearchField({ label, value, onSearch }) {
  const field = useFocusKey();
  const timer = useRef(0);
  const typed = (/** @type {any} */ event) => {
    clearTimeout(timer.current);
    const text = event.target.value;
    timer.current = setTimeout(() => onSearch(text.trim()), typingPause);
  };
  return html`<label class="search" ref=${field}><span class="unseen">${label}</span>
    <input type="search" placeholder=${label} defaultValue=${value} onInput=${typed} autocomplete="off" spellcheck=${false} />
    <kbd aria-hidden="true">/</kbd></label>`;
}
