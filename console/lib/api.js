// Requests to the server. Paths, parameters, bodies and replies are those of the contracts:
//
//   const { Data, Pages } = await get('/api/portal/policies', { query: { p: 2 } });
//   await send('put', '/api/portal/policies/{policyId}', { params: { policyId }, body });
//
// They throw an APIError for what the server refuses, and a NetworkError if it does not answer. If the session has
// ended, they wait until somebody has signed in again, above the page, and are repeated.
import { route } from './route.js';
import { isOperator, pendingSignIn } from './session.js';

/** @typedef {import('../types').Method} Method */

/** Problem is a part of a request that is wrong: where it is, as a JSON pointer, and why. */
/** @typedef {{path: string, reason: string}} Problem */

/** APIError is a response that is an error. message is the server's. */
export class APIError extends Error {
  /**
   * @param {Response} response
   * @param {any} body
   */
  constructor(response, body) {
    super(body?.Message || body?.error || `The server answered with status ${response.status}.`);
    this.name = 'APIError';
    this.status = response.status;
    this.requestID = response.headers.get('X-Request-ID') ?? '';
    this.body = body;
    /** @type {Problem[]} */
    this.problems = Array.isArray(body?.Meta?.errors) ? body.Meta.errors : [];
  }
}

/** NetworkError is a request without a response. It may have been carried out. */
export class NetworkError extends Error {
  constructor() {
    super('The server did not answer. Check the connection, and try again: what you have typed is still here.');
    this.name = 'NetworkError';
  }
}

/** base is the URL that the paths of the API begin at: the page is one level below it, at /console/. */
const base = new URL('../', document.baseURI);

/**
 * address returns the URL of a path, for a link to a file too.
 * @param {string} path
 * @param {{params?: Record<string, string>, query?: any}} [options]
 */
export function address(path, { params = {}, query = {} } = {}) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(params[name]));
  const url = new URL(filled.replace(/^\//, ''), base);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') url.searchParams.set(name, String(value));
  }
  return url;
}

/**
 * get returns the body of a response to GET.
 * @template {import('../types').PathOf<'get'>} P
 * @param {P} path
 * @param {import('../types').Options<'get', P>} [options]
 * @returns {Promise<import('../types').Reply<'get', P>>}
 */
export const get = async (path, options) => (await send('get', path, options)).data;

/**
 * send sends a request, and returns the body of the response, its ETag and its headers.
 * @template {Method} M
 * @template {import('../types').PathOf<M>} P
 * @param {M} method
 * @param {P} path
 * @param {import('../types').Options<M, P>} [options]
 * @returns {Promise<{data: import('../types').Reply<M, P>, etag: string, headers: Headers}>}
 */
export async function send(method, path, options = {}) {
  const request = prepare(method, path, options);
  for (;;) {
    const response = await transmit(address(path, options), request);
    if (response.status === 401 && !options.anonymous) {
      if (await organisationIsGone(request)) throw new APIError(response, { Message: 'This organisation does not exist.' });
      await signedIn();
      continue;
    }
    const data = await bodyOf(response, options.raw && response.ok);
    if (!response.ok) throw new APIError(response, data);
    return { data, etag: response.headers.get('ETag') ?? '', headers: response.headers };
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {any} options
 * @returns {RequestInit}
 */
function prepare(method, path, { body, headers = {}, ifMatch, signal }) {
  const all = new Headers(headers);
  if (!all.has('Accept')) all.set('Accept', 'application/json');
  const { org } = route.get();
  if (org && isOperator() && path.startsWith('/api/')) all.set('X-Organisation', org);
  if (ifMatch) all.set('If-Match', ifMatch);
  const asIs = body === undefined || typeof body === 'string' || body instanceof Blob || body instanceof FormData;
  if (!asIs || (typeof body === 'string' && !all.has('Content-Type'))) all.set('Content-Type', 'application/json');
  return {
    method: method.toUpperCase(), headers: all, signal, cache: 'no-store', body: asIs ? body : JSON.stringify(body),
  };
}

/**
 * @param {URL} url
 * @param {RequestInit} request
 */
async function transmit(url, request) {
  try {
    return await fetch(url, request);
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new NetworkError();
  }
}

/**
 * @param {Response} response
 * @param {boolean} [raw] return the text as it is
 */
async function bodyOf(response, raw = false) {
  let text = '';
  try {
    text = await response.text();
  } catch {
    throw new NetworkError();
  }
  if (raw) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * organisationIsGone reports whether a request was refused because of the organisation that it names: the session is
 * valid without it.
 * @param {RequestInit} request
 */
async function organisationIsGone({ headers }) {
  if (!(headers instanceof Headers) || !headers.has('X-Organisation')) return false;
  return (await transmit(address('/api/session'), { cache: 'no-store' })).ok;
}

/** @type {Promise<void> | null} */
let waiting = null;

/** signedIn waits until somebody has signed in again. All requests that need it wait for the same. */
function signedIn() {
  waiting ??= new Promise((resolve) => {
    pendingSignIn.set(() => {
      pendingSignIn.set(null);
      waiting = null;
      resolve();
    });
  });
  return waiting;
}
