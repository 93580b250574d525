// A server that speaks data/api/openapi.yaml with invented, moving data, for working on the console without building the C side.
//   node mock/server.mjs [port]      MOCK_SECONDS=60 how long the campaign runs; MOCK_PEOPLE=10000
// Serves dist/ with the policy of the real server. It is no model of the real one: one token, everything in memory, nothing is sent.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { pathToFileURL } from 'node:url';
import { explain, rawMail, World } from './world.mjs';

const DIST = new URL('../dist/', import.meta.url);
const CSP =
  "default-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};
const TICK_MS = Number(process.env.MOCK_TICK_MS ?? 500);

class Refusal extends Error {
  constructor(status, detail, field) {
    super(detail);
    Object.assign(this, { status, field });
  }
}

/** Start on `port` (0: any free one). The answer: url with the token, and close(). */
export async function startMock({ port = 0, seconds = 60, people = 10000 } = {}) {
  const world = new World({ seconds, people });
  const token = randomBytes(24).toString('base64url');
  const cookie = randomBytes(24).toString('base64url');
  const server = http.createServer((request, response) => {
    answer(request, response).catch((e) => {
      const status = e.status ?? 500;
      send(
        response,
        status,
        { type: 'about:blank', title: http.STATUS_CODES[status], status, detail: e.message, ...(e.field ? { field: e.field } : {}) },
        'application/problem+json',
      );
    });
  });

  async function answer(request, response) {
    const url = new URL(request.url, 'http://mock');
    if (!url.pathname.startsWith('/api/v1/')) return file(url.pathname, response);
    const path = url.pathname.slice('/api/v1'.length);
    const origin = request.headers.origin;
    if (request.method !== 'GET' && origin && new URL(origin).host !== request.headers.host)
      throw new Refusal(403, 'the request came from another origin');
    if (path === '/session' && request.method === 'POST') {
      const body = await json(request);
      if (body.token !== token) throw new Refusal(401, 'wrong token');
      response.setHeader('Set-Cookie', `todoke_session=${cookie}; HttpOnly; SameSite=Strict; Path=/`);
      return send(response, 204);
    }
    if (!(request.headers.cookie ?? '').includes(`todoke_session=${cookie}`)) throw new Refusal(401, 'sign in first');
    const found = ROUTES.map(([method, shape, handler]) => method === request.method && [shape.exec(path), handler]).find((x) => x && x[0]);
    if (!found) throw new Refusal(404, 'no such thing');
    await found[1]({ request, response, query: url.searchParams, world }, ...found[0].slice(1).map(decodeURIComponent));
  }

  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/#token=${token}`, close: () => (server.closeAllConnections(), server.close()) };
}

