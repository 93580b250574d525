// Words can be read in both lights: 4.5:1 at least (WCAG 2.2, 1.4.3), and both dark blocks say the same.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const css = readFileSync(new URL('../src/tokens.css', import.meta.url), 'utf8');
const colours = (block) => Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map((found) => [found[1], found[2]]));
const [top, bySystem, byChoice] = css.split(/@media|:root\[data-theme='dark'\]/);
const light = colours(top);
const dark = { ...light, ...colours(byChoice) };

function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

const PAIRS = [
  ...['paper', 'sheet', 'sheet-2'].flatMap((ground) => ['ink', 'ink-2', 'ink-3', 'accent'].map((ink) => [ink, ground])),
  ['accent-ink', 'accent'],
  ['accent', 'accent-soft'],
  ['ink-2', 'none-soft'],
  ['sender', 'sender-soft'],
  ...['ok', 'address', 'message', 'receiver'].map((fault) => [`${fault}-text`, `${fault}-soft`]),
];
for (const [name, tokens] of Object.entries({ light, dark }))
  for (const [ink, ground] of PAIRS)
    test(`${name}: ${ink} on ${ground} can be read`, () => assert.ok(contrast(tokens[ink], tokens[ground]) >= 4.5, contrast(tokens[ink], tokens[ground]).toFixed(2)));
test('dark by the system and dark by choice are the same', () => assert.deepEqual(colours(bySystem), colours(byChoice)));
