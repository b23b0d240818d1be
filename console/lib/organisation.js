// The organisation in which an operator acts: it is in the address of the page, and chosen here.
import { address, get } from './api.js';
import { Dialog } from './dialog.js';
import { Empty } from './feedback.js';
import { html, useState } from './html.js';
import { Pager, SearchField, useLoaded } from './list.js';
import { Failure, Loading } from './feedback.js';
import { go, href, route } from './route.js';

/** Switcher shows the current organisation, and opens the choice of another one. */
export function Switcher() {
  const { org, page } = route.use();
  const [open, setOpen] = useState(false);
  const name = useOrganisationName(org);
  const choose = (/** @type {string} */ id) => {
    setOpen(false);
    go(org && page ? page : 'policies', { org: id });
  };
  return html`
    <button type="button" class="switcher" aria-haspopup="dialog" onClick=${() => setOpen(true)}>
      <span class="hint">Organisation</span> <strong>${org ? name : 'Choose one'}</strong></button>
    ${open && html`<${Choice} onChoose=${choose} onClose=${() => setOpen(false)} />`}`;
}

/**
 * useOrganisationName returns the name of an organisation, or its ID until that is known.
 * @param {string} org
 */
export function useOrganisationName(org) {
  const { data } = useLoaded(
    async (signal) => org ? get('/admin/organisations/{orgID}', { params: { orgID: org }, signal }) : undefined, [org]);
  return data && data.id === org ? data.owner_name || org : org;
}

/** @param {{onChoose: (id: string) => void, onClose?: () => void}} props */
function Choice({ onChoose, onClose }) {
  return html`<${Dialog} title="Choose an organisation" onClose=${onClose}><${Organisations} onChoose=${onChoose}
    onCreate=${onClose} /><//>`;
}

/**
 * Organisations is a list of organisations to choose from.
 * @param {{onChoose: (id: string) => void, onCreate?: () => void}} props
 */
export function Organisations({ onChoose, onCreate }) {
  const [search, setSearch] = useState('');
  const [page, setPage] = useState(1);
  const { data, error, loading, reload } = useLoaded(
    (signal) => get('/admin/organisations', { query: { p: page, q: search || undefined }, signal }), [page, search]);
  const all = data?.organisations ?? [];
  return html`
    <${SearchField} label="Search organisations" value=${search} onSearch=${(/** @type {string} */ q) => { setSearch(q); setPage(1); }} />
    <${Failure} error=${error} retry=${reload} />
    ${!data && loading && html`<${Loading} />`}
    ${data && all.length === 0 && html`<${Empty} title=${search ? 'Nothing found' : 'There is no organisation yet'}
      command=${search ? undefined : createCommand}
      action=${!search && html`<a class="button" href=${href('organisations', 'new', { org: '' })}
        onClick=${onCreate}>Create an organisation</a>`} />`}
    ${all.length > 0 && html`<ul class="choices">${all.map((each) => html`
      <li key=${each.id}><button type="button" onClick=${() => onChoose(String(each.id))}>
        <strong>${each.owner_name}</strong> <code>${each.id}</code></button></li>`)}</ul>`}
    ${data && html`<${Pager} page=${page} pages=${data.pages} onPage=${setPage} />`}`;
}

const createCommand = `curl -sS ${address('/admin/organisations')} \\
  -H "Admin-Auth: $ADMIN_SECRET" -d '{"owner_name": "Rivermouth Foods"}'`;