const ROUTES = [
  [
    'GET',
    /^\/session$/,
    ({ response }) =>
      send(response, 200, {
        version: '0.1.0-mock',
        playground: true,
        brand: { name: '花丸商店', from: 'news@shop.play.example' },
        now: new Date().toISOString(),
      }),
  ],
  [
    'DELETE',
    /^\/session$/,
    ({ response }) => (response.setHeader('Set-Cookie', 'todoke_session=; Max-Age=0; Path=/'), send(response, 204)),
  ],
  ['GET', /^\/home$/, ({ response, world }) => send(response, 200, home(world))],
  [
    'GET',
    /^\/campaigns$/,
    ({ response, world, query }) =>
      send(
        response,
        200,
        page(
          world.campaigns.map((c) => world.report(c.id).campaign),
          query,
        ),
      ),
  ],
  ['GET', /^\/campaigns\/([^/]+)$/, ({ response, world }, id) => send(response, 200, reportOf(world, id).campaign)],
  ['GET', /^\/campaigns\/([^/]+)\/report$/, ({ response, world }, id) => send(response, 200, reportOf(world, id))],
  ['GET', /^\/campaigns\/([^/]+)\/stream$/, ({ request, response, world }, id) => stream(request, response, world, id)],
  [
    'POST',
    /^\/campaigns\/([^/]+)\/(send|pause|resume)$/,
    ({ response, world }, id, verb) => {
      reportOf(world, id);
      if (!world.act(id, verb)) throw new Refusal(409, `the campaign is ${world.campaign(id).state}`);
      send(response, 200, world.report(id).campaign);
    },
  ],
  ['GET', /^\/errors$/, ({ response, world, query }) => send(response, 200, errors(world, query))],
  [
    'GET',
    /^\/errors\/([^/]+)$/,
    ({ response, world }, id) => {
      const error = world.errors().find((e) => e.id === id);
      if (!error) throw new Refusal(404, 'no such error');
      const before = new Date(Date.parse(error.at) - 1000).toISOString();
      send(response, 200, {
        ...error,
        timeline: [
          { at: before, kind: 'attempted', text: { ja: '送り始めました', en: 'Sending began' } },
          { at: error.at, kind: 'bounced', text: error.label },
        ],
      });
    },
  ],
  [
    'GET',
    /^\/mails\/([^/]+)\/raw$/,
    ({ response, world }, id) => {
      const error = world.errors().find((e) => e.mail_id === id);
      if (!error) throw new Refusal(404, 'no such mail');
      send(response, 200, rawMail(error.recipient), 'text/plain; charset=utf-8');
    },
  ],
  [
    'GET',
    /^\/suppressions$/,
    ({ response, world, query }) => {
      const rows = matching(world.suppressions(), query, ['address']);
      send(response, 200, { ...page(rows, query), total: rows.length });
    },
  ],
  [
    'GET',
    /^\/brands$/,
    ({ response }) =>
      send(response, 200, {
        items: [
          {
            id: '1',
            name: '花丸商店',
            from_name: '花丸商店',
            from_address: 'news@shop.play.example',
            reply_to: '',
            return_path_domain: 'bounce.shop.play.example',
            link_base: 'https://mail.shop.play.example',
            created_at: new Date().toISOString(),
          },
        ],
        next_cursor: null,
      }),
  ],
  [
    'GET',
    /^\/files$/,
    ({ response, world, query }) => {
      const all = query.get('ended') === 'true';
      send(response, 200, page(world.files.filter((row) => all || row.state === 'there'), query));
    },
  ],
  [
    'POST',
    /^\/files$/,
    async ({ request, response, world, query }) => {
      let size = 0;
      for await (const piece of request) size += piece.length;
      if (!size) throw new Refusal(400, 'the file is empty');
      send(response, 201, world.addFile(query.get('name'), request.headers['content-type'], size, daysOf(query.get('days') ?? 30)));
    },
  ],
  [
    'PATCH',
    /^\/files\/([^/]+)$/,
    async ({ request, response, world }, id) => {
      const row = fileOf(world, id);
      const days = daysOf((await json(request)).days);
      if (row.state !== 'there') throw new Refusal(409, 'the file was removed or has expired: add it again');
      row.expires_at = new Date(Date.now() + days * 86400000).toISOString();
      send(response, 200, row);
    },
  ],
  [
    'DELETE',
    /^\/files\/([^/]+)$/,
    ({ response, world }, id) => {
      Object.assign(fileOf(world, id), { state: 'removed', ended_at: new Date().toISOString(), link: '' });
      send(response, 204);
    },
  ],
  [
    'GET',
    /^\/inbox$/,
    ({ response, world, query }) => {
      const rows = matching(world.inbox(), query, ['from', 'to', 'subject']);
      send(response, 200, { ...page(rows, query), total: rows.length });
    },
  ],
  [
    'GET',
    /^\/inbox\/([^/]+)$/,
    ({ response, world }, id) => {
      const row = world.inbox().find((m) => m.id === id);
      if (!row) throw new Refusal(404, 'no such mail');
      send(response, 200, mail(row));
    },
  ],
  [
    'POST',
    /^\/bounces\/explain$/,
    async ({ request, response }) => {
      const body = await json(request);
      const text = body.text ?? (body.message_b64 ? Buffer.from(body.message_b64, 'base64').toString() : '');
      if (!text.trim()) throw new Refusal(400, 'text is empty', 'text');
      send(response, 200, { items: [explain(text)] });
    },
  ],
];

