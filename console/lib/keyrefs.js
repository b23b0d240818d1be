// A key is a secret: it is not in the address of its page, which browsers store in their history and send to other
// devices. The address has a reference to it, which only this window knows, until somebody signs out.
import { identity } from './session.js';

const prefix = 'keys ';

/** @returns {Record<string, string>} the keys by their references */
function known() {
  try {
    return JSON.parse(sessionStorage.getItem(prefix + identity()) ?? '{}');
  } catch {
    return {};
  }
}

/**
 * refOf returns the reference to a key.
 * @param {string} keyId
 */
export function refOf(keyId) {
  const keys = known();
  const existing = Object.keys(keys).find((ref) => keys[ref] === keyId);
  if (existing) return existing;
  const ref = Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  sessionStorage.setItem(prefix + identity(), JSON.stringify({ ...keys, [ref]: keyId }));
  return ref;
}

/**
 * keyOf returns the key of a reference, or undefined.
 * @param {string} ref
 * @returns {string | undefined}
 */
export const keyOf = (ref) => known()[ref];

/** forgetKeys removes all keys from the window. */
export function forgetKeys() {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith(prefix)) sessionStorage.removeItem(name);
  }
}

/**
 * shortened returns enough of a key to tell it from others. Most keys are JSON in Base64, of which the id is shown.
 * @param {string} keyId
 */
export function shortened(keyId) {
  const name = idIn(keyId) || keyId;
  return name.length <= 16 ? name : `${name.slice(0, 8)}…${name.slice(-4)}`;
}

/** @param {string} keyId */
function idIn(keyId) {
  try {
    return String(JSON.parse(atob(keyId)).id ?? '');
  } catch {
    return '';
  }
}
