// JSON as text. What is stored is never parsed and written again: 1.0, 1E+2, integers of any length, repeated names and
// the order of members stay as they are. Offsets count UTF-16 units, as strings do. The texts are valid JSON, unless a
// function says that it accepts any.

/**
 * Value is a value in a text.
 * @typedef {object} Value
 * @property {number} start
 * @property {number} end behind it
 */

/** @typedef {Value & {name: string}} Member name is an index in a list */

const space = /[ \t\r\n]/;

/**
 * @param {string} text
 * @param {number} at
 */
function skipSpace(text, at) {
  while (at < text.length && space.test(text[at])) at++;
  return at;
}

/**
 * endOfString returns the offset behind the string that begins at an offset.
 * @param {string} text
 * @param {number} at
 */
function endOfString(text, at) {
  for (let i = at + 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 92) i++; // a backslash
    else if (c === 34) return i + 1;
  }
  return text.length;
}

/**
 * endOf returns the offset behind the value that begins at an offset.
 * @param {string} text
 * @param {number} at
 */
export function endOf(text, at) {
  let depth = 0;
  let i = at;
  do {
    switch (text[i]) {
      case '"': i = endOfString(text, i); break;
      case '{': case '[': depth++; i++; break;
      case '}': case ']': depth--; i++; break;
      case ',': case ':': case ' ': case '\t': case '\r': case '\n': i++; break;
      default: while (i < text.length && !/[,:{}\[\]" \t\r\n]/.test(text[i])) i++;
    }
  } while (depth > 0 && i < text.length);
  return i;
}

/**
 * rootOf returns the value of a text.
 * @param {string} text
 * @returns {Value}
 */
export function rootOf(text) {
  const start = skipSpace(text, 0);
  return { start, end: endOf(text, start) };
}

/**
 * membersOf returns the members of an object, or the elements of a list; none of any other value.
 * @param {string} text
 * @param {Value} value
 * @returns {Member[]}
 */
export function membersOf(text, { start }) {
  const isObject = text[start] === '{';
  if (!isObject && text[start] !== '[') return [];
  /** @type {Member[]} */
  const members = [];
  let at = skipSpace(text, start + 1);
  while (at < text.length && text[at] !== '}' && text[at] !== ']') {
    let name = String(members.length);
    if (isObject) {
      const end = endOfString(text, at);
      name = unquote(text.slice(at, end));
      at = skipSpace(text, skipSpace(text, end) + 1); // the colon
    }
    const end = endOf(text, at);
    members.push({ name, start: at, end });
    at = skipSpace(text, end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return members;
}

/** @param {string} quoted */
function unquote(quoted) {
  try {
    return JSON.parse(quoted);
  } catch {
    return quoted;
  }
}

/**
 * find returns the value at a path, of repeated names the last one, as servers read it.
 * @param {string} text
 * @param {...string} path
 * @returns {Value | undefined}
 */
export function find(text, ...path) {
  /** @type {Value | undefined} */
  let value = rootOf(text);
  for (const name of path) {
    if (!value) return undefined;
    value = membersOf(text, value).findLast((member) => member.name === name);
  }
  return value;
}

/**
 * read returns a value as JavaScript has it, to show it; undefined if there is none.
 * @param {string} text
 * @param {...string} path
 * @returns {any}
 */
export function read(text, ...path) {
  const value = find(text, ...path);
  try {
    return value && JSON.parse(text.slice(value.start, value.end));
  } catch {
    return undefined;
  }
}

/**
 * replace returns a text with another value at a path. A member that the object at its end lacks is added in front; if
 * that object is missing, the text stays as it is.
 * @param {string} text
 * @param {string[]} path
 * @param {string} json the new value
 */
export function replace(text, path, json) {
  const value = find(text, ...path);
  if (value) return text.slice(0, value.start) + json + text.slice(value.end);
  const parent = find(text, ...path.slice(0, -1));
  if (!parent || text[parent.start] !== '{') return text;
  const separator = membersOf(text, parent).length > 0 ? ',' : '';
  const member = JSON.stringify(path[path.length - 1]) + ':' + json + separator;
  return text.slice(0, parent.start + 1) + member + text.slice(parent.start + 1);
}

/**
 * format returns a text with a line for each member, or the text itself if it is no JSON. Only spaces between the
 * tokens change. It pauses for the page now and then: a text may have 16 MB.
 * @param {string} text
 */
export async function format(text) {
  const formatting = formatted(text);
  for (let paused = performance.now(); ;) {
    const { done, value } = formatting.next();
    if (done) return value ?? text;
    if (performance.now() - paused < pauseAfter) continue;
    await new Promise((resolve) => setTimeout(resolve));
    paused = performance.now();
  }
}

const pauseAfter = 30; // milliseconds
const tokensAtOnce = 5000;

/**
 * @param {string} text
 * @returns {Generator<undefined, string | undefined>}
 */
function* formatted(text) {
  /** @type {string[]} */
  const out = [];
  /** @type {string[]} */
  const open = [];
  const line = () => out.push('\n' + '  '.repeat(open.length));
  let tokens = 0;
  for (let at = skipSpace(text, 0); at < text.length; at = skipSpace(text, at)) {
    if (++tokens % tokensAtOnce === 0) yield;
    const c = text[at];
    const end = endOfToken(text, at);
    if (end === at) return undefined;
    if (c === '{' || c === '[') {
      const closing = c === '{' ? '}' : ']';
      const next = skipSpace(text, end);
      out.push(c);
      if (text[next] === closing) {
        out.push(closing);
        at = next + 1;
        continue;
      }
      open.push(closing);
      line();
    } else if (c === '}' || c === ']') {
      if (open.pop() !== c) return undefined;
      line();
      out.push(c);
    } else {
      out.push(text.slice(at, end));
      if (c === ',') line();
      if (c === ':') out.push(' ');
    }
    at = end;
  }
  return open.length > 0 ? undefined : out.join('');
}

/**
 * @param {string} text
 * @param {number} at
 */
function endOfToken(text, at) {
  const c = text[at];
  if (c === '"') return endOfString(text, at);
  return '{}[],:'.includes(c) ? at + 1 : endOf(text, at);
}

/**
 * pointerOf returns the JSON pointer to a member.
 * @param {string} pointer
 * @param {string} name
 */
export const pointerOf = (pointer, name) => pointer + '/' + name.replaceAll('~', '~0').replaceAll('/', '~1');
