import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as format from '../src/lib/format.js';
import { pieces } from '../src/lib/marks.js';
import { href, parse, serverLink, token } from '../src/lib/route.js';
import { done, share, shares } from '../src/lib/shares.js';
import en from '../src/words/en.js';
import ja from '../src/words/ja.js';

const rows = (name, cases, run) =>
  cases.forEach(([thought, input, want]) => test(`${name}: ${thought}`, () => assert.deepEqual(run(...input), want)));

rows(
  'number',
  [
    ['small', [7], '7'],
    ['thousands', [31902], '31,902'],
    ['millions', [1234567], '1,234,567'],
    ['a thousand', [1000], '1,000'],
  ],
  format.number,
);

rows(
  'rate',
  [
    ['stopped', [0], '0'],
    ['slow keeps a digit', [0.25], '0.3'],
    ['whole is whole', [6], '6'],
    ['fast is whole', [96.4], '96'],
    ['nearly ten', [9.97], '10'],
  ],
  format.rate,
);

rows(
  'percent',
  [
    ['nothing sent', [0, 0], '0'],
    ['all', [10, 10], '100'],
    ['none', [0, 10], '0'],
    ['never rounded up to all', [99999, 100000], '99.9'],
    ['never rounded down to none', [1, 100000], '0.1'],
    ['two digits', [1, 4000, 2], '0.03'],
  ],
  format.percent,
);

rows(
  'spanText',
  [
    ['seconds', [40, ja.time], '40 秒'],
    ['minutes', [540, ja.time], '9 分'],
    ['hours', [7500, ja.time], '2 時間 5 分'],
    ['whole hours', [7200, en.time], '2 h'],
    ['rounded up to an hour', [3599, en.time], '1 h'],
    ['never negative', [-5, en.time], '0 s'],
  ],
  format.spanText,
);

const now = new Date(2026, 10, 22, 14, 0, 0);
const local = (...parts) => new Date(...parts).toISOString();
rows(
  'when',
  [
    ['today', [local(2026, 10, 22, 13, 58, 2), 'ja', ja.time, now], '今日 13:58'],
    ['with seconds', [local(2026, 10, 22, 13, 58, 2), 'ja', ja.time, now, true], '今日 13:58:02'],
    ['just after midnight is another day', [local(2026, 10, 21, 23, 59), 'ja', ja.time, now], '昨日 23:59'],
    ['tomorrow', [local(2026, 10, 23, 9, 5), 'en', en.time, now], 'tomorrow 9:05'],
    ['this year', [local(2026, 0, 5, 8, 0), 'ja', ja.time, now], '1月5日 8:00'],
    ['another year', [local(2025, 11, 31, 8, 0), 'ja', ja.time, now], '2025年12月31日 8:00'],
    ['no time at all is shown as it came', ['soon', 'ja', ja.time, now], 'soon'],
  ],
  format.when,
);

rows(
  'bytes',
  [
    ['few', [812], '812 B'],
    ['kilobytes', [18211], '18 KB'],
    ['megabytes', [3 * 1024 * 1024], '3.0 MB'],
  ],
  format.bytes,
);

const joined = (text, marks) =>
  pieces(text, marks)
    .map((p) => (p.marked ? `[${p.text}]` : p.text))
    .join('');
rows(
  'marks',
  [
    [
      'two words',
      [
        '550 5.1.1 User unknown',
        [
          [0, 9],
          [10, 22],
        ],
      ],
      '[550 5.1.1] [User unknown]',
    ],
    [
      'out of order',
      [
        '550 5.1.1 User unknown',
        [
          [10, 22],
          [0, 3],
        ],
      ],
      '[550] 5.1.1 [User unknown]',
    ],
    ['none', ['hello', []], 'hello'],
    [
      'overlapping: the first stays',
      [
        'abcdef',
        [
          [0, 3],
          [2, 5],
        ],
      ],
      '[abc]def',
    ],
    ['backwards', ['abcdef', [[4, 2]]], 'abcdef'],
    ['past the end', ['abc', [[1, 9]]], 'abc'],
    ['no numbers', ['abc', [['x', null], []]], 'abc'],
    ['markup stays text', ['<b>550</b>', [[3, 6]]], '<b>[550]</b>'],
    ['Japanese counts in code units', ['宛先が不明です', [[3, 5]]], '宛先が[不明]です'],
  ],
  joined,
);

rows(
  'route',
  [
    ['nothing is home', [''], { page: 'home', id: '', query: {} }],
    ['a page with id and query', ['#/errors/12?campaign=3'], { page: 'errors', id: '12', query: { campaign: '3' } }],
    ['an unknown page is home', ['#/admin'], { page: 'home', id: '', query: {} }],
    ['a broken escape stays as it is', ['#/errors/%E3%81'], { page: 'errors', id: '%E3%81', query: {} }],
  ],
  parse,
);
test('route: href and parse are inverse', () =>
  assert.deepEqual(parse(href('errors', 'a/b', { q: 'あ&=', fault: '' })), { page: 'errors', id: 'a/b', query: { q: 'あ&=' } }));
rows(
  'serverLink',
  [
    ['a route of ours', ['/errors?fault=sender'], '#/errors?fault=sender'],
    ['nothing to do', [''], ''],
    ['never a script', ['javascript:alert(1)'], ''],
    ['never another host', ['//evil.example/errors'], ''],
    ['never an unknown page', ['/admin'], ''],
  ],
  serverLink,
);
rows(
  'token',
  [
    ['in the address', ['#token=abc_-1'], 'abc_-1'],
    ['a route has none', ['#/errors'], ''],
  ],
  token,
);

test('shares: the parts make the whole', () => {
  const parts = shares(100, { delivered: 60, suppressed: 2, cancelled: 1 }, { address: 3, message: 1, sender: 2, receiver: 5 });
  assert.equal(
    parts.reduce((sum, part) => sum + part.value, 0),
    100,
  );
  assert.equal(share(parts, 'none'), 26);
  assert.equal(done(parts), 74);
});
test('shares: numbers that do not fit never go below nothing', () =>
  assert.equal(
    share(shares(1, { delivered: 5, suppressed: 0, cancelled: 0 }, { address: 0, message: 0, sender: 0, receiver: 0 }), 'none'),
    0,
  ));
