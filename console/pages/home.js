// Home: what is there, what is wrong and what to do about it, and the requests of the last hour. For a user it is about
// the organisation, for an operator about the installation.
import { address, get } from '../lib/api.js';
import { Badge, Empty, Failure, Loading } from '../lib/feedback.js';
import { html, useEffect, useRef } from '../lib/html.js';
import { useLoaded } from '../lib/list.js';
import { href } from '../lib/route.js';
import { isOperator, may, session } from '../lib/session.js';
import { isVisible } from '../lib/shell.js';
import { pages } from './index.js';

/** @typedef {import('../types').Schemas['Overview']} Overview */
/** @typedef {import('../types').Schemas['OverviewProblem']} Problem */
/** @typedef {import('../types').Schemas['OverviewTraffic']} Minute */

const refreshAfter = 15_000; // milliseconds

export default function Home() {
  const { data, error, reload } = useLoaded((signal) => get('/api/overview', { signal }), []);
  useRefresh(reload);
  const current = session.use();
  return html`
    <header class="page"><h1>${isOperator() ? 'Installation' : current?.org_name || 'Home'}</h1>
      ${data && html`<span class="hint">gatehouse ${data.version}</span>`}</header>
    <${Failure} error=${error} retry=${reload} />
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<${Counts} overview=${data} /><${First} overview=${data} /><${Problems} problems=${data.problems} />
      ${data.traffic && html`<${Traffic} minutes=${data.traffic} />`}`}`;
}

/**
 * useRefresh calls refresh now and then while the page is visible, and when it becomes visible again.
 * @param {() => void} refresh
 */
function useRefresh(refresh) {
  const last = useRef(Date.now());
  useEffect(() => {
    const look = () => {
      if (document.visibilityState !== 'visible' || Date.now() - last.current < refreshAfter - 1000) return;
      last.current = Date.now();
      refresh();
    };
    const timer = setInterval(look, refreshAfter);
    document.addEventListener('visibilitychange', look);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, [refresh]);
}

/** @param {{overview: Overview}} props */
function Counts({ overview: { organisations, users, apis, policies, gateways } }) {
  const state = gateways && [gateways.behind > 0 ? `${gateways.behind} behind` : '', gateways.version].filter(Boolean).join(', ');
  return html`
    <dl class="tiles" aria-label="What there is">
      ${organisations !== undefined && html`<${Tile} page="organisations" title="Organisations"
        count=${organisations} />`}
      ${apis && html`<${Tile} page="apis" title="APIs" count=${apis.total}
        more=${`${apis.active} active, ${apis.inactive} inactive; ${apis.classic} classic, ${apis.oas} OAS`} />`}
      ${policies !== undefined && html`<${Tile} page="policies" title="Policies" count=${policies} />`}
      ${users !== undefined && html`<${Tile} page="users" title="Users" count=${users} />`}
      ${gateways && html`<${Tile} page="gateways" title="Gateways" count=${gateways.registered} more=${state} />`}
      <${Tile} page="keys" title="Keys" more="Gateways have them, and do not count them." />
    </dl>`;
}

/** @param {{page: string, title: string, count?: number, more?: string}} props */
function Tile({ page, title, count, more }) {
  const known = pages.find((each) => each.name === page);
  const visible = known !== undefined && isVisible(known);
  if (count === undefined && !visible) return null;
  return html`
    <div class="tile"><dt>${visible ? html`<a href=${href(page, { org: '' })}>${title}</a>` : title}</dt>
      <dd>${count !== undefined && html`<strong>${count.toLocaleString()}</strong>`}${more && html`<span
        class="hint">${more}</span>`}</dd></div>`;
}

/**
 * First says what to do first, where nothing is there yet.
 * @param {{overview: Overview}} props
 */
function First({ overview: { organisations, users, apis } }) {
  if (organisations === 0) {
    return html`<${Empty} title="Create the first organisation" command=${createOrganisation()}
      action=${html`<a class="button" href=${href('organisations', 'new', { org: '' })}>Create an organisation</a>`}>
      <p>Everything belongs to an organisation: users, APIs, policies and keys.</p><//>`;
  }
  if (isOperator() && users === 0) {
    return html`<${Empty} title="Create the first administrator"
      action=${html`<a class="button" href=${href('users', { org: '' })}>Choose the organisation</a>`}>
      <p>Administrators create the other users of their organisation, and import APIs.</p><//>`;
  }
  if (apis?.total === 0) {
    return html`<${Empty} title="Import the first API" command=${importAPIs()}
      action=${may('apis', 'write') && html`<a class="button"
        href=${href('apis', { org: '' })}>${isOperator() ? 'Choose the organisation' : 'Create or import an API'}</a>`}>
      <p>An API is what gateways serve: a path, and where its requests are sent.</p><//>`;
  }
  return null;
}

