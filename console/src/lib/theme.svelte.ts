// Light or dark: the system's wish unless the reader chose.
export type Theme = 'auto' | 'light' | 'dark';
const KEY = 'todoke.theme';

function remembered(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === 'light' || kept === 'dark' ? kept : 'auto';
}

export const theme = $state<{ now: Theme }>({ now: remembered() });

export function showTheme(): void {
  if (theme.now === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.now;
}

export function chooseTheme(to: Theme): void {
  theme.now = to;
  localStorage.setItem(KEY, to);
  showTheme();
}
