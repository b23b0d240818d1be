// A form for some members of a JSON document. Nothing else of the document changes when it is saved: not a byte.
import { find, read, replace } from './jsontext.js';

/**
 * FieldOf is a member of the document that a form shows. Its name in the form is its path, joined by /, as in the JSON
 * pointers of the server's problems.
 * @typedef {object} FieldOf
 * @property {string} name such as event_options/key_event/email
 * @property {string | number | boolean} absent what the form shows for a member that is absent, or null
 */

/**
 * valuesOf returns what a form shows of a document.
 * @param {string} text
 * @param {FieldOf[]} fields
 * @returns {Record<string, any>}
 */
export function valuesOf(text, fields) {
  return Object.fromEntries(fields.map(({ name, absent }) => {
    const value = read(text, ...name.split('/'));
    return [name, typeof value === typeof absent ? value : absent];
  }));
}

/**
 * withValues returns a document with what a form has changed.
 * @param {string} text
 * @param {FieldOf[]} fields
 * @param {Record<string, any>} values
 */
export function withValues(text, fields, values) {
  const before = valuesOf(text, fields);
  for (const { name } of fields) {
    if (values[name] !== undefined && values[name] !== before[name]) text = set(text, name.split('/'), values[name]);
  }
  return text;
}

/**
 * set sets a member, and makes the objects around it where they are missing.
 * @param {string} text
 * @param {string[]} path
 * @param {unknown} value
 */
export function set(text, path, value) {
  for (let depth = 1; depth < path.length; depth++) {
    const around = find(text, ...path.slice(0, depth));
    if (!around || text[around.start] !== '{') text = replace(text, path.slice(0, depth), '{}');
  }
  return replace(text, path, JSON.stringify(value));
}
