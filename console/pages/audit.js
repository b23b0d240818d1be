// The audit log: who has changed what, and who was refused to. Its filters are in the page's address.
import { address, get } from '../lib/api.js';
import { Badge, Empty, Failure, Loading, Time } from '../lib/feedback.js';
import { html, useState } from '../lib/html.js';
import { List, useFocusKey, useLoaded } from '../lib/list.js';
import { href, route, setQuery } from '../lib/route.js';
import { isOperator } from '../lib/session.js';

/** @typedef {import('../types').Schemas['AuditLog']} Event */

/** Filter is a filter of the list: a parameter of GET /api/audit-logs. */
/** @typedef {{name: string, label: string, type?: string, hint?: string, options?: string[]}} Filter */

/** @type {Filter[]} */
const first = [
  { name: 'user', label: 'Who', hint: 'E-mail address' },
  { name: 'object', label: 'Kind of object', hint: 'api, policy, user, …' },
  { name: 'from_date', label: 'From', type: 'date' },
  { name: 'to_date', label: 'To', type: 'date' },
];

/** @type {Filter[]} */
const others = [
  { name: 'object_id', label: 'ID of the object' },
  { name: 'action', label: 'Operation', hint: 'createUser' },
  { name: 'outcome', label: 'Outcome', hint: 'ok, access_denied, …' },
  { name: 'status', label: 'Status', type: 'number' },
  { name: 'method', label: 'Method', options: ['POST', 'PUT', 'PATCH', 'DELETE', 'GET'] },
  { name: 'url', label: 'Part of the path' },
  { name: 'ip', label: 'Address of the client' },
];

/** @type {Filter[]} */
const ofOperators = [{ name: 'org_id', label: 'ID of the organisation' }];

/** filters returns the filters that the session can use. */
const filters = () => [...first, ...others, ...(isOperator() && !route.get().org ? ofOperators : [])];

/**
 * chosen returns the parameters of the filters that the address has.
 * @param {Record<string, string>} query
 * @returns {any}
 */
const chosen = (query) => Object.fromEntries(filters().flatMap(({ name }) => query[name] ? [[name, query[name]]] : []));

/** @type {import('../lib/list.js').Column<Event>[]} */
const columns = [
  { title: 'When', cell: (event) => html`<a href=${href('audit', event._id)}><${When} event=${event} /></a>` },
  { title: 'Who', cell: (event) => html`<${Only} name="user" value=${event.user} />` },
  { title: 'What', class: 'operation', cell: (event) => html`<${Only} name="action" value=${event.action} />` },
  { title: 'Object', cell: (event) => html`${event.object.replaceAll('_', ' ')}${' '}
    ${event.object_id && html`<code><${Only} name="object_id" value=${event.object_id} /></code>`}` },
  { title: 'Outcome', cell: (event) => html`<${Outcome} event=${event} />` },
  { title: 'From', class: 'address', cell: (event) => event.ip },
];

export default function Audit() {
  const { rest, query } = route.use();
  if (rest[0]) return html`<${Details} id=${rest[0]} />`;
  const filter = chosen(query);
  const key = JSON.stringify(filter);
  return html`
    <header class="page"><h1>Audit</h1><${Export} filter=${filter} /></header>
    <${Filters} key=${key} filter=${filter} />
    <${List} caption="Requests, newest first" columns=${columns} keyOf=${(/** @type {Event} */ event) => event._id} deps=${[key]}
      load=${async (/** @type {any} */ { page, signal }) => {
        const { audit_logs: items, pages } = await get('/api/audit-logs', { query: { ...filter, p: page }, signal });
        return { items, pages };
      }}
      empty=${key === '{}' ? html`<${NothingYet} />` : html`<${Empty} title="Nothing matches the filters"
        action=${html`<button type="button" onClick=${clear}>Show everything</button>`} />`} />`;
}

/** Only is a value, which shows only the requests that have it. */
function Only(/** @type {{name: string, value: string}} */ { name, value }) {
  if (route.get().query[name] === value) return value;
  return html`<button type="button" class="only" title=${`Only ${value}`} onClick=${() => setQuery({ [name]: value, p: undefined })}>${value}</button>`;
}

/** @param {{event: Event}} props */
const When = ({ event }) => html`<${Time} value=${new Date(event.timestamp * 1000).toISOString()} />`;

/** @param {{event: Event}} props */
function Outcome({ event: { outcome, status } }) {
  const words = outcome.replaceAll('_', ' ');
  if (status >= 500) return html`<${Badge} kind="bad">failed: ${words}<//>`;
  return status >= 400 ? html`<${Badge} kind="warn">refused: ${words}<//>` : html`<${Badge} kind="good">${words}<//>`;
}