function reportOf(world, id) {
  if (!world.campaign(id)) throw new Refusal(404, 'no such campaign');
  return world.report(id);
}

function fileOf(world, id) {
  const row = world.files.find((one) => one.id === id);
  if (!row) throw new Refusal(404, 'no such file');
  return row;
}

function daysOf(given) {
  const days = Number(given);
  if (!Number.isInteger(days) || days < 1 || days > 399) throw new Refusal(400, 'days is a number from 1 to 399', 'days');
  return days;
}

function home(world) {
  const all = world.campaigns.map((c) => world.report(c.id));
  const unknown = all[1].reasons.find((r) => r.reason === 'user_unknown');
  const auth = all[1].reasons.find((r) => r.reason === 'auth_failure');
  const busy = all[1].reasons.find((r) => r.reason === 'system_error');
  const todos = [];
  if (auth)
    todos.push({
      fault: 'sender',
      title: {
        ja: `Gmail が「認証が足りない」として ${auth.count} 通を断りました`,
        en: `Gmail refused ${auth.count} mails for want of authentication`,
      },
      text: {
        ja: '送信ドメイン shop.play.example の DNS に 1 行足すと直ります。宛先は無事です。',
        en: 'One line in the DNS of shop.play.example puts it right. The addresses are fine.',
      },
      link: '/errors?campaign=2&reason=auth_failure',
    });
  if (unknown)
    todos.push({
      fault: 'address',
      title: {
        ja: `「冬の感謝祭」で ${unknown.count} 件の宛先が存在しませんでした`,
        en: `${unknown.count} addresses of “冬の感謝祭” do not exist`,
      },
      text: {
        ja: 'すでに配信から外しました。正しい宛先が分かれば、直すと届きます。',
        en: 'They have been excluded. Where you know the right address, correct it.',
      },
      link: '/errors?campaign=2&reason=user_unknown',
    });
  if (busy)
    todos.push({
      fault: 'receiver',
      title: { ja: 'docomo が混雑しています', en: 'docomo is busy' },
      text: {
        ja: '送る速さを 12 → 6 通/秒に落としました。このままで終わります。',
        en: 'Slowed from 12 to 6 mails a second. It will finish by itself.',
      },
      link: '',
    });
  const sum = (key) => all.reduce((n, r) => n + r.campaign.counts[key], 0);
  return {
    todos,
    running: all.map((r) => r.campaign).filter((c) => ['sending', 'expanding', 'paused'].includes(c.state)),
    recent: all.map((r) => r.campaign).filter((c) => c.state === 'finished'),
    totals: {
      sent: sum('delivered') + sum('bounced') + sum('expired') + sum('deferred'),
      delivered: sum('delivered'),
      errors: sum('bounced') + sum('expired'),
      complaints: 1,
      excluded: world.suppressions().length,
    },
  };
}

function errors(world, query) {
  let rows = matching(world.errors(), query, ['recipient', 'diagnostic']);
  for (const key of ['campaign', 'reason']) {
    const want = query.get(key);
    if (want) rows = rows.filter((row) => (key === 'campaign' ? row.campaign?.id : row[key]) === want);
  }
  const faults = { address: 0, message: 0, sender: 0, receiver: 0, none: 0 };
  for (const row of rows) faults[row.fault] += 1;
  const fault = query.get('fault');
  if (fault && !(fault in faults)) throw new Refusal(400, 'fault is none of address, message, sender, receiver, none', 'fault');
  return { ...page(fault ? rows.filter((row) => row.fault === fault) : rows, query), faults };
}

