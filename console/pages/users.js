// Users of an organisation, and one of them.
import { address, get, send } from '../lib/api.js';
import { Confirm, Dialog } from '../lib/dialog.js';
import { Badge, Empty, Failure, Loading, Secret, Time } from '../lib/feedback.js';
import { Field, Form, useForm } from '../lib/form.js';
import { html, useState } from '../lib/html.js';
import { List, useLoaded } from '../lib/list.js';
import { grants, PermissionTable, Summary } from '../lib/permissions.js';
import { go, href, route } from '../lib/route.js';
import { isOperator, may, session } from '../lib/session.js';
import { Tabs } from '../lib/tabs.js';
import { toast } from '../lib/toast.js';
import { GroupPage, Groups } from './groups.js';

/** @typedef {import('../types').Schemas['User']} User */

export default function Users() {
  const { rest: [id, group], query } = route.use();
  if (id === 'groups') return group ? html`<${GroupPage} key=${group} id=${group} />` : html`<${Lists}
    current="groups" />`;
  if (!id) return html`<${Lists} current="users" />`;
  return id === 'new' ? html`<${New} key=${query.administrator} administrator=${query.administrator === 'true'} />` : html`<${One} key=${id} id=${id} />`;
}

/** @param {{current: 'users' | 'groups'}} props */
function Lists({ current }) {
  const tabs = [{ name: 'users', title: 'Users' }, ...(may('user_groups') ? [{ name: 'groups', title: 'Groups' }] : [])];
  const create = current === 'users'
    ? may('users', 'write') && html`<a class="button primary"
    href=${href('users', 'new')}>Create a user</a>`
    : may('user_groups', 'write') && html`<a class="button primary"
      href=${href('users', 'groups', 'new')}>Create a group</a>`;
  return html`
    <header class="page"><h1>Users</h1>${create}</header>
    <${Tabs} label="Users and groups" tabs=${tabs} current=${current}
      onChange=${(/** @type {string} */ name) => name === 'groups' ? go('users', 'groups') : go('users')}>
      ${current === 'groups' ? html`<${Groups} />` : html`<${All} />`}<//>`;
}

/** @param {User} user */
const nameOf = (user) => `${user.first_name} ${user.last_name}`.trim() || user.email_address;

/** @type {import('../lib/list.js').Column<User>[]} */
const columns = [
  { title: 'Name', cell: (user) => html`<a href=${href('users', user.id)}><strong>${nameOf(user)}</strong></a>` },
  { title: 'E-mail address', cell: (user) => user.email_address },
  { title: 'Permissions', cell: (user) => html`<${Summary} granted=${user.user_permissions} />` },
  { title: 'State', cell: (user) => html`<${State} user=${user} />` },
];

/** @param {{user: User}} props */
function State({ user }) {
  return user.active ? html`<${Badge} kind="good">active<//>` : html`<${Badge}>inactive<//>`;
}

function All() {
  return html`
    <${List} caption="Users" search="Search users" columns=${columns} keyOf=${(/** @type {User} */ user) => user.id}
      empty=${html`<${FirstUser} />`}
      load=${async (/** @type {any} */ { page, search, signal }) => {
        const { users, pages } = await get('/api/users', { query: { p: page, q: search || undefined }, signal });
        return { items: users, pages };
      }} />`;
}

function FirstUser() {
  const { org } = route.get();
  return html`<${Empty} title="There is no user yet" command=${`curl -sS ${address('/admin/users')} -H "Admin-Auth: $ADMIN_SECRET" \\
  -d '{"email_address": "ines@rivermouth.example", "first_name": "Ines", "active": true,
       "org_id": "${org}"}'`}
    action=${html`<a class="button primary" href=${href('users', 'new', { query: { administrator: 'true' } })}>Create an
      administrator</a>`}>
    <p>Create an administrator first: they create the other users, and import APIs.</p><//>`;
}

/**
 * Profile are the fields of a user that can be changed.
 * @param {{form: import('../lib/form.js').FormState, disabled?: boolean, children?: any}} props
 */
