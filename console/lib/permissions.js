// The table of permissions of a user or a group: what it may read and write.
import { html, useId } from './html.js';

/** The objects of permissions that operations ask for (x-permission), and what they are. */
export const objects = [
  { name: 'apis', title: 'APIs' }, { name: 'policies', title: 'Policies' }, { name: 'keys', title: 'Keys' },
  { name: 'oauth', title: 'OAuth clients' }, { name: 'certs', title: 'Certificates' }, { name: 'users', title: 'Users' },
  { name: 'user_groups', title: 'User groups' }, { name: 'portal', title: 'Developer portal' }, { name: 'hooks', title: 'Webhooks' },
  { name: 'api_assets', title: 'Templates' }, { name: 'system', title: 'Gateways and the system' },
  { name: 'audit_logs', title: 'Audit' },
];

/** The permissions that have no levels. */
export const withoutLevels = ['IsAdmin', 'ResetPassword'];

const levels = [
  { value: 'deny', title: 'No access' }, { value: 'read', title: 'Read' }, { value: 'write', title: 'Read and write' },
];

/** @typedef {Record<string, string>} Granted */

/**
 * grants reports whether the value of a permission without levels grants it.
 * @param {Granted | undefined} granted
 * @param {string} name
 */
export const grants = (granted, name) => ['admin', 'true'].includes(granted?.[name] ?? '');

/**
 * withLevel returns permissions with another level of an object. No access is the absence of a level.
 * @param {Granted} granted
 * @param {string} name
 * @param {string} level
 */
export function withLevel(granted, name, level) {
  const { [name]: _, ...others } = granted;
  return level === 'deny' ? others : { ...others, [name]: level };
}

/**
 * PermissionTable has a row for each object and for whatever else is granted, and a choice of levels in each.
 * @param {{granted: Granted, onChange: (granted: Granted) => void, disabled?: boolean}} props
 */
export function PermissionTable({ granted, onChange, disabled = false }) {
  const id = useId();
  const known = objects.map((object) => object.name);
  const others = Object.keys(granted).filter((name) => !known.includes(name) && !withoutLevels.includes(name));
  const rows = [...objects, ...others.map((name) => ({ name, title: name }))];
  return html`
    <table class="permissions"><caption>Permissions</caption>
      <thead><tr><th scope="col">Object</th>${levels.map(({ title }) => html`<th
        scope="col">${title}</th>`)}</tr></thead>
      <tbody>${rows.map(({ name, title }) => html`
        <tr key=${name}><th scope="row">${title}</th>
          ${levels.map((level) => html`
            <td data-title=${level.title}><input type="radio" name=${`${id}-${name}`}
              aria-label=${`${title}: ${level.title}`}
              checked=${levelOf(granted, name) === level.value} disabled=${disabled}
              onChange=${() => onChange(withLevel(granted, name, level.value))} /></td>`)}</tr>`)}</tbody>
    </table>`;
}

/**
 * @param {Granted} granted
 * @param {string} name
 */
const levelOf = (granted, name) => ['read', 'write'].includes(granted[name]) ? granted[name] : 'deny';

/**
 * Granted says in a line what somebody may do.
 * @param {{granted?: Granted}} props
 */
export function Summary({ granted = {} }) {
  if (grants(granted, 'IsAdmin')) return html`administrator`;
  const words = Object.entries(granted).filter(([name, level]) => ['read', 'write'].includes(level) && !withoutLevels.includes(name))
    .map(([name, level]) => `${name}: ${level}`);
  return words.length > 0 ? html`${words.join(', ')}` : html`<span class="hint">none</span>`;
}
