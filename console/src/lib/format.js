// Numbers, times and sizes as people read them. Times are shown in the reader's own time zone.

/** @typedef {'ja'|'en'} Lang */
/** @typedef {{today: (clock: string) => string, yesterday: (clock: string) => string, tomorrow: (clock: string) => string,
 *   second: string, minute: string, hour: string}} TimeWords */

/** @param {number} n @returns {string} 31,902 */
export function number(n) {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Per-second rates: whole from 10 up, one digit below, so that a slow receiver does not look stopped.
 * @param {number} n */
export function rate(n) {
  return n > 0 && n < 9.95 ? n.toFixed(1).replace(/\.0$/, '') : number(n);
}

/** A share in per cent, never rounded up to 100 or down to 0 when it is neither.
 * @param {number} part @param {number} whole @param {number} [digits] @returns {string} digits without the sign */
export function percent(part, whole, digits = 1) {
  if (whole <= 0) return '0';
  const step = 10 ** -digits;
  let value = (100 * part) / whole;
  if (part < whole && value > 100 - step) value = 100 - step;
  if (part > 0 && value < step) value = step;
  return value.toFixed(value === 0 || value === 100 ? 0 : digits);
}

/** @param {number} n */
export function bytes(n) {
  if (n < 1024) return `${n} B`;
  if (n < 1024 * 1024) return `${(n / 1024).toFixed(n < 10240 ? 1 : 0)} KB`;
  if (n < 1024 * 1024 * 1024) return `${(n / 1024 / 1024).toFixed(1)} MB`;
  return `${(n / 1024 / 1024 / 1024).toFixed(1)} GB`;
}

/** A time span in one or two units: 40 s, 9 min, 2 h 5 min.
 * @param {number} seconds @param {TimeWords} words @returns {{value: string, unit: string}[]} */
export function span(seconds, words) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return [{ value: String(s), unit: words.second }];
  const minutes = Math.round(s / 60);
  if (minutes < 60) return [{ value: String(minutes), unit: words.minute }];
  const hours = { value: number(Math.floor(minutes / 60)), unit: words.hour };
  return minutes % 60 ? [hours, { value: String(minutes % 60), unit: words.minute }] : [hours];
}

/** @param {number} seconds @param {TimeWords} words */
export function spanText(seconds, words) {
  return span(seconds, words)
    .map((part) => `${part.value} ${part.unit}`)
    .join(' ');
}

/** 13:58 @param {Date} time @param {boolean} [withSeconds] */
export function clock(time, withSeconds = false) {
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  return `${time.getHours()}:${two(time.getMinutes())}${withSeconds ? `:${two(time.getSeconds())}` : ''}`;
}

/** @param {Date} a @param {Date} b days from a to b by the calendar */
function daysBetween(a, b) {
  return Math.round(
    (Date.UTC(b.getFullYear(), b.getMonth(), b.getDate()) - Date.UTC(a.getFullYear(), a.getMonth(), a.getDate())) / 86400000,
  );
}

/** @param {Date} time @param {Lang} lang @param {Date} now the year only when it is another one */
function date(time, lang, now) {
  const sameYear = time.getFullYear() === now.getFullYear();
  return time.toLocaleDateString(lang === 'ja' ? 'ja-JP' : 'en-GB', {
    year: sameYear ? undefined : 'numeric',
    month: lang === 'ja' ? 'long' : 'short',
    day: 'numeric',
  });
}

/** 今日 13:58, 11月20日 13:58.
 * @param {string} at RFC 3339 @param {Lang} lang @param {TimeWords} words @param {Date} now @param {boolean} [withSeconds] */
export function when(at, lang, words, now, withSeconds = false) {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return at;
  const text = clock(time, withSeconds);
  const days = daysBetween(now, time);
  if (days === 0) return words.today(text);
  if (days === -1) return words.yesterday(text);
  if (days === 1) return words.tomorrow(text);
  return `${date(time, lang, now)} ${text}`;
}

/** For narrow columns: the clock today, else the date.
 * @param {string} at @param {Lang} lang @param {Date} now */
export function whenShort(at, lang, now) {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return at;
  return daysBetween(now, time) === 0 ? clock(time) : date(time, lang, now);
}

/** 11月22日(日) @param {Date} time @param {Lang} lang */
export function today(time, lang) {
  return time.toLocaleDateString(lang === 'ja' ? 'ja-JP' : 'en-GB', {
    month: 'long',
    day: 'numeric',
    weekday: lang === 'ja' ? 'short' : 'long',
  });
}
