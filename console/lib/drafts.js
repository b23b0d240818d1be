// What has been typed into a form survives a reload of the page, a restart of the server and a lost session: it is
// kept in the window's session storage until the form is saved or discarded, for this user and organisation only.
// Passwords and secrets are not for a draft.
import { useState } from './html.js';
import { route } from './route.js';
import { identity } from './session.js';

/** @param {string} name */
const keyOf = (name) => `draft ${identity()} ${route.get().org} ${name}`;

/**
 * @template T
 * @param {string} key
 * @returns {T | undefined}
 */
function stored(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? '');
  } catch {
    return undefined;
  }
}

/**
 * @param {string} key
 * @param {unknown} value
 */
function keep(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch { // the storage is full: the form works without
    sessionStorage.removeItem(key);
  }
}

/**
 * useDraft is useState for what a form holds. restored tells that it is from an earlier visit.
 * @template T
 * @param {string} name of the form, with the ID of what it edits; '' keeps nothing
 * @param {T} initial
 * @returns {{value: T, set: (value: T) => void, discard: (value?: T) => void, restored: boolean}}
 */
export function useDraft(name, initial) {
  const [key] = useState(() => (name ? keyOf(name) : ''));
  const [kept] = useState(() => (key ? stored(key) : undefined));
  const [value, setValue] = useState(kept ?? initial);
  const [restored, setRestored] = useState(kept !== undefined);
  return {
    value, restored,
    set(next) {
      setValue(next);
      if (key) keep(key, next); // now: the page may be left before it is rendered again
    },
    discard(next = initial) {
      if (key) sessionStorage.removeItem(key);
      setRestored(false);
      setValue(next);
    },
  };
}
