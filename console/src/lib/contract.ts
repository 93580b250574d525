// The shapes of data/api/openapi.yaml, as the pages use them. test/contract.test.js holds the mock server to the same file.

export type Text = { ja: string; en: string };
export type Fault = 'address' | 'message' | 'sender' | 'receiver' | 'none';
export type Faults = Record<Exclude<Fault, 'none'>, number>;

export const STATES = [
  'waiting',
  'on_wire',
  'in_doubt',
  'held',
  'deferred',
  'delivered',
  'bounced',
  'expired',
  'suppressed',
  'cancelled',
] as const;
export type Counts = Record<(typeof STATES)[number], number>;

export type Session = { version: string; playground: boolean; brand: { name: string; from: string }; now: string };

export type Campaign = {
  id: string;
  name: string;
  state: 'draft' | 'expanding' | 'sending' | 'paused' | 'finished' | 'cancelled';
  subject: string;
  from: string;
  audience: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  total: number;
  accepted: number;
  counts: Counts;
  left_out: { why: string; label: Text; count: number }[];
  faults: Faults;
  rate_per_second: number;
  remaining_seconds: number | null;
};

export type Receiver = {
  site: string;
  label: string;
  total: number;
  counts: Counts;
  faults: Faults;
  rate_per_second: number;
  binding: Text | null;
};

export type ReasonRow = {
  reason: string;
  fault: Fault;
  label: Text;
  cause: Text;
  remedy: Text;
  did: Text;
  action: string;
  count: number;
  retrying: number;
};

export type Report = { campaign: Campaign; receivers: Receiver[]; reasons: ReasonRow[] };

export type Home = {
  todos: { fault: Fault; title: Text; text: Text; link: string }[];
  running: Campaign[];
  recent: Campaign[];
  totals: { sent: number; delivered: number; errors: number; complaints: number; excluded: number };
};

export type Explanation = {
  recipient: string;
  kind: 'bounce' | 'delay' | 'delivered' | 'complaint' | 'autoreply' | 'report' | 'none';
  origin: 'reply' | 'mail';
  reason: string;
  fault: Fault;
  label: Text;
  permanent: boolean;
  action: string;
  scope: string;
  authenticity: 'genuine' | 'unverified' | 'backscatter' | 'forged';
  reply_code: string;
  status: string;
  diagnostic: string;
  marks: [number, number][];
  rule: string;
  command: string;
  remote_mta: string;
  cause: Text;
  remedy: Text;
  operator: Text;
  did: Text;
};

export type ErrorRow = Explanation & {
  id: string;
  at: string;
  contact: { name: string; phone: string } | null;
  campaign: { id: string; name: string } | null;
  attempts: number;
  next_attempt_at: string | null;
  mail_id: string | null;
};

export type ErrorDetail = ErrorRow & { timeline: { at: string; kind: string; text: Text }[] };

export type Suppression = {
  address: string;
  scope: 'all' | 'brand' | 'topic';
  reason: string;
  label: Text;
  fault: Fault;
  since: string;
  campaign: { id: string; name: string } | null;
  count: number;
  error_id: string | null;
};

export type InboxRow = { id: string; at: string; from: string; to: string; subject: string; kind: 'mail' | 'error'; size_bytes: number };
export type InboxMail = InboxRow & {
  headers: { name: string; value: string }[];
  text: string;
  html: string | null;
  attachments: { name: string; type: string; size_bytes: number }[];
};

export type HostedFile = {
  id: string;
  brand_id: string;
  name: string;
  type: string;
  size_bytes: number;
  sha256: string;
  state: 'there' | 'removed' | 'expired';
  message_id: string | null;
  created_at: string;
  expires_at: string;
  ended_at: string | null;
  downloads: number;
  link: string;
};

export type Brand = { id: string; name: string };

export type Page<T> = { items: T[]; next_cursor: string | null };