function Profile({ form, disabled = false, children }) {
  const value = form.value;
  const granted = value.user_permissions;
  const admin = grants(granted, 'IsAdmin');
  /** @param {any} event */
  const setAdmin = (event) => {
    const { IsAdmin: _, ...others } = granted;
    form.set({ ...value, user_permissions: event.target.checked ? { ...others, IsAdmin: 'admin' } : others });
  };
  return html`
    <${Field} form=${form} name="first_name" label="First name" disabled=${disabled} />
    <${Field} form=${form} name="last_name" label="Last name" disabled=${disabled} />
    <${Field} form=${form} name="email_address" label="E-mail address" type="email" required disabled=${disabled} />
    <${Field} form=${form} name="active" label="Active: may sign in, and the access key works" type="checkbox"
      disabled=${disabled} />
    <${GroupField} form=${form} disabled=${disabled} />
    ${mayGrantAdmin() && html`<div class="field check"><label><input type="checkbox" checked=${admin}
      disabled=${disabled} onChange=${setAdmin} />Administrator: may do everything in the organisation</label></div>`}
    ${children}
    ${admin ? html`<p class="hint">An administrator has every permission.</p>`
      : html`<${PermissionTable} granted=${granted} disabled=${disabled}
        onChange=${(/** @type {any} */ next) => form.set({ ...value, user_permissions: next })} />`}`;
}

const mayGrantAdmin = () => isOperator() || session.get()?.is_admin === true;

/** @param {{form: import('../lib/form.js').FormState, disabled: boolean}} props */
function GroupField({ form, disabled }) {
  const allowed = may('user_groups');
  const { data, error } = useLoaded(
    async (signal) => allowed ? get('/api/usergroups', { query: { p: -1 }, signal }) : undefined, []);
  if (!allowed) return null;
  const groups = (data?.groups ?? []).map((group) => ({ value: String(group.id), text: group.name || String(group.id) }));
  const current = form.value.group_id;
  const unknown = current && !groups.some((group) => group.value === current) ? [{ value: current, text: current }] : [];
  return html`<${Failure} error=${error} />
    <${Field} form=${form} name="group_id" label="Group" hint="The user has the permissions of the group, too."
      disabled=${disabled}
      options=${[{ value: '', text: 'none' }, ...unknown, ...groups]} />`;
}

const newUser = { first_name: '', last_name: '', email_address: '', active: true, group_id: '', user_permissions: {} };

/** @param {{administrator: boolean}} props whether the form begins with an administrator */
function New({ administrator }) {
  const form = useForm(administrator ? 'administrator' : 'user', administrator
    ? { ...newUser, user_permissions: { IsAdmin: 'admin', ...(isOperator() && { ResetPassword: 'admin' }) } } : newUser);
  const [made, setMade] = useState(/** @type {User | null} */ (null));
  const create = async (/** @type {any} */ { user_permissions: granted, ...profile }) => {
    const { ResetPassword: resets, ...others } = granted;
    if (resets && grants(others, 'IsAdmin')) { // which only the admin API grants
      const body = { ...profile, user_permissions: granted, org_id: route.get().org };
      setMade((await send('post', '/admin/users', { body })).data.Meta);
      return;
    }
    const { data } = await send('post', '/api/users', { body: { ...profile, user_permissions: others } });
    setMade(await get('/api/users/{userId}', { params: { userId: String(data.Meta) } }));
  };
  if (made) return html`<${Made} user=${made} />`;
  return html`<h1>${administrator ? 'Create an administrator' : 'Create a user'}</h1>
    <${Form} form=${form} onSave=${create} action="Create" onCancel=${() => go('users')} label="New user"><${Profile}
      form=${form}>${isOperator() && html`<${MayReset} form=${form} />`}<//><//>`;
}

/**
 * MayReset is whether a new administrator may set the passwords of others, which only operators allow.
 * @param {{form: import('../lib/form.js').FormState}} props
 */
function MayReset({ form: { value, set } }) {
  const { ResetPassword: resets, ...others } = value.user_permissions;
  if (!grants(others, 'IsAdmin')) return null;
  return html`<div class="field check"><label><input type="checkbox" checked=${Boolean(resets)}
    onChange=${(/** @type {any} */ event) => set({
      ...value, user_permissions: event.target.checked ? { ...others, ResetPassword: 'admin' } : others,
    })} />May set the passwords of others</label></div>`;
}

