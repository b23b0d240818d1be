// The gateways: which ones serve the APIs, and whether they have loaded what was changed last.
import { address, get } from '../lib/api.js';
import { Badge, Empty, Failure, Loading, Time } from '../lib/feedback.js';
import { html, useEffect, useState } from '../lib/html.js';
import { Pager, Table, useLoaded } from '../lib/list.js';
import { route, setQuery } from '../lib/route.js';
import { isOperator } from '../lib/session.js';
import { toast } from '../lib/toast.js';

/** @typedef {import('../types').Schemas['SystemNode']} Gateway */

const refreshed = 5000; // milliseconds; a gateway sends a heartbeat every two seconds
const rows = 50; // of a page: the server lists all gateways at once

/** @type {import('../lib/list.js').Column<Gateway>[]} */
const columns = [
  { title: 'Host', class: 'host', cell: (gateway) => html`<strong>${gateway.hostname || 'without a name'}</strong>` },
  { title: 'ID', cell: (gateway) => html`<code>${gateway.id}</code>` },
  { title: 'State', cell: (gateway) => html`<${State} gateway=${gateway} />` },
  { title: 'APIs fetched', cell: (gateway) => html`<${Time} value=${gateway.apis_fetched} />` },
  { title: 'Policies fetched', cell: (gateway) => html`<${Time} value=${gateway.policies_fetched} />` },
  { title: 'Last heartbeat', cell: (gateway) => html`<${Time} value=${gateway.last_seen} />` },
  { title: 'Registered', cell: (gateway) => html`<${Time} value=${gateway.first_seen} />` },
];

export default function Gateways() {
  const { query } = route.use();
  const { data: gateways, error, loading, reload } = useLoaded(load, []);
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && reload(), refreshed);
    return () => clearInterval(timer);
  }, []);
  const pages = Math.ceil((gateways?.length ?? 0) / rows);
  const page = Math.min(Math.max(1, Number(query.p) || 1), Math.max(1, pages));
  return html`
    <header class="page"><h1>Gateways</h1>${isOperator() && html`<${Reload} onDone=${reload} />`}</header>
    <${Failure} error=${error} retry=${reload} />
    ${!gateways && loading && html`<${Loading} />`}
    ${gateways?.length === 0 && html`<${FirstGateway} />`}
    ${gateways && gateways.length > 0 && html`
      <p class="hint">${summary(gateways)}</p>
      <${Table} caption="Gateways, oldest first" columns=${columns} keyOf=${(/** @type {Gateway} */ gateway) => gateway.id}
        items=${gateways.slice((page - 1) * rows, page * rows)} />
      <${Pager} page=${page} pages=${pages} onPage=${(/** @type {number} */ p) => setQuery({ p: p > 1 ? p : undefined })} />`}`;
}

/**
 * load returns the gateways of the installation.
 * @param {AbortSignal} signal
 * @returns {Promise<Gateway[]>}
 */
const load = async (signal) => isOperator()
  ? (await get('/admin/nodes', { signal })).nodes
  : (await get('/api/system/nodes', { signal })).data.nodes;

/** @param {Gateway[]} gateways */
function summary(gateways) {
  const behind = gateways.filter((gateway) => gateway.behind).length;
  const registered = `${gateways.length} ${gateways.length === 1 ? 'gateway is' : 'gateways are'} registered`;
  return behind === 0 ? `${registered}, and none is behind.`
    : `${registered}, and ${behind} ${behind === 1 ? 'is' : 'are'} behind: notified of a change, but not loading it. Look at the log of the gateway.`;
}

/** @param {{gateway: Gateway}} props */
function State({ gateway: { behind, apis_fetched: apis, policies_fetched: policies } }) {
  if (behind) return html`<${Badge} kind="bad">behind<//>`;
  return apis && policies ? html`<${Badge} kind="good">up to date<//>` : html`<${Badge} kind="warn">loading<//>`;
}

/** Reload has all gateways load their configuration again. */
function Reload(/** @type {{onDone: () => void}} */ { onDone }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const reload = async () => {
    setBusy(true);
    setError(null);
    try {
      await get('/admin/system/reload');
      toast('The gateways were told to reload');
      onDone();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return html`<button type="button" disabled=${busy} onClick=${reload}>Reload now</button><${Failure} error=${error} />`;
}

function FirstGateway() {
  return html`<${Empty} title="No gateway has registered" command=${isOperator() ? command : undefined}
    before="Start one from a terminal:">
    <p>A Tyk Gateway registers when it starts, and loads the APIs and policies of this server. It is listed while it sends
      heartbeats, and for a minute after the last one.</p>
    ${isOperator() ? html`<p>To have keys created, and gateways told of changes, start this server with
      <code>--gateway-host</code> and <code>--gateway-port</code>, the address of the gateway, and
      <code>TYK_DB_TYKAPI_SECRET</code>, its <code>$GATEWAY_SECRET</code>. A gateway in a container needs an address of this server that it can
      reach.</p>` : html`<p>Ask the operator of the installation why none is there.</p>`}<//>`;
}

const server = address('/').href.replace(/\/$/, '');

const command = `docker run --rm -p 8080:8080 \\
  -e TYK_GW_SECRET=$GATEWAY_SECRET \\
  -e TYK_GW_NODESECRET=$NODE_SECRET \\
  -e TYK_GW_USEDBAPPCONFIGS=true \\
  -e TYK_GW_DBAPPCONFOPTIONS_CONNECTIONSTRING=${server} \\
  -e TYK_GW_POLICIES_POLICYSOURCE=service \\
  -e TYK_GW_POLICIES_POLICYCONNECTIONSTRING=${server} \\
  -e TYK_GW_STORAGE_HOST=$REDIS_HOST \\
  tykio/tyk-gateway:v5.11.1`;
