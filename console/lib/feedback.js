// What a page shows instead of data, or beside it: an error, nothing yet, a command, a secret.
import { html, useState } from './html.js';

/**
 * Failure shows an error in the server's words, what is wrong where, and the ID of the request in the server's log.
 * @param {{error: any, retry?: () => void}} props
 */
export function Failure({ error, retry }) {
  if (!error) return null;
  return html`
    <div class="failure" role="alert">
      <p><strong>${error.message || String(error)}</strong></p>
      ${error.problems?.length > 0 && html`
        <ul>${error.problems.map((/** @type {any} */ each) => html`
          <li>${each.path && html`<code>${each.path}</code>${' '}`}${each.reason}</li>`)}</ul>`}
      ${error.requestID && html`<p class="hint">Request <code>${error.requestID}</code></p>`}
      ${retry && html`<p><button type="button" onClick=${retry}>Try again</button></p>`}
    </div>`;
}

export function Loading() {
  return html`<p class="loading" role="status">Loading…</p>`;
}

/**
 * Empty says what a list is for, what to do first, and the command that does the same.
 * @param {{title: string, command?: string, before?: string, action?: any, children?: any}} props
 */
export function Empty({ title, command, before = 'The same from a terminal:', action, children }) {
  return html`
    <section class="empty">
      <h2>${title}</h2>
      ${children}
      ${action && html`<p>${action}</p>`}
      ${command && html`<p class="hint">${before}</p><${Command} text=${command} />`}
    </section>`;
}

/** @param {{text: string, label?: string}} props */
export function Command({ text, label = 'Copy' }) {
  return html`<div class="command"><pre tabindex="0">${text}</pre><${Copy} text=${text} label=${label} /></div>`;
}

/** @param {{text: string, label?: string}} props */
export function Copy({ text, label = 'Copy' }) {
  const [done, setDone] = useState('');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone('Copied');
    } catch { // the page is not served over HTTPS, or the browser asks first
      setDone('Select the text, and copy it');
    }
  };
  return html`<button type="button" onClick=${copy}>${done || label}</button><span class="unseen" role="status">${done}</span>`;
}

/**
 * Secret shows an access key, or another secret, that the server returns once.
 * @param {{label: string, value: string, children?: any}} props
 */
export function Secret({ label, value, children }) {
  return html`
    <section class="secret" aria-label=${label}>
      <h2>${label}</h2>
      <${Command} text=${value} />
      <p class="hint">${children ?? 'It is shown only now. Store it where it is needed.'}</p>
    </section>`;
}

/** @param {{kind?: '' | 'good' | 'bad' | 'warn', children?: any}} props */
export function Badge({ kind = '', children }) {
  return html`<span class=${`badge ${kind}`}>${children}</span>`;
}

/**
 * Time shows a time as the reader's place writes it. The server's "never" is the year 1.
 * @param {{value?: string | null}} props
 */
export function Time({ value }) {
  if (!value || value.startsWith('0001-')) return html`<span class="hint">never</span>`;
  const text = new Date(value).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
  return html`<time datetime=${value} title=${value}>${text}</time>`;
}
