// The types of CodeMirror are in its packages, which npm installs; the console is checked without them.
export const EditorState: any, EditorView: any, StateEffect: any, StateField: any, Decoration: any;
export const keymap: any, lineNumbers: any, defaultKeymap: any, history: any, historyKeymap: any;
export const openSearchPanel: any, search: any, searchKeymap: any, unifiedMergeView: any;
