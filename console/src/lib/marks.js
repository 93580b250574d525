// Cut a receiver's words at the marks that decided, for showing. Marks come from outside, so nonsense (backwards, overlapping, past the end) is dropped.

/** @param {string} text @param {number[][]} marks offsets in UTF-16 code units, [start, end)
 * @returns {{text: string, marked: boolean}[]} pieces that join to text exactly */
export function pieces(text, marks) {
  const out = [];
  let at = 0;
  for (const [start = -1, end = -1] of [...marks].sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0))) {
    if (!Number.isInteger(start) || !Number.isInteger(end) || start < at || end <= start || end > text.length) continue;
    if (start > at) out.push({ text: text.slice(at, start), marked: false });
    out.push({ text: text.slice(start, end), marked: true });
    at = end;
  }
  if (at < text.length) out.push({ text: text.slice(at), marked: false });
  return out;
}
