// Checks of texts before anything is stored: by the server, with line and column of each problem.
import { send } from './api.js';
import { find, membersOf } from './jsontext.js';

/** @typedef {import('../types').Schemas['TextCheck']} TextCheck */
/** @typedef {import('../types').Schemas['CheckedDocument']} CheckedDocument */
/** @typedef {import('../types').Schemas['LocatedProblem']} Problem */

/** maxText is the size in bytes that the server checks at most. */
export const maxText = 4 << 20;

/**
 * check checks a text. With documents, the reply has each document as it is to be stored, as text.
 * @param {string | Blob} text
 * @param {{signal?: AbortSignal, documents?: boolean}} [options]
 * @returns {Promise<{data: TextCheck, bodies: string[]}>}
 */
export async function check(text, { signal, documents = false } = {}) {
  const { data: reply } = await send('post', '/api/apis/check', {
    body: /** @type {any} */ (text), headers: { 'Content-Type': 'text/plain' }, signal, raw: true,
    query: documents ? { documents } : {},
  });
  const raw = String(reply);
  const list = documents ? find(raw, 'documents') : undefined;
  const bodies = list ? membersOf(raw, list).map((each) => {
    const body = membersOf(raw, each).find(({ name }) => name === 'document');
    return body ? raw.slice(body.start, body.end) : '';
  }) : [];
  return { data: JSON.parse(raw), bodies };
}

/**
 * problemsOf returns all problems of a text.
 * @param {TextCheck} data
 * @returns {Problem[]}
 */
export const problemsOf = (data) => [...data.problems, ...data.documents.flatMap((each) => each.problems)];

/**
 * warningsOf returns all warnings of a text.
 * @param {TextCheck} data
 * @returns {Problem[]}
 */
export const warningsOf = (data) => data.documents.flatMap((each) => each.warnings);
