// APIs: the list; an API (#/apis/ID) is api.js, and the import of files (#/apis?do=import) is import.js.
import { address, get } from '../lib/api.js';
import { createAPI, summaryOf } from '../lib/apis.js';
import { Dialog } from '../lib/dialog.js';
import { Badge, Empty, Failure, Loading, Time } from '../lib/feedback.js';
import { Field, Form, useForm } from '../lib/form.js';
import { html, useEffect, useState } from '../lib/html.js';
import { List } from '../lib/list.js';
import { go, href, route, setQuery } from '../lib/route.js';
import { may } from '../lib/session.js';
import { toast } from '../lib/toast.js';

export default function APIs() {
  const { rest, query } = route.use();
  if (rest[0]) return html`<${Part} key=${rest[0]} load=${() => import('./api.js')} id=${rest[0]} />`;
  if (query.do === 'import') return html`<${Part} key="import" load=${() => import('./import.js')} />`;
  return html`<${AllAPIs} />`;
}

/**
 * Part loads the module of a part of the page when it is needed.
 * @param {{load: () => Promise<{default: any}>, id?: string}} props
 */
function Part({ load, ...props }) {
  const [state, setState] = useState(/** @type {{Shown?: any, error?: any}} */ ({}));
  useEffect(() => {
    load().then((module) => setState({ Shown: module.default }), () => setState({ error: notLoaded }));
  }, []);
  if (state.error) return html`<${Failure} error=${state.error} retry=${() => location.reload()} />`;
  return state.Shown ? html`<${state.Shown} ...${props} />` : html`<${Loading} />`;
}

const notLoaded = new Error('This page could not be loaded. The server does not answer, or has been updated.');

/** @type {import('../lib/list.js').Column<import('../lib/apis.js').Summary>[]} */
const columns = [
  { title: 'Name', cell: (api) => html`<a href=${href('apis', api.id)}><strong>${api.name || api.id}</strong></a>` },
  { title: 'State', cell: (api) => html`<${State} active=${api.active} />` },
  { title: 'Listen path', cell: (api) => html`<code>${api.domain}${api.listenPath}</code>` },
  { title: 'Type', cell: (api) => api.type },
  { title: 'Authentication', cell: (api) => api.authentication.join(', ') },
  { title: 'Changed', cell: (api) => html`<${Time} value=${api.updated} />` },
];

/** @param {{active: boolean}} props */
export function State({ active }) {
  return active ? html`<${Badge} kind="good">active<//>` : html`<${Badge}>inactive<//>`;
}

const types = ['rest', 'graphql', 'udg', 'subgraph', 'supergraph', 'tcp', 'internal'];
const authentications = [
  'keyless', 'authToken', 'basic', 'hmac', 'jwt', 'oauth', 'externalOAuth', 'oidc', 'mutualTLS', 'coprocess', 'goplugin',
  'customPlugin',
];

function AllAPIs() {
  const { query } = route.use();
  const [creating, setCreating] = useState(false);
  const active = { true: true, false: false }[query.active ?? ''];
  const { type, auth, category, sort } = query;
  const filtered = Boolean(type || auth || category || active !== undefined);
  const load = async (/** @type {any} */ { page, search, signal }) => {
    const { apis, pages } = await get('/api/apis', {
      query: /** @type {any} */ ({ p: page, q: search, active, api_type: type, auth_type: auth, category, sort }),
      signal,
    });
    return { items: (apis ?? []).map(summaryOf), pages: pages ?? 0 };
  };
  return html`
    <header class="page"><h1>APIs</h1>
      ${may('apis', 'write') && html`<span class="row">
        <a class="button" href=${href('apis', { query: { do: 'import' } })}>Import files</a>
        <button type="button" class="primary" onClick=${() => setCreating(true)}>New API</button></span>`}
    </header>
    <${List} caption="APIs" columns=${columns} keyOf=${(/** @type {any} */ api) => api.id} search="Search APIs"
      deps=${[active, type, auth, category, sort]} load=${load}
      filters=${html`
        <${Choice} label="State" name="active" all="all" options=${[['true', 'active'], ['false', 'inactive']]} />
        <${Choice} label="Type" name="type" all="all" options=${types.map((each) => [each, each])} />
        <${Choice} label="Authentication" name="auth" all="all" options=${authentications.map((each) => [each, each])} />
        <label>Category <input class="short" defaultValue=${category ?? ''} key=${category ?? ''}
          onChange=${(/** @type {any} */ event) => setQuery({ category: event.target.value.trim(), p: undefined })} /></label>
        <${Choice} label="Sort" name="sort" all="oldest first"
          options=${[['name', 'name'], ['-updated_at', 'changed last'], ['-created_at', 'newest first']]} />`}
      empty=${filtered ? html`<${NothingFound} />` : html`<${FirstAPI} />`} />
    ${creating && html`<${NewAPI} onClose=${() => setCreating(false)} />`}`;
}

