// The text of an API: problems while one types, the difference before it is saved, and what happens if somebody else
// has saved meanwhile. Nothing that was typed is lost: it is kept in this window until it is saved or discarded.
import { editedText, fetchAPI, saveAPI } from '../lib/apis.js';
import { check, maxText, problemsOf, warningsOf } from '../lib/check.js';
import { Dialog } from '../lib/dialog.js';
import { Difference, Editor } from '../lib/editor.js';
import { Failure, Loading } from '../lib/feedback.js';
import { html, useEffect, useRef, useState } from '../lib/html.js';
import { format } from '../lib/jsontext.js';
import { may } from '../lib/session.js';
import { dropDraft, keepDraft, readDraft } from '../lib/textdraft.js';
import { toast } from '../lib/toast.js';

/** @typedef {import('../lib/apis.js').Stored} Stored */
/** @typedef {import('../lib/editor.js').Handle} Handle */

const pause = 500; // milliseconds without a key after which a text is kept and checked

/**
 * Base is the stored text that the edited one is a change of, as the editor shows it.
 * @typedef {{text: string, etag: string}} Base
 */

/**
 * @param {Stored} stored
 * @returns {Promise<Base>}
 */
const baseOf = async (stored) => ({ text: await format(editedText(stored)), etag: stored.etag });

/** @param {{id: string, stored: Stored, onSaved: () => void}} props */
export function TextOfAPI({ id, stored, onSaved }) {
  const [base, setBase] = useState(/** @type {Base | null} */ (null));
  useEffect(() => {
    baseOf(stored).then(setBase);
  }, []);
  if (!base) return html`<${Loading} />`;
  return html`<${TextEditor} id=${id} oas=${stored.oas} initial=${base} onSaved=${onSaved} />`;
}

/** @param {{id: string, oas: boolean, initial: Base, onSaved: () => void}} props */
function TextEditor({ id, oas, initial, onSaved }) {
  const draftName = 'api ' + id;
  const [draft] = useState(() => readDraft(draftName));
  const [base, setBase] = useState(initial);
  const from = useRef(draft?.etag ?? initial.etag); // the ETag of the stored text that the edited one is a change of
  const [state, setState] = useState(/** @type {'' | 'changed' | 'unkept'} */ (draft ? 'changed' : ''));
  const [dialog, setDialog] = useState(/** @type {'' | 'review' | 'conflict'} */ (''));
  const [error, setError] = useState(/** @type {any} */ (null));
  const editor = useRef(/** @type {Handle | null} */ (null));
  const writes = may('apis', 'write');
  const checked = useCheck(editor);
  const keeping = useKeeping(() => {
    const text = editor.current?.text() ?? '';
    if (text === base.text) {
      dropDraft(draftName);
      from.current = base.etag;
      setState('');
    } else {
      setState(keepDraft(draftName, { etag: from.current, text }) ? 'changed' : 'unkept');
    }
  });
  const show = async (/** @type {Stored} */ latest) => {
    const next = await baseOf(latest);
    dropDraft(draftName);
    editor.current?.replace(next.text);
    from.current = next.etag;
    setBase(next);
    setState('');
    setDialog('');
    checked.soon();
  };
  const reload = async () => {
    setError(null);
    try {
      await show(await fetchAPI(id));
      onSaved();
    } catch (failure) {
      setError(failure);
    }
  };
  const changed = () => {
    keeping.soon();
    checked.soon();
    if (state === '') setState('changed');
  };
  useEffect(() => {
    if (state !== 'unkept') return undefined;
    const ask = (/** @type {Event} */ event) => event.preventDefault(); // the browser asks whether to leave the page
    addEventListener('beforeunload', ask);
    return () => removeEventListener('beforeunload', ask);
  }, [state]);
  const saved = async () => {
    dropDraft(draftName);
    keeping.cancel();
    toast('The API is saved');
    await reload();
  };
  return html`
    ${draft && state !== '' && html`
      <p class="notice" role="status">This is what you typed earlier, which was not saved.</p>`}
    <div class="filters">
      ${writes && html`
        <button type="button" class="primary" disabled=${state === ''} onClick=${() => setDialog('review')}>
          Review and save</button>
        <button type="button" disabled=${state === ''} onClick=${reload}>Discard changes</button>`}
      <button type="button" onClick=${() => editor.current?.search()}>Search in the text</button>
      ${writes && html`<span class="hint" role="status">${stateTexts[state]}</span>`}
    </div>
    <${Failure} error=${error} retry=${reload} />
    <${Editor} label="Text of the API" text=${draft?.text ?? initial.text} readOnly=${!writes} onChange=${changed}
      onReady=${(/** @type {Handle} */ handle) => { editor.current = handle; checked.soon(); }} />
    ${writes && html`
      <${Problems} state=${checked.state}
        onReveal=${(/** @type {any} */ each) => editor.current?.reveal(each.line, each.column)} />`}
    ${dialog === 'review' && html`
      <${Review} base=${base} text=${editor.current?.text() ?? ''} onClose=${() => setDialog('')}
        save=${(/** @type {string} */ text) => save({ id, oas, text, etag: from.current })}
        onSaved=${saved} onConflict=${() => setDialog('conflict')} />`}
    ${dialog === 'conflict' && html`
      <${Conflict} id=${id} text=${editor.current?.text() ?? ''} onClose=${() => setDialog('')} onTheirs=${show}
        onBase=${(/** @type {Base} */ next) => {
          setBase(next);
          from.current = next.etag;
          keepDraft(draftName, { etag: next.etag, text: editor.current?.text() ?? '' });
        }}
        save=${(/** @type {string} */ text, /** @type {string} */ etag) => save({ id, oas, text, etag })}
        onSaved=${saved} />`}`;
}

