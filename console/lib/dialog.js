import { html, useEffect, useId, useRef, useState } from './html.js';
import { Failure } from './feedback.js';

/**
 * Dialog is above the page, which is inert meanwhile; Escape closes it. The browser keeps the focus in it, and puts it
 * back afterwards.
 * @param {{title: string, onClose?: () => void, wide?: boolean, children?: any}} props without onClose, it stays
 */
export function Dialog({ title, onClose, wide = false, children }) {
  const id = useId();
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    /** @type {HTMLElement | null | undefined} */ (shown?.querySelector(first))?.focus(); // not the button that closes it
    return () => shown?.close();
  }, []);
  /** @param {Event} event */
  const cancel = (event) => {
    if (event.target !== dialog.current) return; // an event of what is in it, such as a file chooser's
    event.preventDefault();
    onClose?.();
  };
  return html`
    <dialog ref=${dialog} class=${wide ? 'wide' : ''} aria-labelledby=${id} onCancel=${cancel}>
      <header>
        <h2 id=${id}>${title}</h2>
        ${onClose && html`<button type="button" class="quiet" aria-label="Close" onClick=${onClose}>✕</button>`}
      </header>
      ${children}
    </dialog>`;
}

const first = 'input, select, textarea, footer button, .choices button';

/**
 * Confirm asks before something is done that cannot be undone. With typed, that text has to be typed first.
 * @param {{title: string, action: string, typed?: string, onConfirm: () => Promise<unknown>, onClose: () => void,
 *   children?: any}} props
 */
export function Confirm({ title, action, typed, onConfirm, onClose, children }) {
  const [text, setText] = useState('');
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [busy, setBusy] = useState(false);
  const id = useId();
  const confirm = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onConfirm();
      onClose();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      <form onSubmit=${confirm}>
        ${children}
        ${typed !== undefined && html`
          <div class="field">
            <label for=${id}>Type <strong class="name">${typed}</strong> to confirm</label>
            <input id=${id} autocomplete="off" spellcheck=${false} value=${text}
              onInput=${(/** @type {any} */ event) => setText(event.target.value)} />
          </div>`}
        <${Failure} error=${error} />
        <footer>
          <button type="button" onClick=${onClose}>Cancel</button>
          <button class="danger" disabled=${busy || (typed !== undefined && text !== typed)}>${action}</button>
        </footer>
      </form>
    <//>`;
}
