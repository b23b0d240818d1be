// Organisations: the list, and one of them with its settings and its key. Only operators see it.
import { APIError, address, get, send } from '../lib/api.js';
import { Confirm } from '../lib/dialog.js';
import { valuesOf, withValues } from '../lib/documentform.js';
import { Badge, Empty, Failure, Loading } from '../lib/feedback.js';
import { Field, Form, useForm } from '../lib/form.js';
import { html, useEffect, useState } from '../lib/html.js';
import { find, read } from '../lib/jsontext.js';
import { List, useLoaded } from '../lib/list.js';
import { go, href, route } from '../lib/route.js';
import { Tabs } from '../lib/tabs.js';
import { toast } from '../lib/toast.js';

/** @typedef {import('../types').Schemas['OrganisationDocument']} Organisation */

export default function Organisations() {
  const { rest: [id, tab] } = route.use();
  if (!id) return html`<${All} />`;
  return id === 'new' ? html`<${New} />` : html`<${One} key=${id} id=${id} tab=${tab || 'settings'} />`;
}

/** @type {import('../lib/list.js').Column<Organisation>[]} */
const columns = [
  { title: 'Name', cell: (org) => html`<a
    href=${href('organisations', String(org.id))}><strong>${org.owner_name || 'without a name'}</strong></a>` },
  { title: 'ID', cell: (org) => html`<code>${org.id}</code>` },
  { title: 'Domain', cell: (org) => org.cname },
  { title: 'SSO', cell: (org) => org.sso_enabled && html`<${Badge} kind="good">on<//>` },
  { title: '', class: 'actions', cell: (org) => html`<a href=${href('users', { org: String(org.id) })}>Users</a>` },
];

function All() {
  return html`
    <header class="page"><h1>Organisations</h1><a class="button primary"
      href=${href('organisations', 'new')}>Create an organisation</a></header>
    <${List} caption="Organisations" search="Search organisations" columns=${columns}
      keyOf=${(/** @type {Organisation} */ org) => String(org.id)} empty=${html`<${FirstOrganisation} />`}
      load=${async (/** @type {any} */ { page, search, signal }) => {
        const { organisations, pages } = await get('/admin/organisations', { query: { p: page, q: search || undefined }, signal });
        return { items: organisations ?? [], pages: pages ?? 0 };
      }} />`;
}

function FirstOrganisation() {
  return html`<${Empty} title="There is no organisation yet" command=${`curl -sS ${address('/admin/organisations')} \\
  -H "Admin-Auth: $ADMIN_SECRET" -d '{"owner_name": "Rivermouth Foods"}'`}
    action=${html`<a class="button primary" href=${href('organisations', 'new')}>Create the first organisation</a>`}>
    <p>Users, APIs, policies and keys belong to an organisation. Create one, and then its first administrator.</p><//>`;
}

/** The settings that the form shows; whatever else the document has stays as it is, to the byte. */
const fields = [
  { name: 'owner_name', absent: '' }, { name: 'owner_slug', absent: '' }, { name: 'cname', absent: '' },
  { name: 'cname_enabled', absent: false }, { name: 'sso_enabled', absent: false },
];

/** @param {{form: import('../lib/form.js').FormState}} props */
function Settings({ form }) {
  return html`
    <${Field} form=${form} name="owner_name" label="Name" required />
    <${Field} form=${form} name="owner_slug" label="Slug" hint="Optional: a short name, for URLs." />
    <${Field} form=${form} name="cname" label="Domain"
      hint="Optional: the host name of the organisation's portal. No two organisations have the same." />
    <${Field} form=${form} name="cname_enabled" label="Serve the portal at the domain" type="checkbox" />
    <${Field} form=${form} name="sso_enabled" label="Users may create single sign-on nonces" type="checkbox" />`;
}

/** created is the ID of the organisation that was created last in this window: its page says what to do next. */
let created = '';

function New() {
  const form = useForm('organisation', valuesOf('{}', fields));
  const create = async (/** @type {any} */ values) => {
    const { data } = await send('post', '/admin/organisations', { body: withValues('{}', fields, values) });
    toast(`Created ${values.owner_name}`);
    created = String(data.Meta);
    go('organisations', created);
  };
  return html`<h1>Create an organisation</h1>
    <${Form} form=${form} onSave=${create} action="Create" onCancel=${() => go('organisations')}
      label="New organisation"><${Settings} form=${form} /><//>`;
}