const createOrganisation = () => `curl -sS ${address('/admin/organisations')} \\
  -H "Admin-Auth: $ADMIN_SECRET" -d '{"owner_name": "Rivermouth Foods"}'`;

const importAPIs = () => `curl -sS ${address('/api/apis')} -H "Authorization: $ACCESS_KEY" --data-binary @api.json`;

/** @param {{problems: Problem[]}} props */
function Problems({ problems }) {
  return html`
    <section aria-labelledby="problems"><h2 id="problems">Problems</h2>
      ${problems.length === 0 && html`<p class="hint">Nothing is wrong, as far as this server knows.</p>`}
      <ul class="problems">${problems.map((each) => html`
        <li key=${`${each.text} ${each.object?.id}`}>
          <${Badge} kind=${kinds[each.severity]}>${each.severity}<//>
          <div><p>${each.text}</p><p class="hint">${each.action}</p>${each.object && html`<${About}
            object=${each.object} />`}</div>
        </li>`)}</ul></section>`;
}

/** @type {Record<Problem['severity'], 'bad' | 'warn' | ''>} */
const kinds = { error: 'bad', warning: 'warn', note: '' };

const pageOf = { api: 'apis', policy: 'policies', organisation: 'organisations', gateway: 'gateways' };

/**
 * About leads to what a problem is about.
 * @param {{object: NonNullable<Problem['object']>}} props
 */
function About({ object: { kind, id, org_id: org } }) {
  const page = pages.find((each) => each.name === pageOf[kind]);
  if (kind === 'organisation' && !isOperator()) return null; // it is the user's own
  if (!page || !isVisible(page)) return html`<p class="hint"><code>${id}</code></p>`;
  const target = kind === 'gateway' ? href(page.name, { org: '' })
    : href(page.name, id, { org: isOperator() && page.place === 'organisation' ? org : '' });
  return html`<p><a href=${target}>Open the ${kind === 'api' ? 'API' : kind}</a></p>`;
}

const width = 600;
const height = 120;

/**
 * Traffic is a picture of the requests of the last hour, a bar for each minute, and the same as a table.
 * @param {{minutes: Minute[]}} props
 */
export function Traffic({ minutes }) {
  const most = Math.max(1, ...minutes.map((minute) => minute.requests));
  const sum = (/** @type {'requests' | 'client_errors' | 'server_errors'} */ member) =>
    minutes.reduce((total, minute) => total + minute[member], 0);
  const words = `${sum('requests')} requests in the last hour, ` +
    `${sum('client_errors')} refused (4xx), ${sum('server_errors')} failed (5xx)`;
  const bar = width / minutes.length;
  return html`
    <section aria-labelledby="traffic"><h2 id="traffic">Requests to this server</h2>
      <p class="hint">${words}; at most ${most} in a minute.</p>
      <svg class="traffic" viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${words}
        preserveAspectRatio="none">
        ${minutes.map((minute, i) => html`<${Bar} key=${minute.at} minute=${minute} x=${i * bar} width=${bar - 1}
          scale=${height / most} />`)}
      </svg>
      <p class="axis"
        aria-hidden="true"><span>${clock(minutes[0].at)}</span><span>${clock(minutes[minutes.length - 1].at)}</span></p>
      <p class="legend" aria-hidden="true"><span class="good">answered</span><span
        class="warn">refused (4xx)</span><span class="bad">failed (5xx)</span></p>
      <details><summary>The same as a table</summary>
        <table><caption class="unseen">Requests by minute</caption>
          <thead><tr><th scope="col">Minute</th><th scope="col" class="number">Requests</th><th scope="col"
            class="number">4xx</th><th scope="col" class="number">5xx</th></tr></thead>
          <tbody>${minutes.filter((minute) => minute.requests > 0).map((minute) => html`
            <tr key=${minute.at}><td data-title="Minute">${clock(minute.at)}</td><td class="number"
              data-title="Requests">${minute.requests}</td>
              <td class="number" data-title="4xx">${minute.client_errors}</td><td class="number"
                data-title="5xx">${minute.server_errors}</td></tr>`)}</tbody>
        </table></details></section>`;
}

/** @param {string} at */
const clock = (at) => new Date(at).toLocaleTimeString(undefined, { timeStyle: 'short' });

/** @param {{minute: Minute, x: number, width: number, scale: number}} props */
function Bar({ minute, x, width: wide, scale }) {
  const failed = minute.server_errors;
  const refused = failed + minute.client_errors;
  const rest = [
    { class: 'bad', from: 0, to: failed }, { class: 'warn', from: failed, to: refused },
    { class: 'good', from: refused, to: minute.requests },
  ];
  return html`<g><title>${`${clock(minute.at)}: ${minute.requests} requests`}</title>
    ${rest.filter((part) => part.to > part.from).map((part) => html`
      <rect class=${part.class} x=${x} width=${wide} y=${height - part.to * scale}
        height=${(part.to - part.from) * scale} />`)}</g>`;
}