function matching(rows, query, keys) {
  const q = (query.get('q') ?? '').toLowerCase();
  return q ? rows.filter((row) => keys.some((key) => row[key].toLowerCase().includes(q))) : rows;
}

function page(rows, query) {
  const limit = Number(query.get('limit') ?? 50);
  if (!Number.isInteger(limit) || limit < 1 || limit > 500) throw new Refusal(400, 'limit is 1 to 500', 'limit');
  const start = Number(query.get('cursor') ?? 0);
  return { items: rows.slice(start, start + limit), next_cursor: start + limit < rows.length ? String(start + limit) : null };
}

function mail(row) {
  const headers = [
    ['From', row.from],
    ['To', row.to],
    ['Subject', row.subject],
    ['Date', row.at],
    ['Message-ID', `<${row.id}@shop.play.example>`],
  ].map(([name, value]) => ({ name, value }));
  if (row.kind === 'error')
    return {
      ...row,
      headers,
      text: rawMail('taro@gmail.play.example'),
      html: null,
      attachments: [{ name: 'invoice.zip', type: 'application/zip', size_bytes: 1204 }],
    };
  return {
    ...row,
    headers,
    attachments: [],
    text: '山田 太郎 様\n\nいつもありがとうございます。花丸商店の冬の感謝祭は、12 月 5 日(土)からです。\n\n配信の停止: http://127.0.0.1/u/abc',
    html: '<div style="font-family:sans-serif;max-width:560px;margin:0 auto;color:#333;line-height:1.8"><div style="background:#8c1d18;color:#fff;padding:28px;text-align:center;font-size:22px">冬の感謝祭</div><div style="padding:24px"><p>山田 太郎 様</p><p>いつもありがとうございます。花丸商店の冬の感謝祭は、<b>12 月 5 日(土)</b>からです。</p><p style="text-align:center"><a href="https://shop.play.example/" style="background:#8c1d18;color:#fff;padding:12px 28px;text-decoration:none;border-radius:6px">お店を見る</a></p><img src="https://shop.play.example/open.gif" alt="" width="1" height="1"><script>parent.__owned = true</script></div></div>',
  };
}

function stream(request, response, world, id) {
  reportOf(world, id);
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  let last = '';
  const tick = () => {
    const report = world.report(id);
    const data = JSON.stringify(report);
    if (data !== last) response.write(`event: progress\ndata: ${data}\n\n`);
    last = data;
    if (report.campaign.state === 'finished') {
      response.end('event: end\ndata: {}\n\n');
      clearInterval(timer);
    }
  };
  const timer = setInterval(tick, TICK_MS);
  const ping = setInterval(() => response.write(': ping\n\n'), 15000);
  request.on('close', () => (clearInterval(timer), clearInterval(ping)));
  tick();
}

async function json(request) {
  let text = '';
  for await (const piece of request) text += piece;
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    throw new Refusal(400, 'the body is no JSON');
  }
}

function send(response, status, body, type = 'application/json') {
  const bytes = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, { ...(bytes && { 'Content-Type': type }), 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
  response.end(bytes);
}

async function file(path, response) {
  const name = path === '/' ? 'index.html' : path.slice(1);
  if (!/^(index\.html|assets\/[\w.-]+)$/.test(name) || name.includes('..')) throw new Refusal(404, 'no such file');
  const bytes = await readFile(new URL(name, DIST)).catch(() => {
    throw new Refusal(404, 'no such file: is the console built? (npm run build)');
  });
  response.writeHead(200, {
    'Content-Type': TYPES[name.split('.').pop()] ?? 'application/octet-stream',
    'Content-Security-Policy': CSP,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
  });
  response.end(bytes);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const mock = await startMock({
    port: Number(process.argv[2] ?? 8799),
    seconds: Number(process.env.MOCK_SECONDS ?? 60),
    people: Number(process.env.MOCK_PEOPLE ?? 10000),
  });
  console.log(mock.url);
}