const tabs = [{ name: 'settings', title: 'Settings' }, { name: 'key', title: 'Key' }];

/** @param {{id: string, tab: string}} props */
function One({ id, tab }) {
  const { data, error, reload } = useLoaded(
    (signal) => send('get', '/admin/organisations/{orgID}', { params: { orgID: id }, raw: true, signal }), [id]);
  const [deleting, setDeleting] = useState(false);
  useEffect(() => () => { created = ''; }, []);
  if (error && !data) return html`<${Failure} error=${error} retry=${reload} />`;
  if (!data) return html`<${Loading} />`;
  const text = String(data.data);
  const name = read(text, 'owner_name') || id;
  const remove = async () => {
    await send('delete', '/admin/organisations/{orgID}', { params: { orgID: id } });
    toast(`Deleted ${name}`);
    go('organisations');
  };
  return html`
    <header class="page"><h1>${name}</h1><div class="buttons">
      <a class="button" href=${href('apis', { org: id })}>APIs</a>
      <a class="button" href=${href('users', { org: id })}>Users</a>
      <button type="button" class="danger" onClick=${() => setDeleting(true)}>Delete…</button></div></header>
    <p class="hint"><a href=${href('organisations')}>Organisations</a> / <code>${id}</code></p>
    ${created === id && html`<p class="notice">${name} has no user yet.${' '}<a
      href=${href('users', 'new', { org: id, query: { administrator: 'true' } })}>Create its first administrator</a></p>`}
    <${Tabs} label="Parts of the organisation" tabs=${tabs} current=${tab}
      onChange=${(/** @type {string} */ next) => go('organisations', id, next)}>
      ${tab === 'key' ? html`<${Key} id=${id} name=${name} />` : html`<${Edit} key=${text} id=${id} text=${text}
        etag=${data.etag} onSaved=${reload} />`}
    <//>
    ${deleting && html`<${Confirm} title="Delete ${name}?" action="Delete the organisation" typed=${name}
      onConfirm=${remove} onClose=${() => setDeleting(false)}>
      <p>Its users, APIs, policies, documents and keys are deleted with it. This cannot be undone.</p><//>`}`;
}

/** @param {{id: string, text: string, etag: string, onSaved: () => void}} props */
function Edit({ id, text, etag, onSaved }) {
  const events = eventsOf(text);
  const all = [...fields, ...events.flatMap(fieldsOfEvent)];
  const form = useForm('organisation ' + id, valuesOf(text, all));
  const save = async (/** @type {any} */ values) => {
    const body = withValues(text, all, values);
    await send('put', '/admin/organisations/{orgID}', { params: { orgID: id }, body, ifMatch: etag || undefined });
    toast('Saved');
    onSaved();
  };
  return html`
    <${Form} form=${form} onSave=${save} action="Save" label="Settings">
      <${Settings} form=${form} />
      ${events.map((event) => html`<${Event} key=${event} form=${form} event=${event} />`)}
    <//>`;
}

/** The events that the original knows; an organisation may have others. */
const knownEvents = ['key_event', 'hashed_key_event'];

/** @param {string} text */
function eventsOf(text) {
  const stored = read(text, 'event_options');
  const names = stored && typeof stored === 'object' ? Object.keys(stored) : [];
  return [...new Set([...knownEvents, ...names])].filter((name) => !name.includes('/'));
}

/** @param {string} event */
const fieldsOfEvent = (event) => [
  { name: `event_options/${event}/email`, absent: '' }, { name: `event_options/${event}/webhook`, absent: '' },
  { name: `event_options/${event}/redis`, absent: false },
];

/** @param {{form: import('../lib/form.js').FormState, event: string}} props */
function Event({ form, event }) {
  const [email, webhook, redis] = fieldsOfEvent(event).map((field) => field.name);
  return html`
    <fieldset><legend>Event <code>${event}</code></legend>
      <${Field} form=${form} name=${email} label="E-mail address" type="text" />
      <${Field} form=${form} name=${webhook} label="Webhook" hint="A URL that is called." />
      <${Field} form=${form} name=${redis} label="Publish in the Redis of the gateways" type="checkbox" />
    </fieldset>`;
}

