// The documentation of the contracts, in a frame: it is the page /docs of this server.
import { address } from '../lib/api.js';
import { Empty, Failure, Loading } from '../lib/feedback.js';
import { html } from '../lib/html.js';
import { useLoaded } from '../lib/list.js';

export default function Contract() {
  const { data: shown, error, reload } = useLoaded(isServed, []);
  return html`<h1>Contract</h1>
    <${Failure} error=${error} retry=${reload} />
    ${shown === undefined && !error && html`<${Loading} />`}
    ${shown && html`<iframe class="contract" title="The contracts of this server" src=${address('/docs').href}></iframe>`}
    ${shown === false && html`<${Empty} title="The server does not show its contracts"><p>It was started with
      <code>--docs=false</code>. They are the files in the folder <code>openapi</code> of its source.</p><//>`}`;
}

/**
 * isServed reports whether the server has the page: an operator can turn it off.
 * @param {AbortSignal} signal
 */
async function isServed(signal) {
  const response = await fetch(address('/docs'), { method: 'HEAD', signal });
  if (!response.ok && response.status !== 404) throw new Error(`The server answered with status ${response.status}.`);
  return response.ok;
}
