// Keys, which gateways have: the list, and the search for one. A key (#/keys/key/REFERENCE) and a new one (#/keys/new)
// are key.js.
import { address, get } from '../lib/api.js';
import { Badge, Command, Empty, Failure, Loading, Time } from '../lib/feedback.js';
import { html, useEffect, useId, useState } from '../lib/html.js';
import { refOf, shortened } from '../lib/keyrefs.js';
import { rateInWords } from '../lib/limits.js';
import { List, useFocusKey, useLoaded } from '../lib/list.js';
import { go, href, route } from '../lib/route.js';
import { may } from '../lib/session.js';

/** @typedef {import('../types').Schemas['SessionState']} Session */

/** Row is a key of the list. session is undefined if the gateway does not have the key any more. */
/** @typedef {{id: string, session?: Session}} Row */

export default function Keys() {
  const { rest: [view, ref = ''] } = route.use();
  if (view === 'new') return html`<${Single} key="new" name="NewKey" />`;
  if (view) return html`<${Single} key=${ref} name="KeyPage" by=${view} reference=${ref} />`;
  return html`<${AllKeys} />`;
}

/** @param {{name: string, by?: string, reference?: string}} props */
function Single({ name, ...props }) {
  const [state, setState] = useState(/** @type {{Page?: any, error?: any}} */ ({}));
  useEffect(() => {
    import('./key.js').then((module) => setState({ Page: /** @type {any} */ (module)[name] }), () =>
      setState({ error: new Error('This page could not be loaded. The server does not answer, or has been updated.') }));
  }, []);
  if (state.error) return html`<${Failure} error=${state.error} retry=${() => location.reload()} />`;
  return state.Page ? html`<${state.Page} ...${props} />` : html`<${Loading} />`;
}

/** @type {import('../lib/list.js').Column<Row>[]} */
const columns = [
  { title: 'Key', cell: ({ id, session }) => html`<a href=${href('keys', 'key', refOf(id))}>
    <strong>${session?.alias || shortened(id)}</strong></a>${session?.alias && html` <code class="hint">${shortened(id)}</code>`}` },
  { title: 'State', cell: ({ session }) => html`<${KeyState} session=${session} />` },
  { title: 'Opens', cell: opens },
  { title: 'Rate', cell: ({ session }) => session && rateInWords(session) },
  { title: 'Expires', cell: ({ session }) => session && html`<${Expiry} session=${session} />` },
];

/** @param {Row} row */
function opens({ session }) {
  const apis = Object.values(session?.access_rights ?? {});
  const names = apis.slice(0, 2).map((right) => right?.api_name || right?.api_id).join(', ');
  return apis.length > 2 ? `${names} and ${apis.length - 2} more` : names;
}

/** @param {{session?: Session}} props */
export function KeyState({ session }) {
  if (!session) return html`<${Badge} kind="warn">gone<//>`;
  if (session.is_inactive === true) return html`<${Badge} kind="bad">refused<//>`;
  const { expires = 0 } = session;
  return expires > 0 && expires * 1000 < Date.now() ? html`<${Badge} kind="warn">expired<//>` : html`<${Badge} kind="good">active<//>`;
}

/** @param {{session: Session}} props */
export function Expiry({ session: { expires = 0 } }) {
  return html`<${Time} value=${expires > 0 ? new Date(expires * 1000).toISOString() : ''} />`;
}

const pageSize = 10;

function AllKeys() {
  const { query: { api = '' } } = route.use();
  return html`
    <header class="page"><h1>Keys</h1>
      ${may('keys', 'write') && html`<a class="button primary" href=${href('keys', 'new', { query: { api } })}>New key</a>`}</header>
    <${Lookup} />
    ${api && html`<${OfAPI} id=${api} />`}
    <${List} caption="Keys" columns=${columns} keyOf=${(/** @type {Row} */ { id }) => id} deps=${[api]}
      load=${async (/** @type {any} */ { page, signal }) => {
        const { ids, pages } = api ? await keysOfAPI(api, page, signal) : await allKeys(page, signal);
        return { items: await Promise.all(ids.map((id) => rowOf(id, signal))), pages };
      }}
      failed=${(/** @type {any} */ error, /** @type {() => void} */ retry) => html`<${GatewayFailure} error=${error} retry=${retry} list />`}
      empty=${html`<${FirstKey} api=${api} />`} />`;
}

/**
 * @param {number} page
 * @param {AbortSignal} signal
 */
async function allKeys(page, signal) {
  const { data, pages } = await get('/api/apis/keys', { query: { p: page }, signal });
  return { ids: data?.keys ?? [], pages: pages ?? 0 };
}