/** What the form of the organisation's key shows of its session. */
const limits = [
  { name: 'quota_max', absent: -1 }, { name: 'quota_renewal_rate', absent: 0 },
  { name: 'rate', absent: 0 }, { name: 'per', absent: 0 },
];

/**
 * Key is the key of the organisation, which limits all of its keys together.
 * @param {{id: string, name: string}} props
 */
function Key({ id, name }) {
  const { data, error, reload } = useLoaded((signal) => keyOf(id, signal), [id]);
  const [deleting, setDeleting] = useState(false);
  const [adding, setAdding] = useState(false);
  if (error) return html`<${Failure} error=${error} retry=${reload} />`;
  if (data === undefined) return html`<${Loading} />`;
  if (data === null && !adding) {
    return html`<${Empty} title="The organisation has no key" command=${`curl -sS ${address('/admin/org/keys')} -H "Admin-Auth: $ADMIN_SECRET" \\
  -d '{"org_id": "${id}", "quota_max": 10000, "quota_renewal_rate": 86400}'`}
      action=${html`<button type="button" class="primary"
        onClick=${() => setAdding(true)}>Limit the organisation</button>`}>
      <p>The key of an organisation limits the quota and the rate of all its keys together. Without it, there is no such limit.</p><//>`;
  }
  const remove = async () => {
    await send('delete', '/admin/org/keys/{keyId}', { params: { keyId: id } });
    toast('Deleted the key');
    setAdding(false);
    reload();
  };
  return html`
    <${KeyForm} key=${data} id=${id} text=${data ?? '{}'} exists=${data !== null} onSaved=${reload}
      onCancel=${data === null ? () => setAdding(false) : undefined} />
    ${data !== null && html`<p><button type="button" class="danger"
      onClick=${() => setDeleting(true)}>Delete the key…</button></p>`}
    ${deleting && html`<${Confirm} title="Delete the key of ${name}?" action="Delete the key" onConfirm=${remove}
      onClose=${() => setDeleting(false)}>
      <p>The organisation has no limit of its own then. The keys of its API users keep working.</p><//>`}`;
}

/**
 * keyOf returns the session of an organisation's key as it is stored; null if there is none.
 * @param {string} id
 * @param {AbortSignal} signal
 */
async function keyOf(id, signal) {
  try {
    const { data } = await send('get', '/admin/org/keys/{keyId}', { params: { keyId: id }, raw: true, signal });
    const session = find(String(data), 'data');
    return session ? String(data).slice(session.start, session.end) : '{}';
  } catch (error) {
    if (error instanceof APIError && error.status === 404) return null;
    throw error;
  }
}

/** @param {{id: string, text: string, exists: boolean, onSaved: () => void, onCancel?: () => void}} props */
function KeyForm({ id, text, exists, onSaved, onCancel }) {
  const form = useForm('organisation key ' + id, valuesOf(text, limits));
  const save = async (/** @type {any} */ values) => {
    const numbers = Object.entries(values).map(([name, value]) => [name, value === '' ? 0 : value]);
    const session = withValues(text, limits, Object.fromEntries(numbers));
    if (exists) {
      await send('put', '/admin/org/keys/{keyId}', { params: { keyId: id }, body: session });
    } else {
      await send('post', '/admin/org/keys', { body: withValues(session, [{ name: 'org_id', absent: '' }], { org_id: id }) });
    }
    toast('Saved the key');
    onSaved();
  };
  return html`
    <${Form} form=${form} onSave=${save} action=${exists ? 'Save' : 'Create the key'} onCancel=${onCancel}
      label="Key of the organisation">
      <${Field} form=${form} name="quota_max" label="Quota" type="number"
        hint="Requests in a period; -1 is no limit." />
      <${Field} form=${form} name="quota_renewal_rate" label="Period of the quota, in seconds" type="number" min="0" />
      <${Field} form=${form} name="rate" label="Rate" type="number" min="0" step="any"
        hint="Requests in the time below; 0 is no limit." />
      <${Field} form=${form} name="per" label="Time of the rate, in seconds" type="number" min="0" step="any" />
    <//>`;
}
