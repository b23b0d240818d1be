// A key of a gateway, and a new one.
import { get, send } from '../lib/api.js';
import { Confirm } from '../lib/dialog.js';
import { useStoredForm } from '../lib/storedform.js';
import { Command, Empty, Loading, Secret, Time } from '../lib/feedback.js';
import { Field, Form, useForm } from '../lib/form.js';
import { html, useState } from '../lib/html.js';
import { flagPart, listPart, textPart, writeParts } from '../lib/jsonedit.js';
import { find, read, replace } from '../lib/jsontext.js';
import { keyOf, refOf, shortened } from '../lib/keyrefs.js';
import { LimitFields, limitParts, quotaInWords, rateInWords } from '../lib/limits.js';
import { useLoaded } from '../lib/list.js';
import { choiceOfAPI, choiceOfPolicy, PoliciesField, RightsField, rightsPart } from '../lib/rights.js';
import { go, href, route } from '../lib/route.js';
import { may } from '../lib/session.js';
import { toast } from '../lib/toast.js';
import { Expiry, GatewayFailure, KeyState } from './keys.js';

/** @typedef {import('../lib/picker.js').Choice} Choice */

/** @type {import('../lib/jsonedit.js').Part} */
const policiesPart = {
  read(text) {
    const list = read(text, 'apply_policies');
    const ids = Array.isArray(list) && list.length > 0 ? list : [read(text, 'apply_policy_id')];
    return ids.filter(Boolean).map((id) => ({ id: String(id), name: '' }));
  },
  write(text, value) {
    const ids = JSON.stringify(value.map((/** @type {Choice} */ each) => each.id));
    const former = find(text, 'apply_policy_id') ? replace(text, ['apply_policy_id'], '""') : text;
    return replace(former, ['apply_policies'], ids);
  },
};

/** The form has the time at which a key expires as the reader's clock shows it. */
/** @type {import('../lib/jsonedit.js').Part} */
const expiryPart = {
  read(text) {
    const seconds = Number(read(text, 'expires'));
    if (!(seconds > 0)) return '';
    const at = new Date(seconds * 1000);
    return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  },
  write: (text, value) => replace(text, ['expires'], value ? String(Math.floor(new Date(value).getTime() / 1000)) : '0'),
};

/** @type {Record<string, import('../lib/jsonedit.js').Part>} */
const parts = {
  alias: textPart('alias'), is_inactive: flagPart('is_inactive'), apply_policies: policiesPart, access_rights: rightsPart,
  ...limitParts, expires: expiryPart, tags: listPart('tags'),
};

/** @param {{by: string, reference: string}} props by is "key" for a reference, and "hash" for the hash of a key */
export function KeyPage({ by, reference }) {
  const keyId = by === 'hash' ? reference : keyOf(reference);
  return html`
    <p class="crumb"><a href=${href('keys')}>Keys</a></p>
    ${keyId ? html`<${Key} keyId=${keyId} />` : html`<${Empty} title="This window does not know the key">
      <p>The address of a key names it in the window only in which it was looked up. Look the key up again.</p>
      <p><a class="button" href=${href('keys')}>Look up a key</a></p><//>`}`;
}

/** guess has the server take what may be the hash of a key for one. */
const guess = /** @type {const} */ ({ auto_guess: true });

/** @param {{keyId: string}} props */
function Key({ keyId }) {
  const { data, error, reload } = useLoaded(async (signal) => {
    const reply = await send('get', '/api/keys/{keyId}', { params: { keyId }, query: guess, signal, raw: true });
    const text = String(reply.data);
    const session = find(text, 'data');
    const stored = { text: session ? text.slice(session.start, session.end) : '{}', etag: '' };
    return { stored, names: await namesOf(policiesPart.read(stored.text), signal) };
  }, [keyId]);
  if (!data) {
    if (!error) return html`<${Loading} />`;
    return error.status === 404 ? html`<${Unknown} keyId=${keyId} />` : html`<${GatewayFailure} error=${error} retry=${reload} />`;
  }
  const session = JSON.parse(data.stored.text);
  return html`
    <${Header} keyId=${keyId} session=${session} />
    <${GatewayFailure} error=${error} retry=${reload} />
    ${may('keys', 'write') ? html`<${Settings} keyId=${keyId} stored=${data.stored} names=${data.names} reload=${reload} />`
      : html`<${Summary} session=${session} text=${data.stored.text} names=${data.names} />`}`;
}

/** @param {{keyId: string}} props */
function Unknown({ keyId }) {
  return html`<${Empty} title="The gateway has no such key">
    <p>No key of this organisation is <code>${shortened(keyId)}</code>. It may have expired, or have been deleted.</p>
    <p><a class="button" href=${href('keys')}>Look up another key</a></p><//>`;
}

/**
 * namesOf returns the names of policies by their IDs, as far as the session may read them.
 * @param {Choice[]} policies
 * @param {AbortSignal} signal
 * @returns {Promise<Record<string, string>>}
 */