/**
 * Made shows the access key of a new user, and leads on.
 * @param {{user: User}} props
 */
function Made({ user }) {
  const [open, setOpen] = useState(false);
  return html`<h1>Created ${nameOf(user)}</h1><${AccessKey} value=${user.access_key} />
    <p>To sign in here, the user needs a password, or signs on elsewhere.${' '}
      ${!mayResetPasswords() && whoSetsPasswords}</p>
    <div class="buttons">
      ${mayResetPasswords() && html`<button type="button" class="primary" onClick=${() => setOpen(true)}>Set a
        password…</button>`}
      <a class="button" href=${href('users', user.id)}>Open the user</a>
      <a class="button" href=${href('users')}>All users</a></div>
    ${open && html`<${Password} user=${user} isSelf=${false} onClose=${() => setOpen(false)} onSaved=${() => {}} />`}`;
}

const whoSetsPasswords = 'An operator sets it, or an administrator whom an operator has allowed to reset passwords.';

/** @param {{value: string}} props */
function AccessKey({ value }) {
  if (!value) return html`<p
    class="hint">The access key is not shown to you. The user finds it at GET /api/users/me.</p>`;
  return html`<${Secret} label="Access key" value=${value}>
    Programs send it in the header Authorization. It is shown only now.<//>`;
}

/** @param {{id: string}} props */
function One({ id }) {
  const { data: user, error, reload } = useLoaded(
    (signal) => get('/api/users/{userId}', { params: { userId: id }, signal }), [id]);
  const [key, setKey] = useState('');
  if (error && !user) return html`<${Failure} error=${error} retry=${reload} />`;
  if (!user) return html`<${Loading} />`;
  return html`
    <header class="page"><h1>${nameOf(user)}</h1><${State} user=${user} /></header>
    <p class="hint"><a href=${href('users')}>Users</a> / ${user.email_address} <code>${user.id}</code></p>
    ${key && html`<${AccessKey} value=${key} />`}
    <div class="columns"><${Edit} key=${JSON.stringify(user)} user=${user} onSaved=${reload} />
      <${Actions} user=${user} onChanged=${reload} onKey=${setKey} /></div>`;
}

/**
 * What is stored of a user, and can be changed here.
 * @param {User} user
 */
const changeable = ({ first_name, last_name, email_address, active, group_id, user_permissions, password_max_days }) =>
  ({ first_name, last_name, email_address, active, group_id, user_permissions, password_max_days });

/**
 * change changes a user. Operators do so by the admin API, which also changes the last administrator of an organisation.
 * @param {string} userId
 * @param {ReturnType<typeof changeable>} body
 */
const change = (userId, body) =>
  send('put', isOperator() ? '/admin/users/{userId}' : '/api/users/{userId}', { params: { userId }, body });

/** @param {{user: User, onSaved: () => void}} props */
function Edit({ user, onSaved }) {
  const form = useForm('user ' + user.id, changeable(user));
  const disabled = !may('users', 'write');
  const save = async (/** @type {any} */ body) => {
    await change(user.id, body);
    toast('Saved');
    onSaved();
  };
  if (disabled) return html`<div class="form"><${Profile} form=${form} disabled /></div>`;
  return html`<${Form} form=${form} onSave=${save} action="Save" label="User"><${Profile} form=${form} /><//>`;
}

/**
 * Actions are what can be done to a user at once.
 * @param {{user: User, onChanged: () => void, onKey: (key: string) => void}} props
 */
