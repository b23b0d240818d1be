// An API: its summary, its document as a tree, and as text that can be edited.
import { send } from '../lib/api.js';
import { copyOf, createAPI, editedText, fetchAPI, saveAPI, summaryOf, withActive } from '../lib/apis.js';
import { Confirm, Dialog } from '../lib/dialog.js';
import { Failure, Loading, Time } from '../lib/feedback.js';
import { Field, Form, useForm } from '../lib/form.js';
import { html, useEffect, useMemo, useState } from '../lib/html.js';
import { find } from '../lib/jsontext.js';
import { useLoaded } from '../lib/list.js';
import { go, href, route, setQuery } from '../lib/route.js';
import { may } from '../lib/session.js';
import { Tabs } from '../lib/tabs.js';
import { readDraft } from '../lib/textdraft.js';
import { toast } from '../lib/toast.js';
import { sizeOf, Tree } from '../lib/tree.js';
import { State } from './apis.js';
import { TextOfAPI } from './apitext.js';

/** @typedef {import('../lib/apis.js').Stored} Stored */

const tabs = [{ name: 'summary', title: 'Summary' }, { name: 'tree', title: 'Tree' }, { name: 'text', title: 'Text' }];

/** @param {{id: string}} props */
export default function API({ id }) {
  const { query } = route.use();
  const { data: stored, error, reload } = useLoaded((signal) => fetchAPI(id, signal), [id]);
  const view = query.view ?? 'summary';
  if (!stored) {
    return html`<p><a href=${href('apis')}>APIs</a></p>
      ${error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} />`}`;
  }
  const show = (/** @type {string} */ name) => setQuery({ view: name === 'summary' ? undefined : name });
  return html`
    <${Header} id=${id} stored=${stored} reload=${reload} />
    <${Failure} error=${error} retry=${reload} />
    <${Tabs} label="Views of the API" tabs=${tabs} current=${view} onChange=${show}>
      ${view === 'summary' && html`<${Summary} stored=${stored} />`}
      ${view === 'tree' && html`<${Tree} key=${stored.etag} label="Document" text=${editedText(stored)} />`}
      ${view === 'text' && html`<${TextOfAPI} id=${id} stored=${stored} onSaved=${reload} />`}
    <//>`;
}

/**
 * useSummary reads what is shown of the stored document: this is never stored.
 * @param {Stored} stored
 */
function useSummary(stored) {
  return useMemo(() => {
    try {
      return summaryOf(JSON.parse(stored.text));
    } catch {
      return summaryOf({});
    }
  }, [stored]);
}

/** @param {{id: string, stored: Stored, reload: () => void}} props */
function Header({ id, stored, reload }) {
  const api = useSummary(stored);
  const [open, setOpen] = useState('');
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const close = () => setOpen('');
  useEffect(() => setBusy(false), [stored.etag]); // until then, the ETag is that of the text before
  const activate = async () => {
    setBusy(true);
    setError(null);
    try {
      if (readDraft('api ' + id)) throw new Error('The text has changes that are not saved. Save or discard them first.');
      await saveAPI(id, stored.oas, withActive(stored, !api.active), stored.etag);
      await reload();
      toast(api.active ? 'Gateways stop serving the API' : 'Gateways serve the API');
    } catch (failure) {
      setError(failure);
      setBusy(false);
      if (failure.status === 412) reload();
    }
  };
  return html`
    <p><a href=${href('apis')}>APIs</a></p>
    <header class="page"><h1 class="name">${api.name || id}</h1>
      <span class="row">
        ${may('apis', 'write') && html`
          <button type="button" disabled=${busy} onClick=${activate}>${api.active ? 'Deactivate' : 'Activate'}</button>
          <button type="button" onClick=${() => setOpen('copy')}>Duplicate</button>`}
        <button type="button" onClick=${() => setOpen('export')}>Export</button>
        ${may('apis', 'write') && html`
          <button type="button" class="danger" onClick=${() => setOpen('delete')}>Delete</button>`}
      </span></header>
    <${Failure} error=${error} />
    ${open === 'copy' && html`
      <${Duplicate} id=${id} name=${api.name} listenPath=${api.listenPath} onClose=${close} />`}
    ${open === 'export' && html`<${Export} id=${id} oas=${stored.oas} onClose=${close} />`}
    ${open === 'delete' && html`
      <${Confirm} title="Delete the API" action="Delete" typed=${api.name || id} onClose=${close}
        onConfirm=${() => remove(id)}>
        <p>Gateways stop serving it within seconds. Keys that name it stay, and open nothing.</p><//>`}`;
}

