// The console: finds out who is signed in, and shows the page that the address names.
import { APIError, get } from './lib/api.js';
import { Empty, Failure, Loading } from './lib/feedback.js';
import { html, render, useEffect, useState } from './lib/html.js';
import { Organisations } from './lib/organisation.js';
import { go, route } from './lib/route.js';
import { isOperator, pendingSignIn, session } from './lib/session.js';
import { isVisible, Shell } from './lib/shell.js';
import './lib/theme.js';
import { pages } from './pages/index.js';
import { hasNonce, ReplaceSession, SignInAgain, SignInPage } from './pages/signin.js';

function App() {
  const current = session.use();
  const wanted = pendingSignIn.use();
  const [error, setError] = useState(/** @type {any} */ (null));
  const [offered, setOffered] = useState(hasNonce);
  const start = () => {
    setError(null);
    get('/api/session', { anonymous: true }).then(session.set, (failure) =>
      failure instanceof APIError && failure.status === 401 ? session.set(null) : setError(failure));
  };
  useEffect(start, []);
  if (error) return html`<main class="signin"><${Failure} error=${error} retry=${start} /></main>`;
  if (current === undefined) return html`<main class="signin"><${Loading} /></main>`;
  if (current === null) return html`<${SignInPage} />`;
  return html`<${Shell}><${CurrentPage} /><//>${wanted && html`<${SignInAgain} />`}
    ${!wanted && offered && hasNonce() && html`<${ReplaceSession} onDone=${() => setOffered(false)} />`}`;
}

function CurrentPage() {
  const { page: name, org } = route.use();
  const page = pages.find((each) => each.name === name);
  useEffect(() => {
    document.title = page ? `${page.title} – gatehouse` : 'gatehouse';
  }, [page]);
  if (!name) return html`<${First} />`;
  if (!page) return html`<${Empty} title="There is no such page" />`;
  if (!isVisible(page)) return html`<${Empty} title="You may not see this page"><p>Your permissions do not include it.</p><//>`;
  if (page.place === 'organisation' && isOperator() && !org) {
    return html`<h1>Choose an organisation</h1><${Organisations} onChoose=${(/** @type {string} */ id) => go(name, { org: id })} />`;
  }
  return html`<${Loaded} page=${page} key=${`${org} ${name}`} />`;
}

/** First goes to the first page that the session may see. */
function First() {
  const first = pages.find(isVisible);
  useEffect(() => {
    if (first) location.replace('#/' + first.name);
  }, []);
  return first ? null : html`<${Empty} title="You may not see any page"><p>Ask an administrator for permissions.</p><//>`;
}

/**
 * Loaded loads the module of a page, and shows it. The focus goes to the content, for the keyboard and screen readers.
 * @param {{page: import('./pages/index.js').Page}} props
 */
function Loaded({ page }) {
  const [state, setState] = useState(/** @type {{Page?: any, error?: any}} */ ({}));
  const load = () => {
    setState({});
    page.load().then((module) => setState({ Page: module.default }), () => setState({ error: notLoaded }));
  };
  useEffect(load, []);
  useEffect(() => {
    if (state.Page && document.activeElement === document.body) document.getElementById('main')?.focus();
  }, [state.Page]);
  if (state.error) return html`<${Failure} error=${state.error} retry=${() => location.reload()} />`;
  return state.Page ? html`<${state.Page} />` : html`<${Loading} />`;
}

const notLoaded = new Error('This page could not be loaded. The server does not answer, or has been updated: load the console again.');

render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById('app')));
