// Who is signed in, and what they may do.
import { store } from './store.js';

/**
 * @typedef {import('../types').Schemas['ConsoleSession']} Session
 */

/** session is null if nobody is signed in, and undefined until that is known. */
export const session = store(/** @type {Session | null | undefined} */ (undefined));

/** pendingSignIn is set while requests wait for a new session: the dialog that opens one calls it. */
export const pendingSignIn = store(/** @type {null | (() => void)} */ (null));

/**
 * may reports whether the server would let the session do something, as operations say by x-permission.
 * @param {string} object apis, policies, keys, users, user_groups, system, …; '' is everybody's
 * @param {'read' | 'write'} [level]
 */
export function may(object, level = 'read') {
  const current = session.get();
  if (!current) return false;
  if (object === '' || current.kind === 'operator' || current.is_admin) return true;
  const granted = current.permissions?.[object];
  return granted === 'write' || (level === 'read' && granted === 'read');
}

export const isOperator = () => session.get()?.kind === 'operator';

/** identity names who is signed in, to tell one from another. */
export const identity = (current = session.get()) =>
  current ? [current.kind, current.user_id || current.email_address, current.org_id].join(' ') : '';
