// What the console uses of CodeMirror. update.sh makes codemirror.js of it.
export { EditorState, StateEffect, StateField } from '@codemirror/state';
export { Decoration, EditorView, keymap, lineNumbers } from '@codemirror/view';
export { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
export { openSearchPanel, search, searchKeymap } from '@codemirror/search';
export { unifiedMergeView } from '@codemirror/merge';
