// Signing in: by e-mail address and password, by the admin secret, or by the nonce of a sign-on (#nonce=…), which is
// removed from the address at once. Above a page whose session has ended, nothing that was typed there is lost.
import { APIError, get, send } from '../lib/api.js';
import { Confirm, Dialog } from '../lib/dialog.js';
import { Failure } from '../lib/feedback.js';
import { Field, Form, useForm } from '../lib/form.js';
import { html, useEffect, useState } from '../lib/html.js';
import { identity, pendingSignIn, session } from '../lib/session.js';
import { Tabs } from '../lib/tabs.js';

/** @typedef {{org_id: string, org_name: string}} Organisation */

const icon = new URL('../icon.svg', import.meta.url).href;

/** nonce is what the address had, and has no longer. */
let nonce = new URLSearchParams(location.hash.slice(1)).get('nonce') ?? '';
if (nonce) history.replaceState(null, '', location.pathname + location.search);

/** hasNonce reports whether the address had a nonce that was not redeemed yet. */
export const hasNonce = () => nonce !== '';

/**
 * ReplaceSession asks somebody with a session whether the nonce is to replace it: any link can have one, of anybody.
 * @param {{onDone: () => void}} props
 */
export function ReplaceSession({ onDone }) {
  const close = () => {
    nonce = '';
    onDone();
  };
  const replace = async () => {
    const once = nonce;
    nonce = '';
    await send('post', '/api/session', { body: { nonce: once }, anonymous: true });
    location.reload(); // nothing on the page is that of somebody else
  };
  const current = session.get();
  return html`
    <${Confirm} title="Sign in as somebody else?" action="Use the sign-on" onConfirm=${replace} onClose=${close}>
      <p>A sign-on has led here. You are signed in as${' '}
        <strong>${current?.kind === 'operator' ? 'an operator' : current?.name || current?.email_address}</strong>
        ${current?.org_name && html` of <strong>${current.org_name}</strong>`}: the sign-on would end this session.</p>
    <//>`;
}

/** SignInPage is all that somebody without a session sees. */
export function SignInPage() {
  useEffect(() => document.querySelector('input')?.focus(), []);
  return html`
    <main id="main" class="signin"><h1><img src=${icon} alt="" width="28" height="28" />gatehouse</h1>
      <${SignIn} onDone=${session.set} /></main>`;
}

/** SignInAgain is above a page, whose requests wait. Somebody else who signs in gets a page of their own. */
export function SignInAgain() {
  const before = session.get();
  const done = (/** @type {import('../lib/session.js').Session} */ current) => {
    if (identity(current) !== identity(before ?? undefined)) {
      location.hash = '';
      location.reload();
      return;
    }
    session.set(current);
    pendingSignIn.get()?.();
  };
  return html`
    <${Dialog} title="Sign in again">
      <p>The session has ended. What you have typed is still here: sign in, and go on.</p>
      <${SignIn} onDone=${done} operator=${before?.kind === 'operator'} />
    <//>`;
}

const ways = [{ name: 'user', title: 'User' }, { name: 'operator', title: 'Operator' }];

/** @param {{onDone: (session: any) => void, operator?: boolean}} props */
function SignIn({ onDone, operator = false }) {
  const [way, setWay] = useState(operator ? 'operator' : 'user');
  const [error, setError] = useState(/** @type {any} */ (null));
  const open = async (/** @type {any} */ { admin_secret, ...credential }) => {
    if (admin_secret) await send('post', '/admin/session', { headers: { 'Admin-Auth': admin_secret }, anonymous: true });
    else await send('post', '/api/session', { body: credential, anonymous: true });
    onDone(await get('/api/session', { anonymous: true }));
  };
  useEffect(() => {
    if (!nonce) return;
    const once = nonce;
    nonce = '';
    open({ nonce: once }).catch(setError);
  }, []);
  return html`
    <${Failure} error=${error} />
    <${Tabs} label="Sign in as" tabs=${ways} current=${way} onChange=${setWay}>
      ${way === 'user' ? html`<${ByPassword} key="user" open=${open} />` : html`<${BySecret} key="operator" open=${open} />`}
    <//>`;
}

/** @param {{open: (credential: any) => Promise<void>}} props */
function ByPassword({ open }) {
  const form = useForm('', { email_address: '', password: '', org_id: '' });
  const [choices, setChoices] = useState(/** @type {Organisation[]} */ ([]));
  const save = async (/** @type {any} */ { org_id, ...credential }) => {
    try {
      await open(org_id ? { ...credential, org_id } : credential);
    } catch (error) {
      const all = error instanceof APIError && error.status === 409 ? organisationsOf(error.body) : [];
      if (all.length === 0) throw error;
      setChoices(all);
      form.set({ ...form.value, org_id: all[0].org_id });
    }
  };
  return html`
    <${Form} form=${form} onSave=${save} action="Sign in" label="Sign in as a user">
      <${Field} form=${form} name="email_address" label="E-mail address" type="email" autocomplete="username" required />
      <${Field} form=${form} name="password" label="Password" type="password" autocomplete="current-password" required />
      ${choices.length > 0 && html`<${Field} form=${form} name="org_id" label="Organisation"
        hint="Several organisations have a user with this address."
        options=${choices.map(({ org_id, org_name }) => ({ value: org_id, text: org_name || org_id }))} />`}
    <//>
    <p class="hint">An administrator of your organisation sets your password. On a new server, sign in as an operator
      first.</p>`;
}

/**
 * organisationsOf returns the organisations that an e-mail address belongs to.
 * @param {any} body
 * @returns {Organisation[]}
 */
function organisationsOf(body) {
  return body?.organisations ?? [];
}

/** @param {{open: (credential: any) => Promise<void>}} props */
function BySecret({ open }) {
  const form = useForm('', { admin_secret: '' });
  return html`
    <${Form} form=${form} onSave=${open} action="Sign in" label="Sign in as an operator">
      <${Field} form=${form} name="admin_secret" label="Admin secret" type="password" autocomplete="off" required
        hint="The server printed it at its first start, and keeps it in the file admin-secret of its data directory." />
    <//>`;
}
