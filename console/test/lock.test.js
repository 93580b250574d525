// What we build with runs on Debian's Node 18, comes in exact versions, and the lock file names no download address.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const text = readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8');
const packages = JSON.parse(text).packages;
const asked = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const NODE = [18, 13, 0]; // the oldest 18 that Debian 12 has had

/** Does one comparator list ("^18.0.0", ">=14.18", ">= 18.0.0") take NODE? Only the forms that occur; another form fails the test. */
function takes(range) {
  return range.split('||').some((choice) => {
    const [, operator = '', version = ''] =
      /^\s*(\^|>=)?\s*(\d+(?:\.\d+)*)\s*$/.exec(choice) ?? assert.fail(`engines "${range}": a form this test does not know`);
    const least = [...version.split('.').map(Number), 0, 0].slice(0, 3);
    const below = NODE.findIndex((n, i) => n !== least[i]);
    const atLeast = below < 0 || NODE[below] > least[below];
    return atLeast && (operator === '>=' || NODE[0] === least[0]);
  });
}

test('every package of the lock takes Node 18', () => {
  const wrong = Object.entries(packages).filter(([, p]) => p.engines?.node && !takes(p.engines.node));
  assert.deepEqual(
    wrong.map(([name, p]) => `${name} ${p.engines.node}`),
    [],
  );
});
test('the lock names no download address', () => assert.ok(!/"resolved"|registry\./.test(text)));
test('versions are exact', () => assert.ok(Object.values(asked.devDependencies).every((version) => /^\d+\.\d+\.\d+$/.test(version))));
