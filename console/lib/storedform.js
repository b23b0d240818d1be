// A form of a stored document. It changes what was changed in the form, and keeps every other byte of the document:
//
//   const { form, changed, text } = useStoredForm('policy ' + id, stored, parts);
//
// The draft has the changed fields only. So they are applied to the latest document, if somebody else has changed it
// meanwhile, and `outdated` says so.
import { useForm } from './form.js';
import { useMemo } from './html.js';
import { isSame, readParts, writeParts } from './jsonedit.js';

/** @typedef {{text: string, etag: string}} Stored */

const etagName = '$etag'; // in a draft, the ETag of the document that the fields were changed in

/**
 * @param {string} name of the draft
 * @param {Stored} stored
 * @param {Record<string, import('./jsonedit.js').Part>} parts
 * @returns {{form: import('./form.js').FormState, changed: boolean, outdated: boolean, text: () => string}}
 */
export function useStoredForm(name, stored, parts) {
  const draft = useForm(name, useMemo(() => ({}), []));
  const initial = useMemo(() => readParts(parts, stored.text), [stored.text]);
  const { [etagName]: etag, ...fields } = draft.value;
  const changed = Object.keys(fields).length > 0;
  const value = { ...initial, ...fields };
  const set = (/** @type {any} */ next) => {
    const changes = Object.entries(next).filter(([field, each]) => !isSame(each, initial[field]));
    if (changes.length === 0) draft.discard({});
    else draft.set({ ...Object.fromEntries(changes), [etagName]: etag ?? stored.etag });
  };
  return {
    form: { ...draft, value, set, discard: () => draft.discard({}) },
    changed, outdated: changed && etag !== stored.etag,
    text: () => writeParts(parts, stored.text, value),
  };
}