/** @param {{label: string, name: string, all: string, options: string[][]}} props */
function Choice({ label, name, all, options }) {
  const { query } = route.use();
  const value = query[name] ?? '';
  return html`<label>${label} <select value=${value}
    onChange=${(/** @type {any} */ event) => setQuery({ [name]: event.target.value, p: undefined })}>
    <option value="">${all}</option>
    ${options.map(([each, title]) => html`<option value=${each} selected=${each === value}>${title}</option>`)}
  </select></label>`;
}

function NothingFound() {
  const all = () => setQuery({ active: undefined, type: undefined, auth: undefined, category: undefined, q: undefined });
  return html`<${Empty} title="No API is like this"><p>
    <button type="button" class="link" onClick=${all}>Show all APIs</button></p><//>`;
}

function FirstAPI() {
  const command = `curl -sS ${address('/api/apis')} \\
  -H "Authorization: $ACCESS_KEY" \\
  -d '{"api_definition": {"name": "Tides", "active": true, "use_keyless": true,
       "proxy": {"listen_path": "/tides/", "target_url": "http://127.0.0.1:8000/", "strip_listen_path": true}}}'`;
  return html`<${Empty} title="There is no API yet" command=${command}>
    <p>An API is what gateways serve: a path, and where its requests go. ${may('apis', 'write')
      ? html`Make one here, or <a href=${href('apis', { query: { do: 'import' } })}>import files</a>: classic definitions,
        OpenAPI documents, exports of another installation.`
      : 'You may see APIs, and not change them.'}</p><//>`;
}

/** @param {{onClose: () => void}} props */
function NewAPI({ onClose }) {
  const form = useForm('new API', { name: '', listen_path: '/', target_url: '', keyless: false });
  const save = async (/** @type {any} */ { name, listen_path, target_url, keyless }) => {
    const id = await createAPI(false, JSON.stringify({
      api_definition: {
        name, active: true, use_keyless: keyless, use_standard_auth: !keyless,
        auth_configs: { authToken: { auth_header_name: 'Authorization' } },
        version_data: { not_versioned: true, versions: { Default: { name: 'Default', use_extended_paths: true } } },
        proxy: { listen_path, target_url, strip_listen_path: true },
      },
    }));
    toast('The API is created');
    go('apis', id);
  };
  return html`<${Dialog} title="New API" onClose=${onClose}>
    <${Form} form=${form} onSave=${save} action="Create" onCancel=${onClose} label="New API">
      <${Field} form=${form} name="name" label="Name" required />
      <${Field} form=${form} name="listen_path" label="Listen path" required pattern="/.*"
        hint="Where gateways serve the API, such as /tides/." />
      <${Field} form=${form} name="target_url" label="Upstream" type="url" required
        hint="Where requests go, such as http://tides.internal:8000/." />
      <${Field} form=${form} name="keyless" label="Open to everybody, without a key" type="checkbox" />
    <//><//>`;
}
