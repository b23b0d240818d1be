// A value that components show: they are rendered again when it changes.
import { useEffect, useState } from './html.js';

/**
 * @template T
 * @param {T} value
 */
export function store(value) {
  /** @type {Set<(value: T) => void>} */
  const listeners = new Set();
  return {
    get: () => value,
    /** @param {T} next */
    set(next) {
      value = next;
      for (const listener of [...listeners]) listener(next);
    },
    /** use returns the value to a component. */
    use() {
      const [shown, show] = useState(() => value);
      useEffect(() => {
        const listener = () => show(() => value);
        listeners.add(listener);
        listener(); // it may have changed since the component was rendered
        return () => void listeners.delete(listener);
      }, []);
      return shown;
    },
  };
}
