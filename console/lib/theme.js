// Light or dark: as the system has it, or as chosen here, which is remembered.
import { store } from './store.js';

const key = 'gatehouse-theme';
const stored = localStorage.getItem(key);

/** theme is '' for that of the system. */
export const theme = store(stored === 'light' || stored === 'dark' ? stored : '');

function apply() {
  document.documentElement.dataset.theme = theme.get();
}

/** @param {'' | 'light' | 'dark'} value */
export function setTheme(value) {
  theme.set(value);
  localStorage.setItem(key, value);
  apply();
}

apply();
