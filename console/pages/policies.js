// Policies: what the keys that carry them may do.
import { address, get } from '../lib/api.js';
import { Badge, Empty, Time } from '../lib/feedback.js';
import { html } from '../lib/html.js';
import { List } from '../lib/list.js';
import { route, setQuery } from '../lib/route.js';

/** @typedef {import('../types').Schemas['DBPolicy']} Policy */

/** @type {import('../lib/list.js').Column<Policy>[]} */
const columns = [
  { title: 'Name', cell: (policy) => html`<strong>${policy.name}</strong>` },
  { title: 'ID', cell: (policy) => html`<code>${policy.id || policy._id}</code>` },
  { title: 'State', cell: (policy) => isActive(policy) ? html`<${Badge} kind="good">active<//>` : html`<${Badge}>inactive<//>` },
  { title: 'APIs', class: 'number', cell: (policy) => Object.keys(policy.access_rights ?? {}).length },
  { title: 'Rate', cell: rate },
  { title: 'Quota', cell: quota },
  { title: 'Created', cell: (policy) => html`<${Time} value=${policy.date_created} />` },
];

export default function Policies() {
  const { query } = route.use();
  const active = { true: true, false: false }[query.active ?? ''];
  return html`
    <header class="page"><h1>Policies</h1></header>
    <${List} caption="Policies" columns=${columns} keyOf=${(/** @type {Policy} */ policy) => String(policy._id)} deps=${[active]}
      load=${async (/** @type {any} */ { page, signal }) => {
        const { Data, Pages } = await get('/api/portal/policies', { query: { p: page, active }, signal });
        return { items: Data ?? [], pages: Pages ?? 0 };
      }}
      filters=${html`<label>State
        <select value=${query.active ?? ''} onChange=${(/** @type {any} */ event) => setQuery({ active: event.target.value, p: undefined })}>
          <option value="">all</option><option value="true">active</option><option value="false">inactive</option>
        </select></label>`}
      empty=${active === undefined ? html`<${FirstPolicy} />` : html`<${Empty} title="No policy is in this state" />`} />`;
}

function FirstPolicy() {
  return html`<${Empty} title="There is no policy yet" command=${`curl -sS ${address('/api/portal/policies')} \\
  -H "Authorization: $ACCESS_KEY" \\
  -d '{"name": "Gold", "active": true, "rate": 100, "per": 60, "access_rights": {}}'`}>
    <p>A policy says which APIs a key may use, and how often. Keys that carry a policy follow its changes.</p><//>`;
}

/** @param {Policy} policy */
const isActive = (policy) => policy.active !== false && policy.is_inactive !== true;

/** @param {Policy} policy */
function rate({ rate: requests, per }) {
  return requests && per && requests > 0 ? `${requests} in ${per} s` : html`<span class="hint">no limit</span>`;
}

/** @param {Policy} policy */
function quota({ quota_max: most, quota_renewal_rate: seconds }) {
  return most && most > 0 ? `${most} in ${seconds} s` : html`<span class="hint">no limit</span>`;
}