async function namesOf(policies, signal) {
  if (!may('policies')) return {};
  const names = await Promise.all(policies.map(async ({ id }) => {
    const policy = await get('/api/portal/policies/{policyId}', { params: { policyId: id }, signal }).catch(() => undefined);
    return [id, String(policy?.name ?? '')];
  }));
  return Object.fromEntries(names);
}

/** @param {{keyId: string, session: any}} props */
function Header({ keyId, session }) {
  const [shown, setShown] = useState(false);
  const [confirming, setConfirming] = useState(false);
  return html`
    <header class="page">
      <h1 class="name">${session.alias || `Key ${shortened(keyId)}`} <${KeyState} session=${session} /></h1>
      <span class="row">
        <button type="button" aria-expanded=${shown ? 'true' : 'false'} onClick=${() => setShown(!shown)}>${shown ? 'Hide the key' : 'Show the key'}</button>
        ${may('keys', 'write') && html`<button type="button" class="danger" onClick=${() => setConfirming(true)}>Delete</button>`}
      </span>
    </header>
    ${shown && html`<${Command} text=${keyId} />`}
    <dl class="line">
      <div><dt>Created</dt><dd><${Time} value=${session.date_created} /></dd></div>
      <div><dt>Expires</dt><dd><${Expiry} session=${session} /></dd></div>
      ${session.quota_max > 0 && html`<div><dt>Quota left</dt><dd>${Number(session.quota_remaining).toLocaleString()} of ${session.quota_max.toLocaleString()}</dd></div>`}
    </dl>
    ${confirming && html`<${Confirm} title="Delete the key" action="Delete" onClose=${() => setConfirming(false)}
      onConfirm=${async () => {
        await send('delete', '/api/keys/{keyId}', { params: { keyId }, query: guess });
        toast('The key is deleted');
        go('keys');
      }}>
      <p>Gateways refuse requests with <strong class="name">${session.alias || shortened(keyId)}</strong> from then on. This cannot be undone.</p><//>`}`;
}

/** @param {{session: any, text: string, names: Record<string, string>}} props */
function Summary({ session, text, names }) {
  const policies = policiesPart.read(text);
  const none = html`<span class="hint">none</span>`;
  const list = (/** @type {Choice[]} */ all) => all.length === 0 ? none
    : html`<ul class="plain">${all.map(({ id, name }) => html`<li>${name || names[id] || id} <code>${id}</code></li>`)}</ul>`;
  const rows = [
    ['Policies', list(policies)], ['APIs', list(rightsPart.read(text))], ['Rate limit', rateInWords(session)],
    ['Quota', quotaInWords(session)], ['Tags', parts.tags.read(text) || none],
  ];
  return html`<dl class="facts">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {{keyId: string, stored: import('../lib/storedform.js').Stored, names: Record<string, string>, reload: () => Promise<void>}} props */
function Settings({ keyId, stored, names, reload }) {
  const [reset, setReset] = useState(false);
  const { form, changed, text } = useStoredForm('key ' + refOf(keyId), stored, parts);
  const save = async () => {
    await send('put', '/api/keys/{keyId}', {
      params: { keyId }, query: { ...guess, suppress_reset: reset ? undefined : '1' }, body: text(),
    });
    setReset(false);
    await reload(); // what is typed next is a change of what is stored now
    toast('The key is saved');
  };
  return html`
    <${Form} form=${form} onSave=${save} action="Save" onCancel=${changed ? () => {} : undefined} cancel="Discard changes" label="Settings of the key">
      <${Field} form=${form} name="alias" label="Name" autocomplete="off" hint="Shown in lists, and in logs and analytics of gateways." />
      <${Field} form=${form} name="is_inactive" label="Gateways refuse the key" type="checkbox" />
      <${PoliciesField} form=${form} names=${names} />
      ${form.value.apply_policies.length > 0
        ? html`<p class="hint">What the key opens, and its limits, are those of its policies.</p>`
        : html`<${RightsField} form=${form} none="No API is chosen." /><${LimitFields} form=${form} />`}
      <${Field} form=${form} name="expires" label="Expires" type="datetime-local" hint="Empty is never." />
      <${Field} form=${form} name="tags" label="Tags" autocomplete="off" hint="Gateways add them to analytics. Separate them by commas." />
      <div class="field check"><label><input type="checkbox" checked=${reset}
        onChange=${(/** @type {any} */ event) => setReset(event.target.checked)} />Start the quota again when the key is saved</label></div>
    <//>`;
}

const blank = JSON.stringify({
  alias: '', apply_policies: [], access_rights: {}, rate: 100, per: 60, quota_max: -1, quota_renewal_rate: -1, expires: 0, tags: [],
});

const sources = [{ value: 'policies', text: 'what policies grant' }, { value: 'apis', text: 'APIs that I choose, with limits' }];