const stateTexts = {
  '': 'Nothing is changed.',
  changed: 'Not saved. What you type is kept in this window, also if it is loaded again.',
  unkept: 'Not saved, and too large for the browser to keep: it is lost if you leave this page.',
};

/**
 * save stores a text. YAML is stored as the JSON that the server makes of it.
 * @param {{id: string, oas: boolean, text: string, etag: string}} what
 */
async function save({ id, oas, text, etag }) {
  let body = text;
  if (!oas && !text.trimStart().startsWith('{')) {
    const { data, bodies } = await check(text, { documents: true });
    if (problemsOf(data).length > 0 || bodies.length !== 1) {
      throw new Error('The text has problems. Correct them first.');
    }
    [body] = bodies;
  }
  await saveAPI(id, oas, body, etag);
}

/**
 * useKeeping calls keep some time after soon was called last, and when the page is left.
 * @param {() => void} keep
 */
function useKeeping(keep) {
  const latest = useRef(keep);
  latest.current = keep;
  const timer = useRef(0);
  const now = () => {
    if (!timer.current) return;
    clearTimeout(timer.current);
    timer.current = 0;
    latest.current();
  };
  useEffect(() => {
    addEventListener('pagehide', now);
    return () => {
      removeEventListener('pagehide', now);
      now();
    };
  }, []);
  return {
    soon() {
      clearTimeout(timer.current);
      timer.current = setTimeout(now, pause);
    },
    cancel() {
      clearTimeout(timer.current);
      timer.current = 0;
    },
  };
}

/**
 * CheckState is what is known of the text in an editor.
 * @typedef {{status: 'waiting' | 'done' | 'failed' | 'large', problems: any[], warnings: any[], error?: any}} CheckState
 */

/**
 * useCheck has the server check the text of an editor some time after soon was called last.
 * @param {{current: Handle | null}} editor
 */
function useCheck(editor) {
  const [state, setState] = useState(/** @type {CheckState} */ ({ status: 'waiting', problems: [], warnings: [] }));
  const timer = useRef(0);
  const abort = useRef(/** @type {AbortController | null} */ (null));
  const run = async () => {
    const text = editor.current?.text() ?? '';
    if (text.length > maxText) {
      setState({ status: 'large', problems: [], warnings: [] });
      return;
    }
    abort.current = new AbortController();
    const { signal } = abort.current;
    try {
      const { data } = await check(text, { signal });
      if (signal.aborted) return;
      const problems = problemsOf(data);
      editor.current?.mark(problems);
      setState({ status: 'done', problems, warnings: warningsOf(data) });
    } catch (error) {
      if (!signal.aborted) setState({ status: 'failed', problems: [], warnings: [], error });
    }
  };
  const cancel = () => {
    clearTimeout(timer.current);
    abort.current?.abort();
  };
  useEffect(() => cancel, []);
  return {
    state,
    soon() {
      if (!may('apis', 'write')) return;
      cancel();
      setState((before) => ({ ...before, status: 'waiting' }));
      timer.current = setTimeout(run, pause);
    },
  };
}

