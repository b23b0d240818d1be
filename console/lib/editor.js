// An editor of texts of any size, and the difference of two texts: CodeMirror, which shows only the lines that are in
// sight. It is loaded when the first one is opened.
import { Failure, Loading } from './feedback.js';
import { html, useEffect, useRef, useState } from './html.js';

/** @typedef {import('../types').Schemas['LocatedProblem']} Problem */

/**
 * Handle is how a page reaches the text of an editor. A text of 16 MB is not copied with each key.
 * @typedef {object} Handle
 * @property {() => string} text
 * @property {(text: string) => void} replace
 * @property {(line: number, column: number) => void} reveal
 * @property {(problems: Problem[]) => void} mark
 * @property {() => void} search
 */

/**
 * Editor shows a text, with the numbers of its lines. Only the first text counts: Handle.replace changes it later.
 * @param {{label: string, text: string, readOnly?: boolean, onReady?: (handle: Handle) => void,
 *   onChange?: () => void}} props
 */
export function Editor({ label, text, readOnly = false, onReady, onChange }) {
  const changed = useRef(onChange);
  changed.current = onChange; // that of the latest rendering
  return html`<${CodeMirror} mount=${(/** @type {any} */ cm, /** @type {HTMLElement} */ parent) => {
    const marks = marking(cm);
    const extensions = [
      base(cm, label), cm.history(), marks.field, cm.keymap.of([...cm.defaultKeymap, ...cm.historyKeymap]),
      cm.EditorState.readOnly.of(readOnly),
      cm.EditorView.updateListener.of((/** @type {any} */ update) => update.docChanged && changed.current?.()),
    ];
    const state = (/** @type {string} */ doc) => cm.EditorState.create({ doc, extensions });
    const view = new cm.EditorView({ parent, state: state(text) });
    onReady?.({
      text: () => view.state.doc.toString(),
      replace: (next) => view.setState(state(next)),
      reveal: (line, column) => {
        const at = offsetOf(view.state.doc, line, column);
        view.dispatch({ selection: { anchor: at }, effects: cm.EditorView.scrollIntoView(at, { y: 'center' }) });
        view.focus();
      },
      mark: (problems) => view.dispatch({ effects: marks.effect.of(problems) }),
      search: () => cm.openSearchPanel(view),
    });
    return view;
  }} />`;
}

/**
 * Difference shows what a text has become: lines that are gone, and lines that are new. Equal ones are left out.
 * @param {{label: string, before: string, after: string}} props
 */
export function Difference({ label, before, after }) {
  const mount = (/** @type {any} */ cm, /** @type {HTMLElement} */ parent) =>
    new cm.EditorView({
      parent, doc: after, extensions: [
        base(cm, label), cm.keymap.of(cm.defaultKeymap), cm.EditorState.readOnly.of(true),
        cm.unifiedMergeView({
          original: before, mergeControls: false, highlightChanges: true, collapseUnchanged: { margin: 3, minSize: 6 },
          diffConfig: { scanLimit: 500, timeout: 500 },
        }),
      ],
    });
  return html`<${CodeMirror} key=${before.length + ' ' + after.length} mount=${mount} />`;
}

/**
 * base is what all of them have.
 * @param {any} cm
 * @param {string} label
 */
const base = (cm, label) => [
  cm.lineNumbers(), cm.search({ top: true }), cm.keymap.of(cm.searchKeymap),
  cm.EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false', tabindex: '0' }),
];

/**
 * CodeMirror loads the library, and mounts a view.
 * @param {{mount: (cm: any, parent: HTMLElement) => any}} props
 */
function CodeMirror({ mount }) {
  const parent = useRef(/** @type {HTMLElement | null} */ (null));
  const [state, setState] = useState(/** @type {'loading' | 'shown' | 'failed'} */ ('loading'));
  const [round, setRound] = useState(0);
  useEffect(() => {
    /** @type {any} */
    let view = null;
    let gone = false;
    setState('loading');
    import('../vendor/codemirror.js').then((cm) => {
      if (gone || !parent.current) return;
      view = mount(cm, parent.current);
      setState('shown');
    }, () => gone || setState('failed'));
    return () => {
      gone = true;
      view?.destroy();
    };
  }, [round]);
  return html`
    ${state === 'loading' && html`<${Loading} />`}
    ${state === 'failed' && html`<${Failure} error=${notLoaded} retry=${() => setRound(round + 1)} />`}
    <div class="editor" ref=${parent}></div>`;
}

const notLoaded = new Error('The editor could not be loaded: the server did not answer.');

/**
 * marking marks the lines that have problems.
 * @param {any} cm
 */
function marking(cm) {
  const effect = cm.StateEffect.define();
  const line = cm.Decoration.line({ class: 'faulty' });
  const field = cm.StateField.define({
    create: () => cm.Decoration.none,
    update(/** @type {any} */ marks, /** @type {any} */ transaction) {
      const moved = marks.map(transaction.changes);
      const found = transaction.effects.find((/** @type {any} */ each) => each.is(effect));
      if (!found) return moved;
      const { doc } = transaction.state;
      const lines = new Set(found.value.map((/** @type {Problem} */ each) => Math.min(each.line, doc.lines)));
      const sorted = [...lines].sort((a, b) => Number(a) - Number(b));
      return cm.Decoration.set(sorted.map((n) => line.range(doc.line(n).from)));
    },
    provide: (/** @type {any} */ of) => cm.EditorView.decorations.from(of),
  });
  return { effect, field };
}

/**
 * offsetOf returns the offset of a line and a column, which counts characters.
 * @param {any} doc
 * @param {number} line
 * @param {number} column
 */
function offsetOf(doc, line, column) {
  const { from, text } = doc.line(Math.min(Math.max(line, 1), doc.lines));
  let at = 0;
  for (let n = 1; n < column && at < text.length; n++) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return from + at;
}
