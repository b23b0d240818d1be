// Changes of JSON texts that keep every byte that they are not about; see jsontext.js.
import { find, membersOf, read, replace } from './jsontext.js';

/**
 * remove returns a text without the member or the element at the end of a path; of repeated names, without any of them.
 * @param {string} text
 * @param {...string} path
 */
export function remove(text, ...path) {
  const name = path[path.length - 1];
  for (;;) {
    const parent = find(text, ...path.slice(0, -1));
    const members = parent ? membersOf(text, parent) : [];
    const at = members.findLastIndex((member) => member.name === name);
    if (!parent || at < 0) return text;
    text = withoutMember(text, parent, members, at);
    if (text[parent.start] === '[') return text;
  }
}

/**
 * @param {string} text
 * @param {import('./jsontext.js').Value} parent
 * @param {import('./jsontext.js').Member[]} members
 * @param {number} at
 */
function withoutMember(text, parent, members, at) {
  if (members.length === 1) return text.slice(0, parent.start + 1) + text.slice(parent.end - 1);
  if (at > 0) return text.slice(0, members[at - 1].end) + text.slice(members[at].end); // with the comma before it
  const next = nameStart(text, members[0].end);
  return text.slice(0, parent.start + 1) + text.slice(next);
}

/**
 * nameStart returns the offset behind the comma that follows a member.
 * @param {string} text
 * @param {number} at
 */
const nameStart = (text, at) => text.indexOf(',', at) + 1;

/**
 * append returns a text with another element at the end of a list. What is no list becomes one.
 * @param {string} text
 * @param {string[]} path
 * @param {string} json
 */
export function append(text, path, json) {
  const list = find(text, ...path);
  if (!list || text[list.start] !== '[') return replace(text, path, `[${json}]`);
  const elements = membersOf(text, list);
  const end = elements.length > 0 ? elements[elements.length - 1].end : list.start + 1;
  return text.slice(0, end) + (elements.length > 0 ? ',' : '') + json + text.slice(end);
}

/**
 * numberAt returns a number as it is written, or '': JavaScript has no 9007199254740993, and forgets that 1.0 is not 1.
 * @param {string} text
 * @param {...string} path
 */
export function numberAt(text, ...path) {
  const value = find(text, ...path);
  return value && /[-0-9]/.test(text[value.start]) ? text.slice(value.start, value.end) : '';
}

/**
 * stringAt returns a string, or ''.
 * @param {string} text
 * @param {...string} path
 */
export function stringAt(text, ...path) {
  const value = read(text, ...path);
  return typeof value === 'string' ? value : '';
}

/** isNumber matches the numbers of JSON. */
export const isNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+\-]?\d+)?$/;

/**
 * Part is how a field of a form is read from a text, and written to it.
 * @typedef {object} Part
 * @property {(text: string) => any} read
 * @property {(text: string, value: any) => string} write
 */

/**
 * textPart is a field for a string.
 * @param {...string} path
 * @returns {Part}
 */
export const textPart = (...path) => ({
  read: (text) => stringAt(text, ...path),
  write: (text, value) => replace(text, path, JSON.stringify(value)),
});

/**
 * flagPart is a field for true and false.
 * @param {...string} path
 * @returns {Part}
 */
export const flagPart = (...path) => ({
  read: (text) => read(text, ...path) === true,
  write: (text, value) => replace(text, path, String(value)),
});

/**
 * limitPart is a field for a number that limits something: empty is no limit, which none stands for.
 * @param {string} none
 * @param {...string} path
 * @returns {Part}
 */
export const limitPart = (none, ...path) => ({
  read(text) {
    const number = numberAt(text, ...path);
    return Number(number) > 0 ? number : '';
  },
  write: (text, value) => replace(text, path, isNumber.test(value) ? value : none),
});

/**
 * listPart is a field for a list of strings, with commas between them.
 * @param {...string} path
 * @returns {Part}
 */
export const listPart = (...path) => ({
  read(text) {
    const list = read(text, ...path);
    return Array.isArray(list) ? list.join(', ') : '';
  },
  write: (text, value) => replace(text, path, JSON.stringify(namesIn(value))),
});

/** @param {string} text */
const namesIn = (text) => text.split(',').map((each) => each.trim()).filter(Boolean);

/**
 * readParts returns what a form shows of a text.
 * @param {Record<string, Part>} parts
 * @param {string} text
 */
export const readParts = (parts, text) =>
  Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part.read(text)]));

/**
 * writeParts returns a text in which those parts are changed that differ from what the text has.
 * @param {Record<string, Part>} parts
 * @param {string} text
 * @param {any} value of the form
 */
export function writeParts(parts, text, value) {
  const before = readParts(parts, text);
  for (const [name, part] of Object.entries(parts)) {
    if (!isSame(before[name], value[name])) text = part.write(text, value[name]);
  }
  return text;
}

/**
 * isSame compares values of fields: strings, booleans, and lists of objects.
 * @param {any} a
 * @param {any} b
 */
export const isSame = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);