const clear = () => setQuery({ ...Object.fromEntries(filters().map(({ name }) => [name, undefined])), p: undefined });

/** @param {{filter: Record<string, string>}} props */
function Filters({ filter }) {
  const more = filters().slice(first.length);
  const form = useFocusKey();
  const [open, setOpen] = useState(more.some(({ name }) => filter[name]));
  const apply = (/** @type {any} */ event) => {
    event.preventDefault();
    const values = new FormData(event.target);
    setQuery({ ...Object.fromEntries(filters().map(({ name }) => [name, String(values.get(name) ?? '').trim()])), p: undefined });
  };
  const fields = (/** @type {Filter[]} */ list) => list.map((each) => html`<${FilterField} key=${each.name} filter=${each} value=${filter[each.name]} />`);
  return html`
    <form class="audit-filters" role="search" aria-label="Filters" ref=${form} onSubmit=${apply}>
      <div class="fields">${fields(first)}</div>
      <details open=${open} onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}>
        <summary>More filters</summary>
        <div class="fields">${fields(more)}</div>
      </details>
      <footer>
        <button class="primary">Filter</button>
        ${Object.keys(filter).length > 0 && html`<button type="button" onClick=${clear}>Clear</button>`}
      </footer>
    </form>`;
}

/** @param {{filter: Filter, value?: string}} props */
function FilterField({ filter: { name, label, type = 'text', hint, options }, value = '' }) {
  return html`<label>${label}${options
    ? html`<select name=${name}><option value="">any</option>${options.map((option) => html`
        <option value=${option} selected=${option === value}>${option}</option>`)}</select>`
    : html`<input name=${name} type=${type} defaultValue=${value} placeholder=${hint} autocomplete="off" spellcheck=${false} />`}</label>`;
}

/**
 * Export has links to files with all that the filters find. What an operator sees in an organisation is what its users
 * have done.
 * @param {{filter: Record<string, string>}} props
 */
function Export({ filter }) {
  const { org } = route.use();
  const link = (/** @type {string} */ type) => address('/api/audit-logs', {
    query: { ...filter, ...(isOperator() && org ? { org_id: org } : {}), download: true, type },
  }).href;
  return html`<span class="buttons">
    <a class="button" href=${link('csv')} download="audit-logs.csv">Export as CSV</a>
    <a class="button" href=${link('json')} download="audit-logs.json">Export as JSON</a></span>`;
}

function NothingYet() {
  return html`<${Empty} title="Nothing has been changed yet" command=${`curl -sS ${address('/api/audit-logs')} -H "Authorization: $ACCESS_KEY"`}>
    <p>Each request that changes something is listed here, and each one that was refused to: who sent it, from where, on
      which object. The server keeps them for 90 days, or as long as its setting <code>--audit-retention</code> says.</p><//>`;
}

/** Details is all that is known of a request. */
function Details(/** @type {{id: string}} */ { id }) {
  const { data: event, error, loading, reload } = useLoaded(
    (signal) => get('/api/audit-logs/{auditLogId}', { params: { auditLogId: id }, signal }), [id]);
  return html`
    <p><a href=${href('audit')}>All requests</a></p>
    <h1>${event ? event.action : 'A request'}</h1>
    <${Failure} error=${error} retry=${reload} />
    ${!event && loading && html`<${Loading} />`}
    ${event && html`<div class="card"><dl class="facts">${facts(event).map(([term, value]) => html`<dt key=${term}>${term}</dt><dd>${value}</dd>`)}</dl></div>`}`;
}

/**
 * @param {Event} event
 * @returns {[string, any][]}
 */
function facts(event) {
  /** @type {[string, any][]} */
  const all = [
    ['When', html`<${When} event=${event} />`],
    ['Who', event.user],
    ['User', event.user_id && html`<code>${event.user_id}</code>`],
    ['Kind of caller', event.who.replaceAll('_', ' ')],
    ['Organisation', event.org_id && html`<code>${event.org_id}</code>`],
    ['Address of the client', event.ip],
    ['Operation', event.action],
    ['Object', event.object && html`${event.object.replaceAll('_', ' ')} <code>${event.object_id}</code>`],
    ['Request', html`<code>${event.method} ${event.url}</code>`],
    ['Outcome', html`<${Outcome} event=${event} /> ${event.status}`],
    ['ID in the log of the server', html`<code>${event.req_id}</code>`],
    ...Object.entries(event.details).map(([name, value]) => /** @type {[string, any]} */ ([name.replaceAll('_', ' '), String(value)])),
  ];
  return all.filter(([, value]) => value);
}
