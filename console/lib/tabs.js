import { html, useId, useRef } from './html.js';

/**
 * Tabs shows one of several panels. The arrow keys go from tab to tab.
 * @param {{label: string, tabs: {name: string, title: string}[], current: string, onChange: (name: string) => void,
 *   children?: any}} props children are the current panel
 */
export function Tabs({ label, tabs, current, onChange, children }) {
  const id = useId();
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const step = (/** @type {KeyboardEvent} */ event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = (tabs.findIndex((tab) => tab.name === current) + by + tabs.length) % tabs.length;
    onChange(tabs[next].name);
    /** @type {HTMLElement} */ (list.current?.children[next]).focus();
  };
  return html`
    <div class="tabs" role="tablist" aria-label=${label} ref=${list} onKeyDown=${step}>
      ${tabs.map(({ name, title }) => html`
        <button type="button" role="tab" key=${name} id=${`${id}-${name}`} aria-selected=${name === current ? 'true' : 'false'}
          aria-controls=${id} tabindex=${name === current ? 0 : -1} onClick=${() => onChange(name)}>${title}</button>`)}
    </div>
    <div role="tabpanel" id=${id} aria-labelledby=${`${id}-${current}`} tabindex="0">${children}</div>`;
}