/** @param {{state: CheckState, onReveal: (problem: any) => void}} props */
function Problems({ state, onReveal }) {
  const { status, problems, warnings, error } = state;
  const list = (/** @type {any[]} */ all, /** @type {string} */ kind) => all.slice(0, 100).map((each) => html`
    <li><button type="button" class="link" onClick=${() => onReveal(each)}>${each.line}:${each.column}</button>${' '}
      ${each.path && html`<code>${each.path}</code>${' '}`}<span class=${kind}>${each.reason}</span></li>`);
  return html`
    <section class="problems" aria-label="Problems" aria-busy=${status === 'waiting' ? 'true' : 'false'}>
      <p role="status">${summaryOfCheck(state)}</p>
      ${error && html`<p class="hint">${error.message}</p>`}
      <ul>${list(problems, 'problem')}${list(warnings, 'warning')}</ul>
    </section>`;
}

/** @param {CheckState} state */
function summaryOfCheck({ status, problems, warnings }) {
  if (status === 'waiting') return 'Checking…';
  if (status === 'large') return 'The text is too large to be checked, and to be stored.';
  if (status === 'failed') return 'The text could not be checked.';
  if (problems.length > 0) return `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`;
  return warnings.length > 0 ? 'No problems, and something to know' : 'No problems';
}

/**
 * useSaving saves a text once at a time.
 * @param {{save: () => Promise<unknown>, onSaved: () => Promise<void>, onConflict: () => void}} props
 */
function useSaving({ save: store, onSaved, onConflict }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const run = async () => {
    setBusy(true);
    setError(null);
    try {
      await store();
      await onSaved();
    } catch (failure) {
      setBusy(false);
      if (failure.status === 412) onConflict();
      else setError(failure);
    }
  };
  return { busy, error, run };
}

/**
 * Review shows what has changed before it is saved.
 * @param {{base: Base, text: string, save: (text: string) => Promise<unknown>, onSaved: () => Promise<void>,
 *   onConflict: () => void, onClose: () => void}} props
 */
function Review({ base, text, save: store, onSaved, onConflict, onClose }) {
  const saving = useSaving({ save: () => store(text), onSaved, onConflict });
  return html`
    <${Dialog} title="What you have changed" onClose=${onClose} wide>
      ${base.text === text ? html`<p>Nothing is changed.</p>`
        : html`<${Difference} label="Difference to the stored text" before=${base.text} after=${text} />`}
      <${Failure} error=${saving.error} />
      <footer>
        <button type="button" onClick=${onClose}>Go on editing</button>
        <button type="button" class="primary" disabled=${saving.busy} onClick=${saving.run}>Save</button>
      </footer>
    <//>`;
}

/**
 * Conflict tells that somebody else has saved meanwhile, and shows the difference of the two texts.
 * @param {{id: string, text: string, save: (text: string, etag: string) => Promise<unknown>, onSaved: () => Promise<void>,
 *   onBase: (base: Base) => void, onTheirs: (stored: Stored) => void, onClose: () => void}} props
 */
function Conflict({ id, text, save: store, onSaved, onBase, onTheirs, onClose }) {
  const [theirs, setTheirs] = useState(/** @type {{stored: Stored, base: Base} | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const load = async () => {
    setError(null);
    try {
      const stored = await fetchAPI(id);
      setTheirs({ stored, base: await baseOf(stored) });
    } catch (failure) {
      setError(failure);
    }
  };
  useEffect(() => void load(), []);
  const saving = useSaving({ save: () => store(text, theirs?.base.etag ?? ''), onSaved, onConflict: load });
  const merge = () => {
    if (theirs) onBase(theirs.base);
    onClose();
  };
  return html`
    <${Dialog} title="Somebody else has saved this API meanwhile" onClose=${onClose} wide>
      <p>Nothing is stored, and nothing of what you have typed is lost. This is what would become of their text if you
        saved yours:</p>
      ${theirs && html`<${Difference} label="Difference to their text" before=${theirs.base.text} after=${text} />`}
      ${!theirs && !error && html`<${Loading} />`}
      <${Failure} error=${error} retry=${load} /><${Failure} error=${saving.error} />
      <footer>
        <button type="button" disabled=${!theirs} onClick=${() => theirs && onTheirs(theirs.stored)}>
          Discard mine, show theirs</button>
        <button type="button" disabled=${!theirs} onClick=${merge}>Go on editing mine</button>
        <button type="button" class="danger" disabled=${!theirs || saving.busy} onClick=${saving.run}>
          Replace theirs by mine</button>
      </footer>
    <//>`;
}
