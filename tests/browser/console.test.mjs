// The console as its readers meet it: sign in by the printed URL, watch a campaign move, read why mail came back, in Japanese and English.
//   TODOKE_URL=http://127.0.0.1:PORT/#token=...   the server (a playground with a campaign that runs or has run); needed
//   SHOTS_DIR=...                                 where screenshots go; none are kept without it
// console_test.mjs beside this file starts the servers and runs it.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { openBrowser } from './browser.mjs';

const URL_GIVEN = process.env.TODOKE_URL;
const SHOTS = process.env.SHOTS_DIR;
const HOSTILE = [
  'From: MAILER-DAEMON@mx.example',
  'Subject: Undelivered Mail Returned to Sender',
  'Content-Type: text/html',
  '',
  '<html><body><a href="https://evil.example/">click</a><script>window.__owned = 1</script><iframe src="https://evil.example/"></iframe>',
  '<img src=x onerror="window.__owned = 1"><form action="https://evil.example/"><button>go</button></form><style>body{display:none}</style></body></html>',
  '',
].join('\r\n');

let browser, page, heard;
before(async () => {
  assert.ok(URL_GIVEN, 'TODOKE_URL is not set');
  if (SHOTS) await mkdir(SHOTS, { recursive: true });
  browser = await openBrowser();
  ({ page, heard } = browser);
  page.setDefaultTimeout(90000); // a net: whatever comes at all is in time, on a machine that is slow and busy
});
after(() => browser?.close());

const shoot = async (name) => SHOTS && page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
const api = (where) => page.evaluate((path) => fetch(`/api/v1${path}`).then((answer) => answer.json()), where);
const text = (selector) => page.locator(selector).first().innerText();
const numberAt = async (selector) => Number((await text(selector)).replaceAll(',', ''));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Go to a route of the console and wait for its heading. */
async function open(route) {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, route);
  await page.locator('main h1').first().waitFor();
}

/** Ask until it is true; answers false when the time is over (a net, too). */
async function until(ask, ms = 90000) {
  for (const end = Date.now() + ms; Date.now() < end; await pause(100)) if (await ask()) return true;
  return ask();
}

