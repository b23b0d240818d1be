// The pages of the console, in the order of the navigation. A module is loaded when its page is opened first.

/**
 * @typedef {object} Page
 * @property {string} name in the address
 * @property {string} title
 * @property {'installation' | 'organisation'} place an operator chooses an organisation for a page of one
 * @property {string} object of the permission that is needed to see it (x-permission); '' is none
 * @property {boolean} [operator] only an operator sees it
 * @property {() => Promise<{default: any}>} load
 */

/** @type {Page[]} */
export const pages = [
  { name: 'home', title: 'Home', place: 'installation', object: '', load: () => import('./home.js') },
  {
    name: 'organisations', title: 'Organisations', place: 'installation', object: '', operator: true,
    load: () => import('./organisations.js'),
  },
  { name: 'gateways', title: 'Gateways', place: 'installation', object: 'system', load: () => import('./gateways.js') },
  { name: 'contract', title: 'Contract', place: 'installation', object: '', load: () => import('./contract.js') },
  { name: 'audit', title: 'Audit', place: 'installation', object: 'audit_logs', load: () => import('./audit.js') },
  { name: 'apis', title: 'APIs', place: 'organisation', object: 'apis', load: () => import('./apis.js') },
  { name: 'users', title: 'Users', place: 'organisation', object: 'users', load: () => import('./users.js') },
  { name: 'policies', title: 'Policies', place: 'organisation', object: 'policies', load: () => import('./policies.js') },
  { name: 'keys', title: 'Keys', place: 'organisation', object: 'keys', load: () => import('./keys.js') },
];
