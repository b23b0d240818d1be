// The import of files: each is checked before anything is stored, then those without problems are stored, one after
// another, and each has its result. A script does the same with POST /api/apis/check and the requests that it names.
import { address, APIError, send } from '../lib/api.js';
import { check, maxText, problemsOf, warningsOf } from '../lib/check.js';
import { Badge, Command, Failure } from '../lib/feedback.js';
import { html, useEffect, useRef, useState } from '../lib/html.js';
import { Pager, Table } from '../lib/list.js';
import { href } from '../lib/route.js';

/**
 * Row is a file.
 * @typedef {object} Row
 * @property {number} id
 * @property {string} name with its folder
 * @property {File} file
 * @property {'waiting' | 'faulty' | 'ready' | 'stored' | 'failed'} state
 * @property {{line: number, column: number, path: string, reason: string}[]} problems
 * @property {{line: number, column: number, path: string, reason: string}[]} warnings
 * @property {Document[]} documents
 * @property {any} [error]
 */

/**
 * Document is a document of a file, and the request that stores it. body is forgotten when it is stored.
 * @typedef {{name: string, kind: string, id: string, exists: boolean, method: string, path: string, body: string,
 *   stored: boolean}} Document
 */

const atOnce = 4; // requests; a browser has six connections to a server
const renderEvery = 150; // milliseconds

/**
 * useFiles holds the files, and renders the page now and then while they change.
 */
function useFiles() {
  const files = useRef(/** @type {Row[]} */ ([]));
  const [, render] = useState(0);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return {
    files: files.current,
    set(/** @type {Row[]} */ next) {
      files.current = next;
      render((n) => n + 1);
    },
    changed() {
      timer.current ||= setTimeout(() => {
        timer.current = 0;
        render((n) => n + 1);
      }, renderEvery);
    },
  };
}

/**
 * each calls work for items, several at once, until all are done, or abort is. A failure aborts it, and is thrown when
 * nothing runs any more.
 * @template T
 * @param {T[]} items
 * @param {AbortController} abort
 * @param {(item: T) => Promise<void>} work
 */
