// How a campaign or a receiver divides into the coloured parts of a bar. Plain arithmetic, so that the test can hold it to "the parts make the whole".

/** @typedef {'ok'|'receiver'|'address'|'message'|'sender'|'removed'|'none'} Part */
/** @typedef {{kind: Part, value: number}} Share */

/** The parts of `accepted` deliveries, in the order of the bar. Their values sum to accepted; what has no answer yet is `none`.
 * @param {number} accepted
 * @param {{delivered: number, suppressed: number, cancelled: number}} counts
 * @param {{address: number, message: number, sender: number, receiver: number}} faults
 * @returns {Share[]} */
export function shares(accepted, counts, faults) {
  const removed = counts.suppressed + counts.cancelled;
  const met = counts.delivered + faults.receiver + faults.address + faults.message + faults.sender + removed;
  return [
    { kind: 'ok', value: counts.delivered },
    { kind: 'receiver', value: faults.receiver },
    { kind: 'address', value: faults.address },
    { kind: 'message', value: faults.message },
    { kind: 'sender', value: faults.sender },
    { kind: 'removed', value: removed },
    { kind: 'none', value: Math.max(0, accepted - met) },
  ];
}

/** How many have had an answer: all but `none`.
 * @param {Share[]} parts */
export function done(parts) {
  return parts.reduce((sum, part) => sum + (part.kind === 'none' ? 0 : part.value), 0);
}

/** @param {Share[]} parts @param {Part} kind */
export function share(parts, kind) {
  return parts.find((part) => part.kind === kind)?.value ?? 0;
}
