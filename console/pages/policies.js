// Policies: what the keys that carry them may do. A policy (#/policies/ID) and a new one (#/policies/new) are policy.js.
import { address, get } from '../lib/api.js';
import { Badge, Empty, Failure, Loading, Time } from '../lib/feedback.js';
import { html, useEffect, useState } from '../lib/html.js';
import { quotaInWords, rateInWords } from '../lib/limits.js';
import { List } from '../lib/list.js';
import { href, route, setQuery } from '../lib/route.js';
import { may } from '../lib/session.js';

/** @typedef {import('../types').Schemas['DBPolicy']} Policy */

/** @type {import('../lib/list.js').Column<Policy>[]} */
const columns = [
  { title: 'Name', cell: (policy) => html`<a href=${href('policies', String(policy._id))}><strong>${policy.name || 'Without a name'}</strong></a>` },
  { title: 'ID', cell: (policy) => html`<code>${policy.id || policy._id}</code>` },
  { title: 'State', cell: (policy) => html`<${State} state=${stateOf(policy)} />` },
  { title: 'APIs', class: 'number', cell: (policy) => Object.keys(policy.access_rights ?? {}).length },
  { title: 'Rate', cell: rateInWords },
  { title: 'Quota', cell: quotaInWords },
  { title: 'Created', cell: (policy) => html`<${Time} value=${policy.date_created} />` },
];

export default function Policies() {
  const { rest: [id] } = route.use();
  return id ? html`<${Single} key=${id} id=${id} />` : html`<${AllPolicies} />`;
}

/** @param {{id: string}} props */
function Single({ id }) {
  const [state, setState] = useState(/** @type {{Page?: any, error?: any}} */ ({}));
  useEffect(() => {
    import('./policy.js').then((module) => setState({ Page: id === 'new' ? module.NewPolicy : module.default }), () =>
      setState({ error: new Error('This page could not be loaded. The server does not answer, or has been updated.') }));
  }, []);
  if (state.error) return html`<${Failure} error=${state.error} retry=${() => location.reload()} />`;
  return state.Page ? html`<${state.Page} id=${id} />` : html`<${Loading} />`;
}

function AllPolicies() {
  const { query } = route.use();
  const active = { true: true, false: false }[query.active ?? ''];
  return html`
    <header class="page"><h1>Policies</h1>
      ${may('policies', 'write') && html`<a class="button primary" href=${href('policies', 'new')}>New policy</a>`}</header>
    <${List} caption="Policies" columns=${columns} keyOf=${(/** @type {Policy} */ policy) => String(policy._id)} deps=${[active]}
      search="Search policies"
      load=${async (/** @type {any} */ { page, search, signal }) => {
        const { Data, Pages } = await get('/api/portal/policies', { query: { p: page, q: search, active }, signal });
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
  -d '{"name": "Gold", "active": true, "rate": 100, "per": 60, "access_rights": {}}'`}
    action=${may('policies', 'write') && html`<a class="button primary" href=${href('policies', 'new')}>Create the first policy</a>`}>
    <p>A policy says which APIs a key may use, and how often. Keys that carry a policy follow its changes.</p><//>`;
}

/** states are what a policy may be, in words. */
export const states = {
  active: 'active: keys that have it work',
  draft: 'draft: not in use yet; gateways accept keys that have it all the same',
  denied: 'denied: gateways refuse keys that have it',
};

/**
 * stateOf returns the state of a policy.
 * @param {{active?: boolean, is_inactive?: boolean}} policy
 * @returns {keyof states}
 */
export function stateOf({ active, is_inactive: denied }) {
  if (denied === true) return 'denied';
  return active === false ? 'draft' : 'active';
}

/** @param {{state: string}} props */
export function State({ state }) {
  return html`<${Badge} kind=${{ active: 'good', denied: 'bad' }[state] ?? ''}>${state}<//>`;
}
