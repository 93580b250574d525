// Words for the parts of a bar and for faults.
import type { Fault } from './contract';
import { w } from './lang.svelte';
import type { Part } from './shares.js';

export function partName(kind: Part, retrying = false): string {
  const f = w().fault;
  if (kind === 'ok') return f.delivered;
  if (kind === 'none') return f.waiting;
  if (kind === 'receiver' && retrying) return f.receiverRetry;
  return f[kind];
}

export const faultName = (fault: Fault): string => w().fault[fault];