async function each(items, abort, work) {
  const rest = [...items].reverse();
  /** @type {any[]} */
  const failures = [];
  const run = async () => {
    for (let item = rest.pop(); item !== undefined && !abort.signal.aborted; item = rest.pop()) {
      try {
        await work(item);
      } catch (failure) {
        failures.push(failure);
        abort.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, run));
  if (failures.length > 0) throw failures[0];
}

export default function Import() {
  const { files, set, changed } = useFiles();
  const [busy, setBusy] = useState(/** @type {'' | 'checking' | 'storing'} */ (''));
  const [error, setError] = useState(/** @type {any} */ (null));
  const abort = useRef(/** @type {AbortController | null} */ (null));
  useEffect(() => () => abort.current?.abort(), []);
  /**
   * @param {'checking' | 'storing'} what
   * @param {Row[]} rows
   * @param {(row: Row, signal: AbortSignal) => Promise<void>} work
   */
  const run = async (what, rows, work) => {
    const control = new AbortController();
    abort.current = control;
    setBusy(what);
    setError(null);
    try {
      await each(rows, control, async (row) => {
        await work(row, control.signal);
        changed();
      });
    } catch (failure) {
      if (!(failure instanceof DOMException)) setError(failure);
    }
    setBusy('');
    changed();
  };
  const choose = async (/** @type {File[]} */ chosen) => {
    const rows = chosen.filter(isDocument).map((file, id) => newRow(file, id));
    set(rows);
    await run('checking', rows, checkRow);
  };
  const waiting = files.filter((row) => row.state === 'waiting');
  const ready = files.filter((row) => row.state === 'ready');
  const failed = files.filter((row) => row.state === 'failed');
  const retry = () => {
    for (const row of failed) row.state = 'waiting';
    return run('checking', failed, checkRow);
  };
  return html`
    <p><a href=${href('apis')}>APIs</a></p>
    <header class="page"><h1>Import files</h1></header>
    <${Chooser} onChoose=${choose} busy=${busy !== ''} />
    <${Failure} error=${error} />
    ${files.length > 0 && html`
      <${Progress} files=${files} busy=${busy} />
      <div class="filters">
        ${busy === '' && waiting.length > 0 && html`
          <button type="button" onClick=${() => run('checking', waiting, checkRow)}>Go on checking</button>`}
        ${busy === '' && failed.length > 0 && html`
          <button type="button" onClick=${retry}>Check those that failed again</button>`}
        ${busy === '' && ready.length > 0 && html`
          <button type="button" class="primary" onClick=${() => run('storing', ready, storeRow)}>
          ${`Import ${count(ready.length, 'file')}`}</button>`}
        ${busy !== '' && html`<button type="button" onClick=${() => abort.current?.abort()}>Stop</button>`}
      </div>
      <${Results} files=${files} />`}
    ${files.length === 0 && html`<${Terminal} />`}`;
}

/** @param {File} file */
const isDocument = (file) => !file.name.startsWith('.') && file.size > 0;

/**
 * @param {File} file
 * @param {number} id
 * @returns {Row}
 */
const newRow = (file, id) => ({
  id, name: file.webkitRelativePath || file.name, file, state: 'waiting', problems: [], warnings: [], documents: [],
});

const tooLarge = 'The file is larger than 4 MiB: split it, or use gatehouse apply.';

/**
 * checkRow checks a file.
 * @param {Row} row
 * @param {AbortSignal} signal
 */
async function checkRow(row, signal) {
  row.error = undefined;
  if (row.file.size > maxText) {
    row.state = 'faulty';
    row.problems = [{ line: 1, column: 1, path: '', reason: tooLarge }];
    return;
  }
  try {
    const { data, bodies } = await check(row.file, { signal, documents: true });
    row.problems = problemsOf(data);
    row.warnings = warningsOf(data);
    row.documents = data.documents.map(({ name, kind, id, exists, method, path }, i) =>
      ({ name, kind, id, exists, method, path, body: bodies[i], stored: false }));
    row.state = row.problems.length > 0 ? 'faulty' : 'ready';
  } catch (error) {
    if (!(error instanceof APIError) || error.status >= 500) throw error;
    row.state = 'faulty';
    row.problems = [{ line: 1, column: 1, path: '', reason: error.message }];
  }
}

/** request is send for an operation that the server has named. */
const request = /** @type {(method: string, path: string, options: any) => Promise<any>} */ (/** @type {unknown} */ (send));

/**
 * storeRow stores the documents of a file.
 * @param {Row} row
 * @param {AbortSignal} signal
 */
async function storeRow(row, signal) {
  try {
    for (const each of row.documents) {
      if (each.stored) continue;
      await request(each.method.toLowerCase(), each.path, { body: each.body, signal });
      each.stored = true;
      each.body = '';
    }
    row.state = 'stored';
  } catch (error) {
    row.state = 'failed';
    row.error = signal.aborted ? new Error('Stopped: it may have been stored.') : error;
    if (!(error instanceof APIError)) throw error;
  }
}

/** @param {{onChoose: (files: File[]) => void, busy: boolean}} props */
function Chooser({ onChoose, busy }) {
  const [over, setOver] = useState(false);
  const chosen = (/** @type {any} */ event) => {
    onChoose([...event.target.files]);
    event.target.value = '';
  };
  const drop = async (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer && !busy) onChoose(await droppedFiles(event.dataTransfer));
  };
  const drag = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(event.type === 'dragover');
  };
  return html`
    <section class=${over ? 'drop over' : 'drop'} aria-label="Files to import"
      onDragOver=${drag} onDragLeave=${drag} onDrop=${drop}>
      <p><strong>Drop files or folders here</strong>, or choose them:</p>
      <div class="filters">
        <label>Files <input type="file" multiple accept=".json,.yaml,.yml,application/json" disabled=${busy}
          onChange=${chosen} /></label>
        <label>A folder <input type="file" webkitdirectory disabled=${busy} onChange=${chosen} /></label>
      </div>
      <p class="hint">JSON or YAML: classic API definitions, Tyk OAS APIs, OpenAPI documents, policies, and exports of
        gatehouse, Tyk Dashboard and tyk-sync. All are checked before anything is stored.</p>
    </section>`;
}

/**
 * droppedFiles returns the files, and those of folders, that were dropped.
 * @param {DataTransfer} dropped
 * @returns {Promise<File[]>}
 */
async function droppedFiles(dropped) {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (entries.length === 0) return [...dropped.files];
  return (await Promise.all(entries.map(filesOf))).flat();
}

/**
 * @param {any} entry
 * @returns {Promise<File[]>}
 */
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  /** @type {File[]} */
  const all = [];
  for (;;) { // a reader returns a hundred entries at a time
    const some = /** @type {any[]} */ (await new Promise((resolve, reject) => reader.readEntries(resolve, reject)));
    if (some.length === 0) return all;
    all.push(...(await Promise.all(some.map(filesOf))).flat());
  }
}