/** NewKey is #/keys/new, with ?policy=ID and ?api=ID for what is chosen at first. */
export function NewKey() {
  const { query: { policy = '', api = '' } } = route.use();
  const [created, setCreated] = useState(/** @type {any} */ (null));
  const { data } = useLoaded(async (signal) => ({
    policies: policy ? [await policyChoice(policy, signal)] : [], apis: api ? [await apiChoice(api, signal)] : [],
  }), [policy, api]);
  return html`
    <p class="crumb"><a href=${href('keys')}>Keys</a></p>
    <h1>${created ? 'The key is created' : 'New key'}</h1>
    ${created ? html`<${Created} created=${created} onAnother=${() => setCreated(null)} />`
      : data ? html`<${Create} name=${`new key ${policy} ${api}`} chosen=${data} onCreated=${setCreated} />` : html`<${Loading} />`}`;
}

/**
 * @param {string} policyId
 * @param {AbortSignal} signal
 * @returns {Promise<Choice>}
 */
const policyChoice = (policyId, signal) => get('/api/portal/policies/{policyId}', { params: { policyId }, signal })
  .then(choiceOfPolicy, () => ({ id: policyId, name: '' }));

/**
 * @param {string} apiId
 * @param {AbortSignal} signal
 * @returns {Promise<Choice>}
 */
const apiChoice = (apiId, signal) => get('/api/apis/{apiId}', { params: { apiId }, signal }).then(choiceOfAPI, () => ({ id: apiId, name: '' }));

/** @param {{name: string, chosen: {policies: Choice[], apis: Choice[]}, onCreated: (key: any) => void}} props */
function Create({ name, chosen, onCreated }) {
  const [initial] = useState(() => ({
    alias: '', source: chosen.apis.length > 0 ? 'apis' : 'policies', apply_policies: chosen.policies, access_rights: chosen.apis,
    rate: '100', per: '60', quota_max: '', quota_renewal_rate: '', expires: '', tags: '',
  }));
  const form = useForm(name, initial);
  const byPolicies = form.value.source === 'policies';
  const text = () => sessionText(form.value);
  const save = async () => {
    if (byPolicies && form.value.apply_policies.length === 0) throw new Error('Choose a policy. A key without one would open nothing.');
    if (!byPolicies && form.value.access_rights.length === 0) throw new Error('Choose an API. A key without one would open nothing.');
    onCreated((await send('post', '/api/keys', { body: text() })).data);
  };
  const command = `curl -sS ${new URL('../api/keys', document.baseURI)} \\
  -H "Authorization: $ACCESS_KEY" \\
  -d '${text().replaceAll("'", "'\\''")}'`;
  return html`
    <${Form} form=${{ ...form, error: ownError(form.error) }} onSave=${save} action="Create the key" onCancel=${() => go('keys')} label="New key">
      <${Field} form=${form} name="alias" label="Name" autocomplete="off" hint="Shown in lists, and in logs and analytics of gateways." />
      <${Field} form=${form} name="source" label="The key opens" options=${sources} />
      ${byPolicies ? html`<${PoliciesField} form=${form} />`
        : html`<${RightsField} form=${form} none="No API is chosen." /><${LimitFields} form=${form} />`}
      <${Field} form=${form} name="expires" label="Expires" type="datetime-local" hint="Empty is never." />
      <${Field} form=${form} name="tags" label="Tags" autocomplete="off" hint="Gateways add them to analytics. Separate them by commas." />
    <//>
    ${gatewayHelp(form.error)}
    <details class="same"><summary>The same from a terminal</summary><${Command} text=${command} /></details>`;
}

/**
 * ownError returns an error unless gatewayHelp shows it.
 * @param {any} error
 */
const ownError = (error) => (isOfGateway(error) ? null : error);

/** @param {any} error */
const isOfGateway = (error) => error?.status === 500;

/** @param {any} error */
const gatewayHelp = (error) => isOfGateway(error) && html`<${GatewayFailure} error=${error} />`;

/** @param {any} value of the form of a new key */
function sessionText({ source, ...value }) {
  const ofPolicies = { alias: value.alias, apply_policies: value.apply_policies, expires: value.expires, tags: value.tags };
  const { apply_policies, ...ofAPIs } = value;
  if (source !== 'policies') return writeParts(partsOf(ofAPIs), blank, ofAPIs);
  return writeParts(partsOf(ofPolicies), '{"alias":"","apply_policies":[],"expires":0,"tags":[]}', ofPolicies);
}

/** @param {Record<string, any>} value */
const partsOf = (value) => Object.fromEntries(Object.keys(value).map((name) => [name, parts[name]]));

/** @param {{created: any, onAnother: () => void}} props */
function Created({ created: { key_id: keyId, key_hash: hash }, onAnother }) {
  return html`
    <${Secret} label="The new key" value=${keyId}>Give it to the client now: a gateway that stores hashes of keys cannot show it
      again. The client sends it with each request, in the header <code>Authorization</code> unless the API names another one.<//>
    ${hash && html`<dl class="line"><div><dt>Its hash</dt><dd><code>${hash}</code></dd></div></dl>`}
    <p class="row"><a class="button" href=${href('keys', 'key', refOf(keyId))}>Open the key</a>
      <button type="button" onClick=${onAnother}>Create another key</button></p>`;
}