/** Elements that only a stranger's markup could have brought: of `within`, none may exist. */
const foreign = (within) =>
  page.locator(within).evaluateAll((boxes) =>
    boxes
      .flatMap((box) => [...box.querySelectorAll('script, iframe, img, object, embed, form, style, link, svg, a')])
      .filter((e) => !(e.tagName === 'A' && /^(#|tel:)/.test(e.getAttribute('href') ?? '')))
      .map((e) => e.outerHTML.slice(0, 120)),
  );

test('the printed URL signs in once, and the token leaves the address bar', async () => {
  await page.goto(URL_GIVEN);
  await page.locator('main h1').first().waitFor();
  assert.ok(!page.url().includes('token'), page.url());
  assert.equal(await page.locator('html').getAttribute('lang'), 'ja');
  const cookies = await page.context().cookies();
  assert.ok(
    cookies.every((cookie) => cookie.httpOnly && cookie.sameSite === 'Strict'),
    JSON.stringify(cookies),
  );
});

test('home opens with a sentence (S11, S88)', async () => {
  await until(async () => (await api('/home')).todos.length > 0, 20000);
  assert.match(await text('main h1'), /^今日、(見ておくことは \d+ (つ|件)です|することはありません)$/);
  await pause(2500);
  await shoot('home');
});

test('a campaign moves while one looks (S79)', async () => {
  const { running, recent } = await api('/home');
  const campaign = running.find((row) => row.state === 'sending') ?? running[0] ?? recent[0];
  assert.ok(campaign, 'the server has no campaign that runs or has run');
  await open(`#/campaigns/${campaign.id}`);
  const delivered = '[data-part="ok"]';
  const first = await numberAt(delivered);
  const finished = async () => (await page.locator('[data-state="finished"]').count()) > 0;
  assert.ok(await until(async () => (await numberAt(delivered)) > first || (await finished())), `delivered stayed at ${first}`);
  const told = (await api(`/campaigns/${campaign.id}`)).counts.delivered;
  const start = Date.now();
  assert.ok(await until(async () => (await numberAt(delivered)) >= told), `the page did not reach ${told}`);
  console.log(`# the page showed a number at most ${Date.now() - start} ms after the API told it`);
  await pause(4000);
  await shoot('campaign');
});

test('pause stops it, resume goes on', async (t) => {
  if (!(await page.locator('[data-state="sending"]').count())) return t.skip('the campaign has ended');
  const button = (name) => page.locator('.top button', { hasText: name });
  const ended = page.locator('[data-state="finished"]').waitFor(); // it may end while we reach for the button
  ended.catch(() => {});
  const clicked = button('一時停止').click();
  clicked.catch(() => {});
  await Promise.race([clicked, ended]);
  await page.locator('[data-state="paused"], [data-state="finished"]').waitFor();
  if (await page.locator('[data-state="finished"]').count()) return t.skip('the campaign ended meanwhile');
  await button('再開する').click();
  await page.locator('[data-state="sending"], [data-state="finished"]').waitFor();
});

test('the ten states are shown, and sum to what was accepted', async () => {
  await page.locator('details > summary', { hasText: 'すべての状態' }).click();
  const sums = async () => {
    const cells = await page.locator('details table tbody tr td:nth-child(2)').filter({ visible: true }).allInnerTexts();
    const total = (await text('.card details summary .num')).replaceAll(',', '').match(/\d+/)[0];
    return { rows: cells.length, sum: cells.reduce((sum, cell) => sum + Number(cell.replaceAll(',', '')), 0), total: Number(total) };
  };
  assert.ok(await until(async () => (await sums()).sum === (await sums()).total), JSON.stringify(await sums()));
  assert.equal((await sums()).rows, 10);
});

test('why mail did not arrive is told by reason, with cause and remedy (S8, S10)', async () => {
  const row = page.locator('[data-reason="user_unknown"]').first();
  await row.waitFor();
  await row.locator('summary').click();
  assert.match(await row.innerText(), /意味/);
  assert.match(await row.innerText(), /あなたができること/);
});

test('the campaigns stand in a list', async () => {
  await open('#/campaigns');
  await page.locator('tbody tr').first().waitFor();
  await shoot('campaigns');
});

test('user_unknown is explained in Japanese: meaning, what was done, what to do (S6, S17, S91)', async () => {
  await open('#/errors?reason=user_unknown');
  const answers = page.locator('.detail [data-reason="user_unknown"]');
  await answers.waitFor();
  const said = await answers.innerText();
  for (const heading of ['宛先の問題', 'Todoke がしたこと', 'あなたができること']) assert.ok(said.includes(heading), heading);
  assert.ok((await text('.detail .speak p')).match(/[\u3040-\u30ff\u4e00-\u9fff]/g).length > 15, said);
  assert.ok((await text('.detail .said')).length > 5);
  assert.ok((await page.locator('.detail .said mark').count()) > 0, 'nothing is marked in the words that came back');
  await open('#/errors');
  await page.locator('.list a').first().waitFor();
  await pause(500);
  await shoot('errors');
});

test('English is one press away, and is remembered (S6)', async () => {
  await open('#/errors?reason=user_unknown');
  await page.locator('.detail [data-reason="user_unknown"]').waitFor();
  await page.locator('.side button[lang="en"]').click();
  assert.equal(await page.locator('html').getAttribute('lang'), 'en');
  for (const heading of ['Address problem', 'What Todoke did', 'What you can do'])
    assert.ok((await text('.detail')).includes(heading), heading);
  assert.ok(!/[\u3040-\u30ff]/.test(await text('.detail .speak p')), 'Japanese is left in the English explanation');
  await shoot('errors-en');
  await page.reload();
  await page.locator('main h1', { hasText: 'Error mail' }).waitFor();
  await page.locator('.side button[lang="ja"]').click();
});

test('an error mail is text: no link, script or frame of it in the page (S16)', async () => {
  let row;
  assert.ok(
    await until(async () => (row = (await api('/errors?limit=500')).items.find((error) => error.mail_id))),
    'no error mail has come',
  );
  const raw = await page.evaluate(async (id) => {
    const answer = await fetch(`/api/v1/mails/${id}/raw`);
    return { type: answer.headers.get('content-type'), nosniff: answer.headers.get('x-content-type-options'), text: await answer.text() };
  }, row.mail_id);
  assert.match(raw.type, /^text\/plain/);
  assert.equal(raw.nosniff, 'nosniff');
  await open(`#/errors/${row.id}`);
  await page.locator('.detail details > summary').click();
  const box = page.locator('[data-raw-mail]');
  await box.waitFor();
  assert.equal((await box.textContent()).replaceAll('\r\n', '\n').trim(), raw.text.replaceAll('\r\n', '\n').trim());
  assert.equal(await box.locator('*').count(), 0, 'the mail became elements');
  assert.deepEqual(await foreign('.detail'), []);
  await box.scrollIntoViewIfNeeded();
  await shoot('error-mail');

  await page.route('**/api/v1/mails/*/raw', (route) => route.fulfill({ contentType: 'text/plain; charset=utf-8', body: HOSTILE }));
  await page.reload();
  await page.locator('.detail details > summary').click();
  await box.waitFor();
  assert.ok((await box.textContent()).includes('<script>'), 'the hostile mail is shown as it is');
  assert.equal(await box.locator('*').count(), 0, 'the hostile mail became elements');
  assert.deepEqual(await foreign('.detail'), []);
  assert.equal(await page.evaluate(() => window.__owned), undefined);
  await page.unroute('**/api/v1/mails/*/raw');
});

test('what is pasted is explained, and stays text (S6, S16)', async () => {
  await open('#/explain');
  await page.locator('#pasted').fill('550 5.1.1 <a href="https://evil.example/">x</a><script>window.__owned = 1</script> User unknown');
  await page.locator('form .btn.go').click();
  await page.locator('.speak').waitFor();
  assert.ok((await text('.said')).includes('<script>'));
  assert.deepEqual(await foreign('main .said'), []);
  assert.equal(await page.evaluate(() => window.__owned), undefined);
  await page.locator('form button.quiet').nth(1).click();
  await page.locator('[data-reason="mailbox_full"]').waitFor();
  await shoot('explain');
});

test('the suppression list says who is left out and why (S71, U13)', async () => {
  await open('#/suppressions');
  await page.locator('tbody tr').first().waitFor();
  const { total } = await api('/suppressions');
  assert.ok(total > 0);
  assert.match(await text('main .top p'), /件の宛先には、次の配信でも送りません/);
  await shoot('suppressions');
  const address = (await text('tbody tr td b')).trim();
  await page.locator('input[type="search"]').fill(address);
  assert.ok(
    await until(async () => (await page.locator('tbody tr').count()) === 1 || (await text('main .top p')).includes('見つかりました')),
  );
  assert.equal((await text('tbody tr td b')).trim(), address);
});

test('files are added with their progress, linked, extended and taken back (S27)', async () => {
  await open('#/files');
  const name = `カタログ &amp; 案内 ${Date.now()}.pdf`;
  const row = page.locator('tr[data-file]', { hasText: name });
  const status = page.locator('.said-ok');
  await page.locator('input[type="file"]').setInputFiles({ name, mimeType: 'application/pdf', buffer: Buffer.alloc(3 << 20, 'x') });
  assert.ok((await text('.pick .name')).includes('3.0 MB'));
  await page.locator('form select').first().selectOption('60');
  await page.evaluate(() => {
    window.__progress = 0;
    new MutationObserver(() => (window.__progress = Math.max(window.__progress, document.querySelector('progress')?.value ?? 0))).observe(document.querySelector('main'), {
      subtree: true,
      childList: true,
      attributes: true,
    });
  });
  await page.locator('form .btn.go').click();
  await row.waitFor();
  assert.ok((await page.evaluate(() => window.__progress)) > 0, 'no progress was shown');
  assert.deepEqual(await foreign('main table'), []);
  assert.match(await row.innerText(), /3\.0 MB[^]*あと (59|60) 日[^]*0 回/);
  await shoot('files');
  const file = (await api('/files')).items.find((one) => one.name === name);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await row.locator('button', { hasText: 'リンクをコピー' }).click();
  await status.filter({ hasText: 'コピーしました' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), file.link);
  await row.locator('button', { hasText: '期限を変える' }).click();
  const dialog = page.locator('[role="alertdialog"]');
  await dialog.locator('select').selectOption('180');
  await shoot('files-extend');
  await dialog.locator('.btn.go').click();
  await row.filter({ hasText: /あと (179|180) 日/ }).waitFor();
  await row.locator('button', { hasText: '取り下げる' }).click();
  await dialog.locator('button', { hasText: 'やめる' }).click();
  assert.equal((await api(`/files`)).items.some((one) => one.id === file.id), true);
  await row.locator('button', { hasText: '取り下げる' }).click();
  await dialog.locator('.btn.go').click();
  await row.waitFor({ state: 'detached' });
  await page.locator('.top input[type="checkbox"]').check();
  await row.filter({ hasText: '取り下げ済み' }).waitFor();
  assert.equal(await row.locator('button').count(), 0);
});

test('the inbox shows what arrived in a closed frame, and error mail as text (S16)', async () => {
  await open('#/inbox');
  await page.locator('.list a[data-kind="mail"]').first().click();
  await page.locator('.detail .facts').waitFor();
  const frame = page.locator('.detail iframe');
  if (await frame.count()) {
    assert.equal(await frame.getAttribute('sandbox'), '', 'the frame may do something');
    await pause(500);
  }
  await shoot('inbox');
  const error =
    (await api('/inbox?limit=500')).items.find((mail) => mail.kind === 'error') ??
    (await api('/inbox?q=daemon')).items.find((mail) => mail.kind === 'error');
  assert.ok(error, 'no error mail in the inbox');
  await open(`#/inbox/${error.id}`);
  await page.locator('.detail [data-mail-text]').waitFor();
  assert.equal(await page.locator('.detail iframe').count(), 0);
  assert.equal(await page.locator('.detail [data-mail-text] *').count(), 0);
  assert.deepEqual(await foreign('.detail'), []);
  assert.equal(await page.evaluate(() => window.__owned), undefined);
});

test('a draft goes out only after a second look (U26)', async (t) => {
  const draft = (await api('/campaigns')).items.find((row) => row.state === 'draft');
  if (!draft) return t.skip('the server has no draft');
  await open(`#/campaigns/${draft.id}`);
  await page.locator('.top button', { hasText: '配信を始める' }).click();
  const dialog = page.locator('[role="alertdialog"]');
  assert.match(await dialog.innerText(), /[\d,]+ 人に配信を始めます/);
  await dialog.locator('button', { hasText: 'やめる' }).click();
  assert.equal((await api(`/campaigns/${draft.id}`)).state, 'draft');
});

test('dark and phone', async () => {
  await page.emulateMedia({ colorScheme: 'dark' });
  await open('#/errors?reason=user_unknown');
  await page.locator('.detail .said').waitFor();
  await shoot('errors-dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 390, height: 844 });
  const { running, recent } = await api('/home');
  for (const [name, route] of [
    ['phone-home', '#/'],
    ['phone-campaign', `#/campaigns/${(running[0] ?? recent[0]).id}`],
    ['phone-errors', '#/errors'],
    ['phone-suppressions', '#/suppressions'],
    ['phone-files', '#/files'],
    ['phone-more', '#/more'],
  ]) {
    await open(route);
    await pause(800);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wide <= 0, `${name} is ${wide} px wider than the screen`);
    await shoot(name);
  }
  await open('#/errors');
  await page.locator('.list a').first().click();
  await page.locator('.back').filter({ visible: true }).waitFor();
  await shoot('phone-error');
  await page.setViewportSize({ width: 1440, height: 900 });
});

test('the keyboard reaches the content, and every control has a name', async () => {
  await open('#/');
  await page.reload();
  await page.locator('main h1').first().waitFor();
  await page.keyboard.press('Tab');
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains('skip')));
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  for (const route of ['#/', '#/campaigns', '#/errors', '#/explain', '#/suppressions', '#/files', '#/inbox', '#/more']) {
    await open(route);
    await pause(300);
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll('a, button, input, textarea')]
        .filter((e) => !(e.innerText?.trim() || e.getAttribute('aria-label') || e.labels?.length))
        .map((e) => e.outerHTML.slice(0, 100)),
    );
    assert.deepEqual(nameless, [], route);
  }
});

test('signing out ends it', async () => {
  await page.locator('.side .who button').click();
  await page.locator('main h1', { hasText: 'サインイン' }).waitFor();
  assert.equal(await page.evaluate(() => fetch('/api/v1/home').then((answer) => answer.status)), 401);
  await shoot('sign-in');
  await page.locator('input').fill('wrong');
  await page.locator('form button').click();
  await page.locator('[role="alert"]').waitFor();
});

test('nothing went wrong in the page, nothing broke its policy, nothing left this machine', () => {
  assert.deepEqual(heard, { errors: [], breaches: [], strangers: [] });
});