/** @param {{files: Row[], busy: string}} props */
function Progress({ files, busy }) {
  const number = (/** @type {Row['state']} */ state) => files.filter((row) => row.state === state).length;
  const [waiting, faulty, ready] = [number('waiting'), number('faulty'), number('ready')];
  const [stored, failed] = [number('stored'), number('failed')];
  const total = busy === 'storing' ? ready + stored + failed : files.length;
  const done = busy === 'storing' ? stored + failed : files.length - waiting;
  const parts = [
    waiting > 0 && `${waiting} to be checked`, ready > 0 && `${ready} can be imported`,
    faulty > 0 && `${faulty} with problems`,
    stored > 0 && `${stored} imported`, failed > 0 && `${failed} failed`,
  ].filter(Boolean);
  return html`
    ${busy !== '' && html`
      <progress aria-label=${busy === 'storing' ? 'Importing' : 'Checking'} value=${done} max=${total}></progress>`}
    <p role="status">${count(files.length, 'file')}: ${parts.join(', ')}</p>`;
}

/**
 * @param {number} n
 * @param {string} noun
 */
const count = (n, noun) => `${n.toLocaleString('en')} ${n === 1 ? noun : noun + 's'}`;

const perPage = 50;

/** @type {import('../lib/list.js').Column<Row>[]} */
const columns = [
  { title: 'File', cell: (row) => html`<span class="name">${row.name}</span>` },
  { title: 'Result', cell: (row) => html`<${Result} row=${row} />` },
  { title: 'Documents', cell: (row) => html`<ul class="plain">${row.documents.slice(0, 20).map((each) => html`
    <li>${each.kind} ${each.stored && each.kind !== 'policy' && each.id
      ? html`<a href=${href('apis', each.id)}>${each.name || each.id}</a>` : each.name || each.id}
      ${each.exists && html`${' '}<span class="hint">${each.stored ? 'replaced' : 'exists, will be replaced'}</span>`}</li>`)}
    ${row.documents.length > 20 && html`<li class="hint">and ${row.documents.length - 20} more</li>`}</ul>` },
];

/** @param {{row: Row}} props */
function Result({ row }) {
  /** @type {Record<Row['state'], any>} */
  const states = {
    waiting: html`<${Badge}>to be checked<//>`, faulty: html`<${Badge} kind="bad">has problems, not imported<//>`,
    ready: html`<${Badge}>can be imported<//>`, stored: html`<${Badge} kind="good">imported<//>`,
    failed: html`<${Badge} kind="bad">failed<//>`,
  };
  const place = (/** @type {any} */ each, /** @type {string} */ kind) => html`
    <li><span class="place">${each.line}:${each.column}</span>${' '}
      ${each.path && html`<code>${each.path}</code>${' '}`}<span class=${kind}>${each.reason}</span></li>`;
  return html`${states[row.state]}
    <ul class="plain">${row.problems.slice(0, 20).map((each) => place(each, 'problem'))}
      ${row.warnings.slice(0, 20).map((each) => place(each, 'warning'))}</ul>
    ${row.error && html`<${Failure} error=${row.error} />`}`;
}

/** @param {{files: Row[]}} props */
function Results({ files }) {
  const [page, setPage] = useState(1);
  const [all, setAll] = useState(true);
  const faulty = files.filter((row) => row.state === 'faulty' || row.state === 'failed');
  const shown = all ? [...faulty, ...files.filter((row) => row.state !== 'faulty' && row.state !== 'failed')] : faulty;
  const pages = Math.max(1, Math.ceil(shown.length / perPage));
  const current = Math.min(page, pages);
  return html`
    <div class="filters">
      <label><input type="checkbox" checked=${!all} onChange=${() => setAll(!all)} /> Only files with problems</label></div>
    <${Table} caption="Files" columns=${columns} keyOf=${(/** @type {Row} */ row) => String(row.id)}
      items=${shown.slice((current - 1) * perPage, current * perPage)} />
    <${Pager} page=${current} pages=${pages} onPage=${setPage} />`;
}

function Terminal() {
  return html`<section class="card"><h2>The same from a terminal</h2>
    <p>Check a file, and see the request that stores what it has:</p>
    <${Command} text=${`curl -sS ${address('/api/apis/check', { query: { documents: true } })} \\
  -H "Authorization: $ACCESS_KEY" --data-binary @tides.json`} />
    <p>Keep a folder of files and a server the same, as an operator:</p>
    <${Command} text="gatehouse apply ./apis" />
  </section>`;
}