function Actions({ user, onChanged, onKey }) {
  const [open, setOpen] = useState('');
  const [error, setError] = useState(/** @type {any} */ (null));
  const close = () => setOpen('');
  const params = { userId: user.id };
  const isSelf = session.get()?.user_id === user.id;
  const write = may('users', 'write');
  const resets = grants(user.user_permissions, 'ResetPassword');
  /** @param {() => Promise<unknown>} action @param {string} done */
  const run = async (action, done) => {
    setError(null);
    try {
      await action();
      toast(done);
      onChanged();
    } catch (failure) {
      setError(failure);
    }
  };
  const renew = async () => {
    await send('put', '/api/users/{userId}/actions/key/reset', { params });
    const { access_key } = await get('/api/users/{userId}', { params });
    onKey(access_key);
    toast(access_key ? 'The user has a new access key' : 'The user has a new access key, which nobody else sees');
    onChanged();
  };
  const remove = async () => {
    await send('delete', isOperator() ? '/admin/users/{userId}' : '/api/users/{userId}', { params });
    toast(`Deleted ${nameOf(user)}`);
    go('users');
  };
  const revoke = () => isOperator() ? change(user.id, { ...changeable(user), active: false })
    : send('put', '/api/users/{userId}/actions/revoke', { params });
  const allow = resets ? '/admin/users/{userId}/actions/disallow_reset_passwords'
    : '/admin/users/{userId}/actions/allow_reset_passwords';
  return html`
    <aside class="card" aria-label="Actions">
      <dl class="facts">
        <div><dt>Created</dt><dd><${Time} value=${user.created_at} /></dd></div>
        <div><dt>Last sign-in</dt><dd><${Time} value=${user.last_login_date} /></dd></div>
        <div><dt>Password set</dt><dd><${Time} value=${user.password_updated} /></dd></div>
        <div><dt>May reset the passwords of others</dt><dd>${resets ? 'yes' : 'no'}</dd></div>
      </dl>
      <${Failure} error=${error} />
      ${(isSelf || mayResetPasswords()) && html`<button type="button"
        onClick=${() => setOpen('password')}>Set a password…</button>`}
      ${!isSelf && write && !mayResetPasswords() && html`<p class="hint">You may not set the password. ${whoSetsPasswords}</p>`}
      ${(isSelf || write) && html`<button type="button" onClick=${() => setOpen('key')}>Renew the access key…</button>`}
      ${isOperator() && html`<button type="button"
        onClick=${() => run(() => send('put', allow, { params }), resets ? 'Disallowed' : 'Allowed')}>
        ${resets ? 'Disallow resetting passwords' : 'Allow resetting passwords'}</button>`}
      ${write && user.active && html`<button type="button"
        onClick=${() => run(revoke, 'The user is inactive')}>Set inactive</button>`}
      ${(isSelf || write) && html`<button type="button" class="danger"
        onClick=${() => setOpen('delete')}>Delete…</button>`}
      ${open === 'password' && html`<${Password} user=${user} isSelf=${isSelf} onClose=${close}
        onSaved=${onChanged} />`}
      ${open === 'key' && html`<${Confirm} title="Renew the access key?" action="Renew the key" onConfirm=${renew}
        onClose=${close}>
        <p>The present key of ${nameOf(user)} stops working at once, and sessions that are open end.</p><//>`}
      ${open === 'delete' && html`<${Confirm} title="Delete ${nameOf(user)}?" action="Delete the user"
        typed=${user.email_address} onConfirm=${remove} onClose=${close}>
        <p>The access key stops working at once. This cannot be undone.</p><//>`}
    </aside>`;
}

const mayResetPasswords = () =>
  isOperator() || (session.get()?.is_admin === true && grants(session.get()?.permissions, 'ResetPassword'));

/** @param {{user: User, isSelf: boolean, onClose: () => void, onSaved: () => void}} props */
function Password({ user, isSelf, onClose, onSaved }) {
  const form = useForm('', { current_password: '', new_password: '' });
  const save = async (/** @type {any} */ { current_password, new_password }) => {
    const body = isSelf ? { current_password, new_password } : { new_password };
    await send('post', '/api/users/{userId}/actions/reset', { params: { userId: user.id }, body });
    toast('The password is set');
    onClose();
    onSaved();
  };
  return html`
    <${Dialog} title="Set the password of ${nameOf(user)}" onClose=${onClose}>
      <${Form} form=${form} onSave=${save} action="Set the password" onCancel=${onClose}>
        ${isSelf && html`<${Field} form=${form} name="current_password" label="Current password" type="password"
          autocomplete="current-password" hint="Empty if there is none yet." />`}
        <${Field} form=${form} name="new_password" label="New password" type="password"
          autocomplete="new-password" hint="At least 6 characters." required />
      <//><//>`;
}
