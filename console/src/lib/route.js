// The console's routes live behind the #: "#/errors/12?campaign=3" -> page errors, id 12. The server knows nothing of them.

export const PAGES = /** @type {const} */ (['home', 'campaigns', 'errors', 'suppressions', 'files', 'inbox', 'explain', 'more']);
/** @typedef {typeof PAGES[number]} PageName */
/** @typedef {{page: PageName, id: string, query: Record<string, string>}} Route */

/** @param {string} hash @returns {Route} an unknown page is home */
export function parse(hash) {
  const [path = '', search = ''] = hash.replace(/^#/, '').split('?', 2);
  const [first = '', second = ''] = path.split('/').filter(Boolean);
  const page = /** @type {PageName} */ (PAGES.find((name) => name === first) ?? 'home');
  return { page, id: unescaped(second), query: Object.fromEntries(new URLSearchParams(search)) };
}

/** @param {PageName} page @param {string} [id] @param {Record<string, string | undefined>} [query] empty values are left out
 * @returns {string} what to write into href */
export function href(page, id = '', query = {}) {
  const path = page === 'home' ? '/' : `/${page}${id ? `/${encodeURIComponent(id)}` : ''}`;
  const search = queryString(query);
  return `#${path}${search}`;
}

/** @param {Record<string, string | undefined>} query @returns {string} "" or "?a=b" */
export function queryString(query) {
  const kept = Object.entries(query).filter(([, value]) => value);
  return kept.length ? `?${new URLSearchParams(/** @type {[string, string][]} */ (kept))}` : '';
}

/** A link the server gives (home's to-dos), as href; only routes of ours pass, anything else is "".
 * @param {string} link */
export function serverLink(link) {
  return /^\/[a-z]/.test(link) && parse(link).page !== 'home' ? `#${link}` : '';
}

/** The token in "#token=..." or "" @param {string} hash */
export function token(hash) {
  return /^#token=([^&]+)/.exec(hash)?.[1] ?? '';
}

/** @param {string} text */
function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
