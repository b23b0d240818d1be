// What the pages of APIs share: what an API is, what is read of its document, and its requests.
import { send } from './api.js';
import { find, read, replace } from './jsontext.js';

/**
 * Stored is an API as the server has it: the text that is sent, and its ETag.
 * @typedef {object} Stored
 * @property {string} text the whole document
 * @property {string} etag
 * @property {boolean} oas
 */

/**
 * fetchAPI returns an API.
 * @param {string} apiId
 * @param {AbortSignal} [signal]
 * @returns {Promise<Stored>}
 */
export async function fetchAPI(apiId, signal) {
  const { data, etag } = await send('get', '/api/apis/{apiId}', { params: { apiId }, signal, raw: true });
  const text = String(data);
  return { text, etag, oas: isOAS(text) };
}

/** @param {string} text */
function isOAS(text) {
  const document = find(text, 'oas');
  return read(text, 'api_definition', 'is_oas') === true && document !== undefined && text[document.start] === '{';
}

/**
 * editedText returns the part of a stored API that is edited: of an OAS API its document, else all of it.
 * @param {Stored} stored
 */
export function editedText({ text, oas }) {
  const document = oas && find(text, 'oas');
  return document ? text.slice(document.start, document.end) : text;
}

/**
 * saveAPI replaces an API by what editedText has become. With an ETag, it fails with status 412 if the API has changed
 * since.
 * @param {string} apiId
 * @param {boolean} oas
 * @param {string} text
 * @param {string} ifMatch
 */
export function saveAPI(apiId, oas, text, ifMatch) {
  return oas
    ? send('put', '/api/apis/oas/{apiId}', { params: { apiId }, body: text, ifMatch })
    : send('put', '/api/apis/{apiId}', { params: { apiId }, body: text, ifMatch });
}

/**
 * createAPI creates an API of what editedText returns, and returns its ID.
 * @param {boolean} oas
 * @param {string} text
 */
export async function createAPI(oas, text) {
  const { data } = oas
    ? await send('post', '/api/apis/oas', { body: text })
    : await send('post', '/api/apis', { body: text });
  return data.ID;
}

const extension = 'x-tyk-api-gateway';

/** Where the members of the two kinds of APIs are, in what editedText returns. */
const paths = {
  classic: {
    active: ['api_definition', 'active'], name: ['api_definition', 'name'], id: ['api_definition', 'api_id'],
    databaseID: ['api_definition', 'id'], listenPath: ['api_definition', 'proxy', 'listen_path'],
  },
  oas: {
    active: [extension, 'info', 'state', 'active'], name: [extension, 'info', 'name'], id: [extension, 'info', 'id'],
    databaseID: [extension, 'info', 'dbId'], listenPath: [extension, 'server', 'listenPath', 'value'],
  },
};

/** @param {boolean} oas */
const pathsOf = (oas) => (oas ? paths.oas : paths.classic);

/**
 * withActive returns the edited text of an API that is active, or not.
 * @param {Stored} stored
 * @param {boolean} active
 */
export function withActive(stored, active) {
  const { active: path } = pathsOf(stored.oas);
  let text = editedText(stored);
  if (stored.oas && !find(text, ...path.slice(0, -1))) text = replace(text, path.slice(0, -1), '{}');
  return replace(text, path, String(active));
}

/**
 * copyOf returns the edited text of a copy of an API, which has IDs of its own and is not active.
 * @param {Stored} stored
 * @param {{name: string, listenPath: string}} as
 */
export function copyOf(stored, { name, listenPath }) {
  const { id, databaseID, name: namePath, listenPath: path } = pathsOf(stored.oas);
  let text = withActive(stored, false);
  for (const [at, json] of /** @type {[string[], string][]} */ ([
    [id, '""'], [databaseID, '""'], [namePath, JSON.stringify(name)], [path, JSON.stringify(listenPath)],
  ])) {
    text = replace(text, at, json);
  }
  return text;
}

/**
 * Summary is what lists and the summary show of an API.
 * @typedef {object} Summary
 * @property {string} id
 * @property {string} name
 * @property {boolean} active
 * @property {boolean} oas
 * @property {string} type
 * @property {string} listenPath
 * @property {string} domain
 * @property {string} target
 * @property {string[]} authentication
 * @property {string[]} categories
 * @property {string} created
 * @property {string} updated
 */

/** @type {[string, (definition: any) => boolean][]} */
const authentications = [
  ['keyless', (d) => d.use_keyless], ['basic', (d) => d.use_basic_auth], ['HMAC', (d) => d.enable_signature_checking],
  ['JWT', (d) => d.enable_jwt], ['OAuth 2', (d) => d.use_oauth2], ['external OAuth', (d) => d.external_oauth?.enabled],
  ['OpenID', (d) => d.use_openid], ['mutual TLS', (d) => d.use_mutual_tls_auth],
  ['coprocess', (d) => d.enable_coprocess_auth], ['Go plugin', (d) => d.use_go_plugin_auth],
  ['custom plugin', (d) => d.custom_plugin_auth_enabled], ['token', (d) => d.use_standard_auth],
];

/**
 * summaryOf returns what is shown of an API.
 * @param {any} api
 * @returns {Summary}
 */
export function summaryOf(api) {
  const definition = api?.api_definition ?? {};
  const authentication = authentications.filter(([, has]) => has(definition) === true).map(([name]) => name);
  return {
    id: String(definition.api_id ?? ''), name: String(definition.name ?? ''), active: definition.active !== false,
    oas: definition.is_oas === true, type: typeOf(definition),
    listenPath: String(definition.proxy?.listen_path ?? ''), domain: String(definition.domain ?? ''),
    target: String(definition.proxy?.target_url ?? ''),
    authentication: authentication.length > 0 ? authentication : ['token'],
    categories: Array.isArray(api?.categories) ? api.categories.map(String) : [],
    created: String(api?.created_at ?? ''), updated: String(api?.updated_at ?? ''),
  };
}

/** @param {any} definition */
function typeOf(definition) {
  const kind = definition.graphql?.enabled ? 'GraphQL' : /^(tcp|tls)$/.test(definition.protocol) ? 'TCP' : 'REST';
  const form = definition.is_oas ? 'OAS' : 'classic';
  return [kind, form, definition.internal && 'internal'].filter(Boolean).join(', ');
}
