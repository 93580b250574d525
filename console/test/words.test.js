// Every sentence exists in both languages, and asks for the same parameters.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import en from '../src/words/en.js';
import ja from '../src/words/ja.js';

function shape(words, path = '') {
  return Object.entries(words).flatMap(([key, value]) => {
    const name = path ? `${path}.${key}` : key;
    if (typeof value === 'object') return shape(value, name);
    return typeof value === 'function' ? [`${name}(${value.length})`] : [name];
  });
}

function texts(words) {
  return Object.values(words).flatMap((value) =>
    typeof value === 'object' ? texts(value) : typeof value === 'function' ? [value('3', '5')] : [value],
  );
}

test('Japanese and English have the same words', () => assert.deepEqual(shape(en).sort(), shape(ja).sort()));
test('no word is empty', () => assert.ok([...texts(ja), ...texts(en)].every((text) => String(text).trim())));
test('Japanese never says バウンス', () => assert.ok(!texts(ja).some((text) => String(text).includes('バウンス'))));
test('English counts one thing as one thing', () => assert.equal(en.home.title(1), '1 thing to look at today'));
test('Japanese counts with つ up to nine', () =>
  assert.equal(ja.home.title(3) + ja.home.title(12), '今日、見ておくことは 3 つです今日、見ておくことは 12 件です'));
