// The mock speaks data/api/openapi.yaml, so that what is built against it fits the real server. Each answer is held to its schema.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { startMock } from '../mock/server.mjs';

const api = parse(readFileSync(new URL('../../data/api/openapi.yaml', import.meta.url), 'utf8'));

/** The part of JSON Schema that the contract uses. Answers with the places that do not fit. */
function misfits(schema, value, at = '$') {
  if (schema.$ref)
    return misfits(
      schema.$ref
        .slice(2)
        .split('/')
        .reduce((x, key) => x[key], api),
      value,
      at,
    );
  if (schema.allOf) return schema.allOf.flatMap((part) => misfits(part, value, at));
  if (schema.oneOf)
    return schema.oneOf.filter((part) => !misfits(part, value, at).length).length === 1 ? [] : [`${at}: fits not exactly one of oneOf`];
  const types = [schema.type ?? []].flat();
  const is = value === null ? 'null' : Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value;
  if (types.length && !types.includes(is) && !(is === 'integer' && types.includes('number'))) return [`${at}: ${is}, not ${types}`];
  if (schema.enum && !schema.enum.includes(value)) return [`${at}: ${JSON.stringify(value)} is none of ${schema.enum}`];
  if (schema.format === 'date-time' && value !== null && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value))
    return [`${at}: ${value} is no UTC time`];
  if (is === 'array') return value.flatMap((item, i) => misfits(schema.items ?? {}, item, `${at}[${i}]`));
  if (is !== 'object') return [];
  const lacking = (schema.required ?? []).filter((key) => !(key in value)).map((key) => `${at}.${key}: missing`);
  return lacking.concat(
    Object.entries(schema.properties ?? {}).flatMap(([key, part]) => (key in value ? misfits(part, value[key], `${at}.${key}`) : [])),
  );
}

let mock, base, cookie;
before(async () => {
  mock = await startMock({ seconds: 2, people: 600 });
  base = new URL('/api/v1', mock.url).href;
  const answer = await fetch(`${base}/session`, { method: 'POST', body: JSON.stringify({ token: mock.url.split('#token=')[1] }) });
  assert.equal(answer.status, 204);
  cookie = answer.headers.get('set-cookie').split(';')[0];
});
after(() => mock.close());

const ask = (path, options = {}) => fetch(base + path, { ...options, headers: { cookie, ...options.headers } });

async function fits(shape, path, options) {
  const method = (options?.method ?? 'GET').toLowerCase();
  const answer = await ask(path, options);
  const response = api.paths[shape][method].responses[answer.status];
  assert.ok(response, `${method} ${shape} answers ${answer.status}`);
  const content = (response.$ref ? api.components.responses[response.$ref.split('/').pop()] : response).content;
  const type = answer.headers.get('content-type').split(';')[0];
  assert.ok(content[type], `${shape}: ${type}`);
  if (!type.includes('json')) return answer.text();
  const body = await answer.json();
  assert.deepEqual(misfits(content[type].schema, body).slice(0, 5), [], `${method} ${path}`);
  return body;
}

test('every answer fits its schema', async () => {
  await new Promise((resolve) => setTimeout(resolve, 1200));
  await fits('/session', '/session');
  await fits('/home', '/home');
  const { items } = await fits('/campaigns', '/campaigns');
  await fits('/campaigns/{id}', `/campaigns/${items[1].id}`);
  const report = await fits('/campaigns/{id}/report', `/campaigns/${items[1].id}/report`);
  assert.ok(report.reasons.length > 3);
  const errors = await fits('/errors', '/errors?limit=200');
  for (const row of [errors.items[0], errors.items.at(-1)]) await fits('/errors/{id}', `/errors/${row.id}`);
  await fits('/mails/{id}/raw', `/mails/${errors.items.find((row) => row.mail_id).mail_id}/raw`);
  await fits('/suppressions', '/suppressions');
  await fits('/brands', '/brands');
  const { items: files } = await fits('/files', '/files?ended=true');
  const added = await fits('/files', '/files?name=a.pdf&days=7', { method: 'POST', body: 'x', headers: { 'Content-Type': 'application/pdf' } });
  await fits('/files/{id}', `/files/${added.id}`, { method: 'PATCH', body: JSON.stringify({ days: 60 }) });
  for (const row of files) if (row.state !== 'there') await fits('/files/{id}', `/files/${row.id}`, { method: 'PATCH', body: JSON.stringify({ days: 60 }) });
  const inbox = await fits('/inbox', '/inbox?limit=300');
  for (const kind of ['mail', 'error']) await fits('/inbox/{id}', `/inbox/${inbox.items.find((row) => row.kind === kind).id}`);
  await fits('/bounces/explain', '/bounces/explain', { method: 'POST', body: JSON.stringify({ text: '552 5.2.2 Mailbox full' }) });
  await fits('/bounces/explain', '/bounces/explain', { method: 'POST', body: JSON.stringify({ text: 'good morning' }) });
});

test('the ten states sum to accepted', async () => {
  const { campaign, receivers } = await (await ask('/campaigns/2/report')).json();
  const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
  assert.equal(sum(campaign.counts), campaign.accepted);
  assert.equal(
    receivers.reduce((n, receiver) => n + sum(receiver.counts), 0),
    campaign.accepted,
  );
});

test('what goes wrong is a problem', async () => {
  const unsigned = await fetch(`${base}/home`);
  assert.equal(unsigned.status, 401);
  await fits('/errors', '/errors?limit=0');
  await fits('/errors/{id}', '/errors/none');
  await fits('/campaigns/{id}/pause', '/campaigns/1/pause', { method: 'POST' });
  const foreign = await ask('/campaigns/2/pause', { method: 'POST', headers: { origin: 'http://127.0.0.1:1' } });
  assert.equal(foreign.status, 403);
});

test('the stream tells progress and the end', async () => {
  const text = await (await ask('/campaigns/1/stream')).text();
  assert.match(text, /^event: progress\ndata: \{.*\}\n\nevent: end\ndata: \{\}\n\n$/);
});
