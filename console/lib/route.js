// The address of a page is the fragment of the URL: #/policies/ID?p=2, and for an operator in an organisation
// #/org/ORGID/policies/ID?p=2.
import { store } from './store.js';

/**
 * @typedef {object} Route
 * @property {string} org the organisation that an operator acts in, or ''
 * @property {string} page the name of the page, '' for the first one
 * @property {string[]} rest what follows the name of the page in the path
 * @property {Record<string, string>} query
 */

/**
 * @param {string} hash
 * @returns {Route}
 */
export function parse(hash) {
  const [path, search] = hash.replace(/^#/, '').split('?', 2);
  let parts = path.split('/').filter(Boolean).map(decode);
  let org = '';
  if (parts[0] === 'org') [, org = '', ...parts] = parts;
  const [page = '', ...rest] = parts;
  return { org, page, rest, query: Object.fromEntries(new URLSearchParams(search)) };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** route is where the window is. */
export const route = store(parse(location.hash));

addEventListener('hashchange', () => route.set(parse(location.hash)));

/**
 * href returns the address of a page, in the organisation in which the operator acts unless another one is named.
 * @param {string} page and what follows it, as segments: href('policies', id)
 * @param {...(string | {org?: string, query?: Record<string, string | number | undefined>})} more
 */
export function href(page, ...more) {
  let { org } = route.get();
  let search = '';
  const segments = page ? [page] : [];
  for (const each of more) {
    if (typeof each === 'string') {
      segments.push(each);
      continue;
    }
    org = each.org ?? org;
    const given = Object.entries(each.query ?? {}).filter(([, value]) => value !== undefined && value !== '');
    if (given.length > 0) search = '?' + new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  }
  if (org) segments.unshift('org', org);
  return '#/' + segments.map(encodeURIComponent).join('/') + search;
}

/** @param {Parameters<typeof href>} target */
export function go(...target) {
  location.hash = href(...target);
}

/**
 * setQuery changes parameters of the page's address, without a step in the history: a search, the page of a list.
 * @param {Record<string, string | number | undefined>} changes
 */
export function setQuery(changes) {
  const { page, rest, query } = route.get();
  history.replaceState(null, '', href(page, ...rest, { query: { ...query, ...changes } }));
  route.set(parse(location.hash));
}
