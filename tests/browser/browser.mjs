// Debian's Chromium, driven by playwright-core (which console/package-lock.json holds), with a profile of its own that is thrown away.
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const require = createRequire(new URL('../../console/package.json', import.meta.url));
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A page of a fresh browser, and how to close it. `heard` gathers what went wrong in the page: errors, and breaches of the page's own policy. */
export async function openBrowser({ locale = 'ja-JP', timezoneId = 'Asia/Tokyo' } = {}) {
  const { chromium } = require('playwright-core');
  const profile = await mkdtemp(path.join(os.tmpdir(), 'todoke-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: FLAGS,
    locale,
    timezoneId,
    viewport: { width: 1440, height: 900 },
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const heard = { errors: [], breaches: [], strangers: [] };
  await page.exposeFunction('__breach', (text) => heard.breaches.push(text));
  await page.addInitScript(() => {
    if (window === window.top)
      document.addEventListener('securitypolicyviolation', (event) => window.__breach(`${event.violatedDirective} ${event.blockedURI}`));
  });
  page.on('pageerror', (error) => heard.errors.push(String(error)));
  // A picture of a mail that the policy stopped before it went out ("csp") is how it should be; anything else that looks beyond this machine is not.
  const left = (request, how) => {
    if (!/^(http:\/\/127\.|data:|about:)/.test(request.url()) && how !== 'csp') heard.strangers.push(`${request.url()} ${how}`);
  };
  page.on('requestfinished', (request) => left(request, 'loaded'));
  page.on('requestfailed', (request) => left(request, request.failure()?.errorText ?? ''));
  return {
    page,
    heard,
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
