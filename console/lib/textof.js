// The text of a stored document in an editor. What is typed is kept in this window until it is saved or discarded.
import { Dialog } from './dialog.js';
import { Difference, Editor } from './editor.js';
import { Failure, Loading } from './feedback.js';
import { html, useEffect, useRef, useState } from './html.js';
import { format } from './jsontext.js';
import { dropDraft, keepDraft, readDraft } from './textdraft.js';
import { toast } from './toast.js';

/** @typedef {import('./storedform.js').Stored} Stored */

/**
 * TextOf shows and saves the text of a document.
 * @param {{name: string, label: string, stored: Stored, writes: boolean, save: (changed: Stored) => Promise<unknown>,
 *   read: () => Promise<Stored>, onSaved: () => void}} props name is that of the draft. The key of the component has to
 *   be the ETag.
 */
export function TextOf(props) {
  const [base, setBase] = useState(/** @type {Stored | null} */ (null));
  useEffect(() => {
    formatted(props.stored).then(setBase);
  }, []);
  return base ? html`<${TextForm} ...${props} initial=${base} />` : html`<${Loading} />`;
}

/**
 * @param {Stored} stored
 * @returns {Promise<Stored>}
 */
const formatted = async ({ text, etag }) => ({ text: await format(text), etag });

/** @param {any} props those of TextOf, and initial */
function TextForm({ name, label, initial, writes, save, read, onSaved }) {
  const [draft] = useState(() => readDraft(name));
  const [base, setBase] = useState(/** @type {Stored} */ (initial));
  const from = useRef(draft?.etag ?? initial.etag); // the ETag of what the text is a change of
  const editor = useRef(/** @type {import('./editor.js').Handle | null} */ (null));
  const [ready, setReady] = useState(false); // the editor is loaded: there is a text to save
  const [changed, setChanged] = useState(draft !== undefined);
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const [latest, setLatest] = useState(/** @type {Stored | null} */ (null));
  const text = () => editor.current?.text() ?? '';
  const keep = () => {
    const isChanged = text() !== base.text;
    setChanged(isChanged);
    if (isChanged) keepDraft(name, { etag: from.current, text: text() });
    else dropDraft(name);
  };
  const show = (/** @type {Stored} */ next) => {
    dropDraft(name);
    from.current = next.etag;
    setBase(next);
    editor.current?.replace(next.text);
    setChanged(false);
    setLatest(null);
    setError(null);
  };
  const submit = async (/** @type {string} */ etag) => {
    setBusy(true);
    setError(null);
    try {
      await save({ text: text(), etag });
      toast('The text is saved');
      dropDraft(name);
      setChanged(false);
      onSaved(); // which reads it again, and shows that
    } catch (failure) {
      setError(failure);
      if (failure.status === 412) await read().then(formatted).then(setLatest, setError);
    }
    setBusy(false);
  };
  return html`
    ${draft && changed && html`<p class="notice" role="status">This is what you typed earlier, which was not saved.</p>`}
    <div class="filters">
      ${writes && html`
        <button type="button" class="primary" disabled=${busy || !ready || !changed} onClick=${() => submit(from.current)}>Save the text</button>
        <button type="button" disabled=${busy || !ready || !changed} onClick=${() => show(base)}>Discard changes</button>`}
      <button type="button" onClick=${() => editor.current?.search()}>Search in the text</button>
      <span class="hint" role="status">${writes && (changed ? 'Not saved yet.' : 'Nothing is changed.')}</span>
    </div>
    <${Failure} error=${error} />
    <${Editor} label=${label} text=${draft?.text ?? initial.text} readOnly=${!writes} onChange=${keep}
      onReady=${(/** @type {any} */ handle) => { editor.current = handle; setReady(true); }} />
    ${latest && html`<${Dialog} title="Somebody else has saved it meanwhile" wide onClose=${() => setLatest(null)}>
      <p>This is what your text would change in what is stored now.</p>
      <${Difference} label="Difference" before=${latest.text} after=${text()} />
      <footer>
        <button type="button" onClick=${() => show(latest)}>Take what is stored</button>
        <button type="button" class="danger" onClick=${() => { from.current = latest.etag; setLatest(null); submit(latest.etag); }}>
          Save my text in its place</button>
      </footer><//>`}`;
}
