// The language of the console: the reader's choice, remembered; else the browser's. Japanese and English are both always loaded.
import en from '../words/en.js';
import ja from '../words/ja.js';
import type { Text } from './contract';
import * as format from './format.js';

export type Lang = 'ja' | 'en';
const KEY = 'todoke.lang';
const words = { ja, en };

function remembered(): Lang {
  const kept = localStorage.getItem(KEY);
  if (kept === 'ja' || kept === 'en') return kept;
  return navigator.language.startsWith('ja') ? 'ja' : 'en';
}

export const lang = $state<{ now: Lang }>({ now: remembered() });

export function chooseLang(to: Lang): void {
  lang.now = to;
  localStorage.setItem(KEY, to);
}

/** The words of the language in use. Read inside markup or $derived, so that a switch is seen. */
export function w(): typeof ja {
  return words[lang.now];
}

/** A text of the server, in the language in use. */
export function say(text: Text | null | undefined): string {
  return text ? text[lang.now] || text.en || text.ja : '';
}

/** Sentences one after the other, as the language writes them. */
export function sentences(...texts: (string | false | null | undefined)[]): string {
  return texts.filter(Boolean).join(lang.now === 'ja' ? '' : ' ');
}

export const when = (at: string | null, withSeconds = false): string =>
  at ? format.when(at, lang.now, w().time, new Date(), withSeconds) : '';
export const whenShort = (at: string): string => format.whenShort(at, lang.now, new Date());
export const spanText = (seconds: number): string => format.spanText(seconds, w().time);
export const span = (seconds: number): { value: string; unit: string }[] => format.span(seconds, w().time);
