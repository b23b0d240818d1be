// The APIs that a policy or a key grants access to, and the policies of a key.
import { get } from './api.js';
import { html } from './html.js';
import { append, remove, stringAt } from './jsonedit.js';
import { find, membersOf, read, replace } from './jsontext.js';
import { Picker } from './picker.js';

/** @typedef {import('./picker.js').Choice} Choice */

/**
 * rightsPart is a field for the APIs of a document: a list of {id, name}. What is granted on an API that stays is not
 * touched: its versions, paths and limits.
 * @type {import('./jsonedit.js').Part}
 */
export const rightsPart = {
  read(text) {
    const rights = find(text, 'access_rights');
    if (!rights || text[rights.start] !== '{') return [];
    const all = membersOf(text, rights).map(({ name, start, end }) => {
      const right = text.slice(start, end);
      return { id: name, name: stringAt(right, 'api_name'), versions: versionsOf(right), limited: isLimited(right) };
    });
    return all.filter(({ id }, i) => all.findLastIndex((each) => each.id === id) === i);
  },
  write(text, value) {
    const before = rightsPart.read(text);
    for (const { id } of before) {
      if (!value.some((/** @type {Choice} */ each) => each.id === id)) text = withoutRight(text, id);
    }
    for (const choice of value) {
      if (!before.some((/** @type {Choice} */ each) => each.id === choice.id)) text = withRight(text, choice);
    }
    return text;
  },
};

/** @param {string} right */
function versionsOf(right) {
  const versions = read(right, 'versions');
  return Array.isArray(versions) ? versions.map(String) : [];
}

/** @param {string} right */
const isLimited = (right) => ['rate', 'quota_max'].some((name) => Number(read(right, 'limit', name)) > 0);

/** both is the list that a policy may have in addition, with the same rights. Gateways do not read it. */
const both = 'access_rights_array';

/**
 * @param {string} text
 * @param {string} id
 */
function withoutRight(text, id) {
  text = remove(text, 'access_rights', id);
  for (;;) {
    const list = find(text, both);
    const at = list ? membersOf(text, list).find(({ start, end }) => read(text.slice(start, end), 'api_id') === id) : undefined;
    if (!at) return text;
    text = remove(text, both, at.name);
  }
}

/**
 * @param {string} text
 * @param {Choice} choice
 */
function withRight(text, { id, name, versions }) {
  const right = JSON.stringify({ api_id: id, api_name: name, versions: versions?.length > 0 ? versions : ['Default'] });
  const rights = find(text, 'access_rights');
  if (!rights || text[rights.start] !== '{') text = replace(text, ['access_rights'], '{}');
  const list = find(text, both);
  text = replace(text, ['access_rights', id], right);
  return list && text.startsWith('[', find(text, both)?.start) ? append(text, [both], right) : text;
}

/**
 * searchAPIs finds APIs by their name, listen path or ID.
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<Choice[]>}
 */
export async function searchAPIs(text, signal) {
  const { apis } = await get('/api/apis', { query: { p: 1, q: text }, signal });
  return (apis ?? []).map(choiceOfAPI).filter(({ id }) => id !== '');
}

/**
 * choiceOfAPI returns an API as it is chosen.
 * @param {any} api
 * @returns {Choice}
 */
export function choiceOfAPI(api) {
  const { api_id, name, version_data: data } = api?.api_definition ?? {};
  const versions = data && data.not_versioned === false ? Object.keys(data.versions ?? {}) : [];
  return { id: String(api_id ?? ''), name: String(name ?? ''), versions };
}

/**
 * searchPolicies finds policies by their name or ID.
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<Choice[]>}
 */
export async function searchPolicies(text, signal) {
  const { Data } = await get('/api/portal/policies', { query: { p: 1, q: text }, signal });
  return (Data ?? []).map(choiceOfPolicy).filter(({ id }) => id !== '');
}

/**
 * choiceOfPolicy returns a policy as it is chosen: by the ID by which gateways know it.
 * @param {any} policy
 * @returns {Choice}
 */
export const choiceOfPolicy = (policy) => ({ id: String(policy?.id || policy?._id || ''), name: String(policy?.name ?? '') });

/**
 * RightsField is the field access_rights of a form.
 * @param {{form: import('./form.js').FormState, none: string}} props
 */
export function RightsField({ form, none }) {
  const problem = problemAt(form, '/access_rights');
  return html`<${Picker} label="APIs" placeholder="Search APIs" chosen=${form.value.access_rights} search=${searchAPIs}
    onChange=${(/** @type {Choice[]} */ chosen) => form.set({ ...form.value, access_rights: chosen })} none=${none} problem=${problem}
    about=${(/** @type {Choice} */ { versions = [], limited }) => html`${versions.some((/** @type {string} */ each) => each !== 'Default')
      && html`<span class="hint">versions ${versions.join(', ')}</span>`}${limited && html` <span class="badge">limits of its own</span>`}`} />`;
}

/**
 * PoliciesField is the field apply_policies of a form.
 * @param {{form: import('./form.js').FormState, names?: Record<string, string>}} props names are those of policies by ID
 */
export function PoliciesField({ form, names = {} }) {
  return html`<${Picker} label="Policies" placeholder="Search policies" search=${searchPolicies}
    chosen=${form.value.apply_policies.map((/** @type {Choice} */ each) => ({ ...each, name: each.name || names[each.id] || '' }))}
    onChange=${(/** @type {Choice[]} */ chosen) => form.set({
      ...form.value, apply_policies: chosen.map((each) => (each.id in names ? { id: each.id, name: '' } : each)),
    })}
    none="No policy is chosen." problem=${problemAt(form, '/apply_policies')} />`;
}

/**
 * @param {import('./form.js').FormState} form
 * @param {string} path
 */
const problemAt = (form, path) => form.error?.problems?.find((/** @type {any} */ each) => each.path === path)?.reason;
