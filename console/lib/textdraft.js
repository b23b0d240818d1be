// What is typed into an editor survives a reload of the page: it is kept in the window's session storage, for this user
// and organisation, together with the ETag of the stored text that it is a change of.
import { route } from './route.js';
import { identity } from './session.js';

/** @typedef {{etag: string, text: string}} TextDraft */

/** @param {string} name */
const keyOf = (name) => `text ${identity()} ${route.get().org} ${name}`;

/**
 * readDraft returns a draft, or undefined.
 * @param {string} name
 * @returns {TextDraft | undefined}
 */
export function readDraft(name) {
  const stored = sessionStorage.getItem(keyOf(name));
  if (stored === null) return undefined;
  const end = stored.indexOf('\n');
  return { etag: stored.slice(0, end), text: stored.slice(end + 1) };
}

/**
 * keepDraft keeps a draft. It returns whether it could: browsers keep some five million characters.
 * @param {string} name
 * @param {TextDraft} draft
 */
export function keepDraft(name, { etag, text }) {
  try {
    sessionStorage.setItem(keyOf(name), etag + '\n' + text);
    return true;
  } catch {
    sessionStorage.removeItem(keyOf(name));
    return false;
  }
}

/** @param {string} name */
export function dropDraft(name) {
  sessionStorage.removeItem(keyOf(name));
}