/**
 * keysOfAPI returns a page of the keys of an API: the server lists all of their IDs, and no gateway can page.
 * @param {string} apiId
 * @param {number} page
 * @param {AbortSignal} signal
 */
async function keysOfAPI(apiId, page, signal) {
  const { data } = await get('/api/apis/{apiId}/keys', { params: { apiId }, signal });
  const all = data?.keys ?? [];
  return { ids: all.slice((page - 1) * pageSize, page * pageSize), pages: Math.ceil(all.length / pageSize) };
}

/**
 * @param {string} keyId
 * @param {AbortSignal} signal
 * @returns {Promise<Row>}
 */
async function rowOf(keyId, signal) {
  try {
    const { data } = await get('/api/keys/{keyId}', { params: { keyId }, query: { auto_guess: true }, signal });
    return { id: keyId, session: data };
  } catch (error) {
    if (error.status === 404) return { id: keyId }; // it has expired, or was deleted
    throw error;
  }
}

/** @param {{id: string}} props */
function OfAPI({ id }) {
  const { data } = useLoaded((signal) => get('/api/apis/{apiId}', { params: { apiId: id }, signal }), [id]);
  const name = /** @type {any} */ (data)?.api_definition?.name || id;
  return html`<p>Keys of the API <strong class="name">${name}</strong>. <a href=${href('keys')}>All keys</a></p>`;
}

/** Lookup opens a key by its ID or its hash. */
function Lookup() {
  const id = useId();
  const form = useFocusKey();
  const [text, setText] = useState('');
  const open = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (text.trim()) go('keys', 'key', refOf(text.trim()));
  };
  return html`<form class="lookup" role="search" ref=${form} onSubmit=${open}>
    <label for=${id}>Look up a key</label>
    <input id=${id} type="text" autocomplete="off" spellcheck=${false} placeholder="Key, its name, or its hash" value=${text}
      onInput=${(/** @type {any} */ event) => setText(event.target.value)} />
    <button>Look up</button></form>`;
}

/** @param {{api: string}} props */
function FirstKey({ api }) {
  return html`<${Empty} title=${api ? 'The API has no key yet' : 'There is no key yet'} command=${`curl -sS ${address('/api/keys')} \\
  -H "Authorization: $ACCESS_KEY" \\
  -d '{"apply_policies": ["POLICY_ID"]}'`}
    action=${may('keys', 'write') && html`<a class="button primary" href=${href('keys', 'new', { query: { api } })}>Create the first key</a>`}>
    <p>A key opens APIs for a client, which sends it with its requests. Gateways keep keys, and ask for them.</p><//>`;
}

/**
 * GatewayFailure shows an error of an operation of keys, and what to do if it is about the gateway.
 * @param {{error: any, retry?: () => void, list?: boolean}} props
 */
export function GatewayFailure({ error, retry, list = false }) {
  if (!error) return null;
  if (/no gateway is configured/.test(error.message)) return html`<${NoGateway} />`;
  if (list && error.status === 404) return html`<${NotListed} />`;
  return html`<${Failure} error=${error} retry=${retry} />
    ${error.status === 500 && html`<${Unreachable} />`}`;
}

function NoGateway() {
  return html`<${Empty} title="No gateway is configured">
    <p>Keys are kept by a Tyk Gateway, and gatehouse does not know one. Whoever runs this server starts it with the
      gateway's control API: its host, its port, and its secret (<code>secret</code> in <code>tyk.conf</code>).</p>
    <${Command} text=${`gatehouse serve --gateway-host http://GATEWAY --gateway-port 8080 \\
  --gateway-secret-file /etc/gatehouse/gateway-secret`} />
    <p class="hint">The environment variables <code>TYK_DB_TYKAPI_HOST</code>, <code>TYK_DB_TYKAPI_PORT</code> and${' '}
      <code>TYK_DB_TYKAPI_SECRET</code> do the same.</p><//>`;
}

function NotListed() {
  return html`<${Empty} title="This gateway does not list its keys">
    <p>It stores hashes of keys only. You can still create keys, and look one up by itself or by its hash. To have keys
      listed by their hashes, set <code>enable_hashed_keys_listing</code> to <code>true</code> in the gateway's
      <code> tyk.conf</code>, and start the gateway again.</p><//>`;
}

function Unreachable() {
  return html`<section class="empty"><h2>The gateway may not answer</h2>
    <p>Check that the gateway runs, that <code>--gateway-host</code> and <code>--gateway-port</code> of gatehouse are
      those of its control API, and that <code>--gateway-secret</code> is its <code>secret</code>. The log of gatehouse has
      the reason, under the ID of the request.</p></section>`;
}
