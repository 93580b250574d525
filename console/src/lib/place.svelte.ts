// Where the reader is. One object, changed by the address bar alone: links are plain links, go() writes the address.
import { parse } from './route.js';

export const place = $state<{ now: import('./route.js').Route }>({ now: parse(location.hash) });

export function go(href: string, replace = false): void {
  if (replace) {
    history.replaceState(null, '', href);
    place.now = parse(href);
  } else location.hash = href;
}

export function followAddress(): void {
  place.now = parse(location.hash);
}
