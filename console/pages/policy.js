// A policy: its settings in a form, and its text. Whatever the form does not show, it leaves as it is stored.
import { send } from '../lib/api.js';
import { Confirm } from '../lib/dialog.js';
import { useStoredForm } from '../lib/storedform.js';
import { Command, Failure, Loading, Time } from '../lib/feedback.js';
import { Field, Form } from '../lib/form.js';
import { html, useState } from '../lib/html.js';
import { listPart, limitPart, remove, stringAt, textPart, writeParts } from '../lib/jsonedit.js';
import { find, read, replace } from '../lib/jsontext.js';
import { Duration, inWords, LimitFields, limitParts, quotaInWords, rateInWords } from '../lib/limits.js';
import { useLoaded } from '../lib/list.js';
import { RightsField, rightsPart } from '../lib/rights.js';
import { go, href, route, setQuery } from '../lib/route.js';
import { may } from '../lib/session.js';
import { Tabs } from '../lib/tabs.js';
import { TextOf } from '../lib/textof.js';
import { toast } from '../lib/toast.js';
import { State, stateOf, states } from './policies.js';

/** @typedef {import('../lib/storedform.js').Stored} Stored */

/** @type {Record<string, import('../lib/jsonedit.js').Part>} */
const parts = {
  name: textPart('name'),
  state: {
    read: (text) => stateOf({ active: read(text, 'active'), is_inactive: read(text, 'is_inactive') }),
    write: (text, state) => replace(replace(text, ['active'], String(state !== 'draft')), ['is_inactive'], String(state === 'denied')),
  },
  access_rights: rightsPart,
  ...limitParts,
  key_expires_in: limitPart('0', 'key_expires_in'),
  tags: listPart('tags'),
};

/**
 * fetchPolicy returns a policy as it is stored.
 * @param {string} policyId
 * @param {AbortSignal} [signal]
 * @returns {Promise<Stored>}
 */
async function fetchPolicy(policyId, signal) {
  const { data, etag } = await send('get', '/api/portal/policies/{policyId}', { params: { policyId }, signal, raw: true });
  return { text: String(data), etag };
}

const tabs = [{ name: 'settings', title: 'Settings' }, { name: 'text', title: 'Text' }];

/** @param {{id: string}} props */
export default function PolicyPage({ id }) {
  const { query } = route.use();
  const { data: stored, error, reload } = useLoaded((signal) => fetchPolicy(id, signal), [id]);
  const view = query.view ?? 'settings';
  return html`
    <p class="crumb"><a href=${href('policies')}>Policies</a></p>
    ${!stored && (error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} />`)}
    ${stored && html`
      <${Header} id=${id} text=${stored.text} />
      <${Failure} error=${error} retry=${reload} />
      <${Tabs} label="Views of the policy" tabs=${tabs} current=${view}
        onChange=${(/** @type {string} */ name) => setQuery({ view: name === 'settings' ? undefined : name })}>
        ${view !== 'settings' ? html`<${TextOf} key=${stored.etag} name=${'policy ' + id} label="Text of the policy" stored=${stored} writes=${may('policies', 'write')}
            save=${(/** @type {Stored} */ changed) => replacePolicy(id, changed)} read=${() => fetchPolicy(id)} onSaved=${reload} />`
          : may('policies', 'write') ? html`<${Settings} id=${id} stored=${stored} reload=${reload} />`
            : html`<${Summary} text=${stored.text} />`}
      <//>`}`;
}

/**
 * @param {string} policyId
 * @param {Stored} policy its new text, and the ETag of the one that it is a change of
 */
const replacePolicy = (policyId, { text, etag }) =>
  send('put', '/api/portal/policies/{policyId}', { params: { policyId }, body: text, ifMatch: etag });

/** @param {{id: string, text: string}} props */
function Header({ id, text }) {
  const [confirming, setConfirming] = useState(false);
  const name = stringAt(text, 'name') || id;
  return html`
    <header class="page">
      <h1 class="name">${name} <${State} state=${parts.state.read(text)} /></h1>
      <span class="row">
        ${may('keys', 'write') && html`<a class="button" href=${href('keys', 'new', { query: { policy: id } })}>Create a key</a>`}
        ${may('policies', 'write') && html`
          <a class="button" href=${href('policies', 'new', { query: { from: id } })}>Duplicate</a>
          <button type="button" class="danger" onClick=${() => setConfirming(true)}>Delete</button>`}
      </span>
    </header>
    <dl class="line">
      <div><dt>ID</dt><dd><code>${stringAt(text, 'id') || stringAt(text, '_id') || id}</code></dd></div>
      <div><dt>Created</dt><dd><${Time} value=${stringAt(text, 'date_created')} /></dd></div>
      <div><dt>Changed</dt><dd><${Time} value=${updated(text)} /></dd></div>
    </dl>
    ${confirming && html`<${Confirm} title="Delete the policy" action="Delete" typed=${name} onClose=${() => setConfirming(false)}
      onConfirm=${async () => {
        await send('delete', '/api/portal/policies/{policyId}', { params: { policyId: id } });
        toast('The policy is deleted');
        go('policies');
      }}>
      <p>Keys that have no other policy open nothing any more. This cannot be undone.</p><//>`}`;
}

/** @param {string} text */
function updated(text) {
  const seconds = Number(stringAt(text, 'last_updated'));
  return seconds > 0 ? new Date(seconds * 1000).toISOString() : '';
}

/** @param {{text: string}} props */
function Summary({ text }) {
  const limits = JSON.parse(text);
  const apis = rightsPart.read(text);
  const expires = parts.key_expires_in.read(text);
  const none = html`<span class="hint">none</span>`;
  const rows = [
    ['APIs', apis.length > 0 ? html`<ul class="plain">${apis.map((/** @type {any} */ each) => html`<li>${each.name || each.id} <code>${each.id}</code></li>`)}</ul>` : none],
    ['Rate limit', rateInWords(limits)], ['Quota', quotaInWords(limits)],
    ['Keys expire', expires ? `${inWords(expires)} after they are made` : html`<span class="hint">never</span>`],
    ['Tags', parts.tags.read(text) || none],
  ];
  return html`<dl class="facts">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {{id: string, stored: Stored, reload: () => Promise<void>}} props */
