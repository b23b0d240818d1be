// The documentation of the contracts, in a frame: it is the page /docs of this server.
import { address } from '../lib/api.js';
import { html } from '../lib/html.js';

export default function Contract() {
  return html`<h1>Contract</h1>
    <iframe class="contract" title="The contracts of this server" src=${address('/docs').href}></iframe>`;
}