/** @param {string} id */
async function remove(id) {
  await send('delete', '/api/apis/{apiId}', { params: { apiId: id } });
  toast('The API is deleted');
  go('apis');
}

/** @param {{stored: Stored}} props */
function Summary({ stored }) {
  const api = useSummary(stored);
  const rows = [
    ['State', html`<${State} active=${api.active} />`], ['ID', html`<code>${api.id}</code>`], ['Type', api.type],
    ['Listen path', html`<code>${api.listenPath}</code>`], ['Domain', api.domain || html`<span class="hint">any</span>`],
    ['Upstream', html`<code>${api.target}</code>`], ['Authentication', api.authentication.join(', ')],
    ['Categories', api.categories.join(', ') || html`<span class="hint">none</span>`],
    ['Created', html`<${Time} value=${api.created} />`], ['Changed', html`<${Time} value=${api.updated} />`],
    ['Document', sizeOf(editedText(stored).length)],
  ];
  return html`<dl class="facts">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {{id: string, name: string, listenPath: string, onClose: () => void}} props */
function Duplicate({ id: original, name, listenPath, onClose }) {
  const form = useForm('', { name: `Copy of ${name}`, listenPath: listenPath.replace(/\/?$/, '-copy/') });
  const save = async (/** @type {any} */ as) => {
    const stored = await fetchAPI(original);
    const id = await createAPI(stored.oas, copyOf(stored, as));
    toast('The copy is created. It is not active yet');
    onClose();
    go('apis', id);
  };
  return html`<${Dialog} title="Duplicate the API" onClose=${onClose}>
    <p>The copy has an ID of its own, and is not active until you activate it.</p>
    <${Form} form=${form} onSave=${save} action="Duplicate" onCancel=${onClose} label="Duplicate the API">
      <${Field} form=${form} name="name" label="Name" required />
      <${Field} form=${form} name="listenPath" label="Listen path" required />
    <//><//>`;
}

/**
 * Export has the browser store what is stored now.
 * @param {{id: string, oas: boolean, onClose: () => void}} props
 */
function Export({ id, oas, onClose }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const asStored = async (/** @type {string} */ name, /** @type {(stored: Stored) => string} */ of) => {
    setError(null);
    try {
      download(name, of(await fetchAPI(id)));
    } catch (failure) {
      setError(failure);
    }
  };
  const asOAS = async (/** @type {string} */ accept, /** @type {'public' | undefined} */ mode) => {
    setError(null);
    try {
      const { data } = await send('get', '/api/apis/oas/{apiId}/export', {
        params: { apiId: id }, query: mode && { mode }, raw: true,
        headers: {
          Accept: 'application/octet-stream', ...(accept === 'yaml' && { 'Content-Type': 'application/x-yaml' }),
        },
      });
      download(`${id}${mode ? '-public' : ''}.${accept}`, String(data));
    } catch (failure) {
      setError(failure);
    }
  };
  return html`<${Dialog} title="Export the API" onClose=${onClose}>
    <${Failure} error=${error} />
    <ul class="choices">
      <li><button type="button" onClick=${() => asStored(`${id}.json`, ({ text }) => text)}>
        <strong>As it is stored (JSON)</strong>
        <span class="hint">what Import files reads, and tyk-sync writes</span></button></li>
      <li><button type="button" onClick=${() => asStored(`${id}-definition.json`, classicOf)}>
        <strong>Classic definition (JSON)</strong>
        <span class="hint">what a gateway without a dashboard reads</span></button></li>
      ${oas && html`
        <li><button type="button" onClick=${() => asOAS('json', undefined)}><strong>Tyk OAS (JSON)</strong></button></li>
        <li><button type="button" onClick=${() => asOAS('yaml', undefined)}><strong>Tyk OAS (YAML)</strong></button></li>
        <li><button type="button" onClick=${() => asOAS('json', 'public')}>
          <strong>OpenAPI (JSON)</strong> <span class="hint">without what only gateways need</span></button></li>`}
    </ul><//>`;
}

/** @param {Stored} stored */
function classicOf({ text }) {
  const definition = find(text, 'api_definition');
  return definition ? text.slice(definition.start, definition.end) : text;
}

/**
 * download has the browser store a file.
 * @param {string} name
 * @param {string} text
 */
function download(name, text) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'application/octet-stream' }));
  link.download = name.replace(/[^\w.-]+/g, '_');
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
