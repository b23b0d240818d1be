// A short message that something was done. Screen readers read it. Errors stand where they occur: see feedback.js.
import { html } from './html.js';
import { store } from './store.js';

const messages = store(/** @type {{id: number, text: string}[]} */ ([]));
let last = 0;
const shownFor = 6000;

/** @param {string} text */
export function toast(text) {
  const id = ++last;
  messages.set([...messages.get(), { id, text }]);
  setTimeout(() => messages.set(messages.get().filter((each) => each.id !== id)), shownFor);
}

export function Toasts() {
  const all = messages.use();
  return html`<div class="toasts" role="status">${all.map(({ id, text }) => html`<p key=${id}>${text}</p>`)}</div>`;
}