function Settings({ id, stored, reload }) {
  const { form, changed, outdated, text } = useStoredForm('policy ' + id, stored, parts);
  const save = async () => {
    try {
      await replacePolicy(id, { text: text(), etag: stored.etag });
    } catch (error) {
      if (error.status === 412) await reload(); // what was changed here is applied to the latest
      throw error;
    }
    await reload(); // what is typed next is a change of what is stored now
    toast('The policy is saved');
  };
  return html`
    <${Form} form=${form} onSave=${save} action="Save" onCancel=${changed ? () => {} : undefined} cancel="Discard changes" label="Settings of the policy">
      ${outdated && html`<p class="notice" role="status">Somebody else has changed the policy since you changed this form.
        The other fields show the policy as it is now. Save to apply your changes to it.</p>`}
      <${PolicyFields} form=${form} />
    <//>`;
}

/** @param {{form: import('../lib/form.js').FormState}} props */
function PolicyFields({ form }) {
  return html`
    <${Field} form=${form} name="name" label="Name" required autocomplete="off" />
    <${Field} form=${form} name="state" label="State"
      options=${Object.entries(states).map(([value, text]) => ({ value, text }))} />
    <${RightsField} form=${form} none="No API is chosen: the policy limits keys, and opens nothing." />
    <${LimitFields} form=${form} />
    <${Duration} form=${form} name="key_expires_in" label="Keys expire after" placeholder="never"
      hint="Counts from when a key is made. Empty is never." />
    <${Field} form=${form} name="tags" label="Tags" autocomplete="off" hint="Gateways add them to analytics. Separate them by commas." />`;
}

const blank = JSON.stringify({
  name: '', active: true, is_inactive: false, access_rights: {}, rate: 100, per: 60, quota_max: -1, quota_renewal_rate: -1,
  key_expires_in: 0, tags: [],
});

/** NewPolicy is #/policies/new, and with ?from=ID a copy of a policy. */
export function NewPolicy() {
  const { query: { from = '' } } = route.use();
  const { data, error, reload } = useLoaded(async (signal) => (from ? copyOf(await fetchPolicy(from, signal)) : { text: blank, etag: '' }), [from]);
  return html`
    <p class="crumb"><a href=${href('policies')}>Policies</a></p>
    <h1>${from ? 'Duplicate a policy' : 'New policy'}</h1>
    ${!data && (error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} />`)}
    ${data && html`<${Create} key=${from} from=${from} stored=${data} />`}`;
}

/**
 * copyOf returns a policy without what only one policy has.
 * @param {Stored} stored
 * @returns {Stored}
 */
function copyOf({ text, etag }) {
  const name = `Copy of ${stringAt(text, 'name')}`;
  for (const own of ['_id', 'id', 'date_created', 'last_updated']) text = find(text, own) ? remove(text, own) : text;
  return { text: writeParts({ name: parts.name }, text, { name }), etag };
}

/** @param {{from: string, stored: Stored}} props */
function Create({ from, stored }) {
  const { form, text } = useStoredForm('new policy ' + from, stored, parts);
  const save = async () => {
    const { data } = await send('post', '/api/portal/policies', { body: text() });
    toast('The policy is created');
    go('policies', String(data.Message));
  };
  const command = `curl -sS ${new URL('../api/portal/policies', document.baseURI)} \\
  -H "Authorization: $ACCESS_KEY" \\
  -d '${text().replaceAll("'", "'\\''")}'`;
  return html`
    <${Form} form=${form} onSave=${save} action="Create" onCancel=${() => go('policies')} label="New policy">
      <${PolicyFields} form=${form} />
    <//>
    <details class="same"><summary>The same from a terminal</summary><${Command} text=${command} /></details>`;
}
