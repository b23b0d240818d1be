// What is around every page: the navigation, the organisation, who is signed in.
import { pages } from '../pages/index.js';
import { send } from './api.js';
import { html, useEffect, useState } from './html.js';
import { forgetKeys } from './keyrefs.js';
import { Switcher } from './organisation.js';
import { href, route } from './route.js';
import { isOperator, may, session } from './session.js';
import { setTheme, theme } from './theme.js';
import { Toasts } from './toast.js';

const icon = new URL('../icon.svg', import.meta.url).href;

/** @param {{children?: any}} props */
export function Shell({ children }) {
  const { page, org } = route.use();
  const [open, setOpen] = useState(false);
  useEffect(() => setOpen(false), [page, org]);
  return html`
    <a class="skip" href="#main" onClick=${focusMain}>Skip to the content</a>
    <header class="top">
      <button type="button" class="menu" aria-expanded=${open ? 'true' : 'false'} aria-controls="navigation"
        onClick=${() => setOpen(!open)}>Menu</button>
      <a class="brand" href=${href('', { org: '' })}><img src=${icon} alt="" width="20" height="20" />gatehouse</a>
      ${isOperator() && html`<${Switcher} />`}
      <span class="grow"></span>
      <${ThemeSwitch} />
      <${Person} />
    </header>
    <nav id="navigation" class=${open ? 'side open' : 'side'} aria-label="Pages of the console"><div><${Navigation} />
      <div class="account"><${Person} /><${ThemeSwitch} /></div></div></nav>
    <main id="main" tabindex="-1">${children}</main>
    <${Toasts} />`;
}

/** @param {Event} event */
function focusMain(event) {
  event.preventDefault(); // the fragment is the address of the page
  document.getElementById('main')?.focus();
}

/** Navigation has the pages that the session may see. */
function Navigation() {
  const { page: current, org } = route.use();
  const allowed = pages.filter(isVisible);
  const installation = allowed.filter((page) => page.place === 'installation');
  const organisation = allowed.filter((page) => page.place === 'organisation');
  const links = (/** @type {typeof pages} */ list) => html`<ul>${list.map(({ name, title, place }) => html`
    <li key=${name}><a href=${href(name, { org: place === 'installation' ? '' : org })}
      aria-current=${name === current ? 'page' : undefined}>${title}</a></li>`)}</ul>`;
  return html`
    ${installation.length > 0 && html`${isOperator() && html`<h2>Installation</h2>`}${links(installation)}`}
    ${organisation.length > 0 && (!isOperator() || org) && html`<h2>Organisation</h2>${links(organisation)}`}`;
}

/**
 * isVisible reports whether the session may see a page.
 * @param {import('../pages/index.js').Page} page
 */
export function isVisible(page) {
  return isOperator() || (!page.operator && may(page.object));
}

function ThemeSwitch() {
  const chosen = theme.use();
  return html`
    <label class="theme">Colours
      <select value=${chosen} onChange=${(/** @type {any} */ event) => setTheme(event.target.value)}>
        <option value="">System</option><option value="light">Light</option><option value="dark">Dark</option>
      </select></label>`;
}

function Person() {
  const current = session.use();
  const signOut = async () => {
    await send('delete', '/api/session', { anonymous: true });
    forgetKeys();
    session.set(null);
    location.hash = '';
  };
  const name = current?.kind === 'operator' ? 'Operator' : current?.name || current?.email_address;
  return html`<span class="person" title=${current?.org_name}>${name}</span>
    <button type="button" class="out" onClick=${signOut}>Sign out</button>`;
}
