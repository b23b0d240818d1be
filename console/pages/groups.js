// User groups: permissions that several users have in addition to their own. They are a part of the page of users.
import { address, get, send } from '../lib/api.js';
import { Confirm } from '../lib/dialog.js';
import { set, valuesOf, withValues } from '../lib/documentform.js';
import { Badge, Empty, Failure, Loading } from '../lib/feedback.js';
import { Field, Form, useForm } from '../lib/form.js';
import { html, useState } from '../lib/html.js';
import { read } from '../lib/jsontext.js';
import { List, useLoaded } from '../lib/list.js';
import { PermissionTable, Summary } from '../lib/permissions.js';
import { go, href } from '../lib/route.js';
import { may } from '../lib/session.js';
import { toast } from '../lib/toast.js';

/** @typedef {import('../types').Schemas['UserGroupDocument']} Group */

/** @type {import('../lib/list.js').Column<Group>[]} */
const columns = [
  { title: 'Name', cell: (group) => html`<a
    href=${href('users', 'groups', String(group.id))}><strong>${group.name || group.id}</strong></a>` },
  { title: 'Description', cell: (group) => group.description },
  { title: 'Permissions', cell: (group) => html`<${Summary} granted=${group.user_permissions ?? undefined} />` },
  { title: 'State', cell: (group) => group.active !== false ? html`<${Badge}
    kind="good">active<//>` : html`<${Badge}>inactive<//>` },
];

export function Groups() {
  return html`
    <${List} caption="User groups" columns=${columns} keyOf=${(/** @type {Group} */ group) => String(group.id)}
      empty=${html`<${FirstGroup} />`}
      load=${async (/** @type {any} */ { page, signal }) => {
        const { groups, pages } = await get('/api/usergroups', { query: { p: page }, signal });
        return { items: groups ?? [], pages: pages ?? 0 };
      }} />`;
}

function FirstGroup() {
  return html`<${Empty} title="There is no user group yet" command=${`curl -sS ${address('/api/usergroups')} -H "Authorization: $ACCESS_KEY" \\
  -d '{"name": "Readers", "active": true, "user_permissions": {"apis": "read"}}'`}>
    <p>Users have the permissions of their group in addition to their own. Change a group, and all its users follow.</p><//>`;
}

/** The members of a group that the form shows; whatever else the document has stays as it is. */
const fields = [{ name: 'name', absent: '' }, { name: 'description', absent: '' }, { name: 'active', absent: true }];

/** @param {{id: string}} props 'new' creates one */
export function GroupPage({ id }) {
  const isNew = id === 'new';
  const { data, error, reload } = useLoaded(async (signal) => isNew ? '{}'
    : String((await send('get', '/api/usergroups/{groupId}', { params: { groupId: id }, raw: true, signal })).data), [id]);
  if (error && !data) return html`<${Failure} error=${error} retry=${reload} />`;
  if (!data) return html`<${Loading} />`;
  return html`<${Edit} key=${data} id=${id} text=${data} isNew=${isNew} onSaved=${reload} />`;
}

/** @param {{id: string, text: string, isNew: boolean, onSaved: () => void}} props */
function Edit({ id, text, isNew, onSaved }) {
  const form = useForm('user group ' + id, { ...valuesOf(text, fields), user_permissions: read(text, 'user_permissions') ?? {} });
  const [deleting, setDeleting] = useState(false);
  const name = read(text, 'name') || id;
  const disabled = !may('user_groups', 'write');
  const save = async (/** @type {any} */ values) => {
    let body = withValues(text, fields, values);
    if (JSON.stringify(read(text, 'user_permissions')) !== JSON.stringify(values.user_permissions)) {
      body = set(body, ['user_permissions'], values.user_permissions);
    }
    if (isNew) {
      const { data } = await send('post', '/api/usergroups', { body });
      toast(`Created ${values.name}`);
      go('users', 'groups', String(data.Meta));
    } else {
      await send('put', '/api/usergroups/{groupId}', { params: { groupId: id }, body });
      toast('Saved');
      onSaved();
    }
  };
  const remove = async () => {
    await send('delete', '/api/usergroups/{groupId}', { params: { groupId: id } });
    toast(`Deleted ${name}`);
    go('users', 'groups');
  };
  const content = html`
    <${Field} form=${form} name="name" label="Name" required disabled=${disabled} />
    <${Field} form=${form} name="description" label="Description" disabled=${disabled} />
    <${Field} form=${form} name="active" label="Active: its users may sign in, and their access keys work"
      type="checkbox" disabled=${disabled} />
    <${PermissionTable} granted=${form.value.user_permissions} disabled=${disabled}
      onChange=${(/** @type {any} */ next) => form.set({ ...form.value, user_permissions: next })} />`;
  return html`
    <header class="page"><h1>${isNew ? 'Create a group' : name}</h1>
      ${!isNew && !disabled && html`<button type="button" class="danger"
        onClick=${() => setDeleting(true)}>Delete…</button>`}</header>
    <p class="hint"><a href=${href('users', 'groups')}>Groups</a>${!isNew && html` / <code>${id}</code>`}</p>
    ${disabled ? html`<div class="form">${content}</div>`
      : html`<${Form} form=${form} onSave=${save} action=${isNew ? 'Create' : 'Save'}
        onCancel=${() => go('users', 'groups')} label="User group">${content}<//>`}
    ${deleting && html`<${Confirm} title="Delete ${name}?" action="Delete the group" typed=${name} onConfirm=${remove}
      onClose=${() => setDeleting(false)}>
      <p>Its users lose the permissions that they have from it.</p><//>`}`;
}
