// The mock's world: a campaign that really moves, because each recipient's fate and hour are fixed and the clock does the rest.
import { SAMPLES, STRANGERS } from './reasons.mjs';

const SITES = [
  {
    site: 'gmail',
    label: 'Gmail',
    domain: 'gmail.play.example',
    weight: 40,
    rate: 60,
    binding: { ja: '接続 5 本まで(Google の規則)', en: 'at most 5 connections (Google’s rule)' },
  },
  {
    site: 'docomo',
    label: 'docomo',
    domain: 'docomo.play.example',
    weight: 20,
    rate: 18,
    binding: { ja: '421 が続いたので減速', en: 'slowed after 421s' },
  },
  {
    site: 'yahoo',
    label: 'Yahoo! JAPAN',
    domain: 'yahoo.play.example',
    weight: 14,
    rate: 30,
    binding: { ja: '1 秒 10 通まで', en: 'at most 10 a second' },
  },
  {
    site: 'au',
    label: 'au',
    domain: 'au.play.example',
    weight: 10,
    rate: 16,
    binding: { ja: 'グレイリスト、10 分後に再送', en: 'greylisted, again in 10 min' },
  },
  { site: 'microsoft', label: 'Outlook・Microsoft 365', domain: 'outlook.play.example', weight: 8, rate: 24, binding: null },
  { site: '', label: '', domain: 'corp.play.example', weight: 8, rate: 14, binding: null },
];
const NAMES = [
  'taro.yamada',
  'h.sato',
  'mika.o',
  'k.suzuki',
  'yuki.tanaka',
  'keiko.n',
  'daisuke.ito',
  'emma.clark',
  'noah.lee',
  'aoi.mori',
  'ren.abe',
  'sora.kato',
];
const KANJI = [
  '山田 太郎',
  '佐藤 花',
  '岡田 美香',
  '鈴木 健',
  '田中 由紀',
  '中村 恵子',
  '伊藤 大輔',
  'Emma Clark',
  'Noah Lee',
  '森 葵',
  '阿部 蓮',
  '加藤 空',
];
const COUNTS = {
  waiting: 0,
  deferred: 0,
  held: 0,
  on_wire: 0,
  in_doubt: 0,
  delivered: 0,
  bounced: 0,
  expired: 0,
  suppressed: 0,
  cancelled: 0,
};
const FAULTS = { address: 0, message: 0, sender: 0, receiver: 0 };

/** A small generator with a seed, so that every run shows the same people. */
function dice(seed) {
  let s = seed >>> 0;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 2 ** 32;
  };
}

function weighted(rows, key, roll) {
  const sum = rows.reduce((n, row) => n + row[key], 0);
  let left = roll * sum;
  return rows.find((row) => (left -= row[key]) < 0) ?? rows[0];
}

/** Greylisting lives at au, 421s at docomo: elsewhere those fates turn into arrival. */
function atSite(sample, site) {
  const home = { greylisted: 'au', system_error: 'docomo' }[sample.reason];
  return home && home !== site.site ? null : sample;
}

export class World {
  /** seconds: how long the running campaign takes from its start. */
  constructor({ people = 10000, seconds = 60 } = {}) {
    this.people = people;
    this.seconds = seconds;
    this.born = Date.now();
    this.files = [];
    for (const [name, type, size, days, downloads] of [
      ['冬のカタログ 2026.pdf', 'application/pdf', 33554432, 41, 1284],
      ['会員規約.pdf', 'application/pdf', 412808, 2, 96],
      ['秋のカタログ 2026.pdf', 'application/pdf', 28311552, -3, 903],
    ])
      Object.assign(this.addFile(name, type, size, days), { downloads });
    this.campaigns = [
      this.#make('3', '年末のごあいさつ', '年末のごあいさつと営業日のお知らせ', 'draft', 0, 11, 'すべてのお客様', 9641),
      this.#make('2', '冬の感謝祭のご案内', '【花丸商店】冬の感謝祭のご案内', 'sending', this.born, 7, '東京・購入 1 年以内', people),
      this.#make('1', '週刊だより 46 号', '週刊だより 46 号:鍋の支度', 'finished', this.born - 26 * 3600e3, 3, 'たよりの読者', 2400),
    ];
    this.campaigns[1].left_out = [
      { why: 'suppressed:user_unknown', label: { ja: '宛先が存在しない', en: 'The address does not exist' }, count: 61 },
      { why: 'suppressed:unsubscribed', label: { ja: '配信解除', en: 'Unsubscribed' }, count: 24 },
      { why: 'duplicate', label: { ja: '同じ宛先が重複', en: 'Twice in the audience' }, count: 7 },
    ];
  }

  #make(id, name, subject, state, start, seed, audience, people) {
    const roll = dice(seed);
    const recipients = Array.from({ length: people }, (_, i) => {
      const site = weighted(SITES, 'weight', roll());
      const bad = roll() * 1000 < SAMPLES.reduce((n, s) => n + s.share, 0);
      const who = Math.floor(roll() * NAMES.length);
      const speed = this.seconds / (people * 1.05);
      return {
        id: `${id}${String(i).padStart(5, '0')}`,
        site,
        sample: bad ? atSite(weighted(SAMPLES, 'share', roll()), site) : null,
        who,
        address: `${NAMES[who]}${i}@${site.domain}`,
        at: (i + roll() * 40) * speed * 1000,
        again: 8000 + roll() * 9000,
      };
    });
    return { id, name, subject, state, start, paused: 0, pausedAt: 0, audience, recipients, left_out: [] };
  }

  campaign(id) {
    return this.campaigns.find((c) => c.id === id);
  }

  /** Milliseconds the campaign has run, pauses taken out. */
  elapsed(c, now = Date.now()) {
    if (c.state === 'draft') return -1;
    if (c.state === 'finished' && c.id === '1') return Infinity;
    return (c.state === 'paused' ? c.pausedAt : now) - c.start - c.paused;
  }

  #stateOf(r, ms) {
    if (ms < r.at) return ms > r.at - 120 ? 'on_wire' : 'waiting';
    if (!r.sample) return 'delivered';
    if (!r.sample.retry) return 'bounced';
    return r.sample.heals && ms > r.at + r.again
      ? 'delivered'
      : ms > this.seconds * 1000 + 20000
        ? r.sample.heals
          ? 'delivered'
          : 'expired'
        : 'deferred';
  }

  report(id) {
    const c = this.campaign(id);
    const ms = this.elapsed(c);
    const draft = c.state === 'draft';
    const total = { counts: { ...COUNTS }, faults: { ...FAULTS } };
    const sites = new Map(SITES.map((s) => [s, { total: 0, counts: { ...COUNTS }, faults: { ...FAULTS } }]));
    const reasons = new Map();
    let recent = 0;
    for (const r of draft ? [] : c.recipients) {
      const state = this.#stateOf(r, ms);
      const row = sites.get(r.site);
      row.total += 1;
      for (const x of [total, row]) {
        x.counts[state] += 1;
        if (['bounced', 'deferred', 'expired'].includes(state)) x.faults[r.sample.fault] += 1;
      }
      if (['bounced', 'deferred', 'expired'].includes(state)) {
        const found = reasons.get(r.sample) ?? { count: 0, retrying: 0 };
        found.count += 1;
        found.retrying += state === 'deferred' ? 1 : 0;
        reasons.set(r.sample, found);
      }
      if (r.at <= ms && r.at > ms - 2000) recent += 1;
    }
    const waiting = total.counts.waiting + total.counts.on_wire;
    if (c.state === 'sending' && waiting + total.counts.deferred === 0) {
      c.state = 'finished';
      c.finished = Date.now();
    }
    const rate = c.state === 'sending' ? recent / 2 : 0;
    const accepted = draft ? 0 : c.recipients.length;
    const iso = (x) => new Date(x).toISOString();
    const campaign = {
      id,
      name: c.name,
      state: c.state,
      subject: c.subject,
      from: '花丸商店 <news@shop.play.example>',
      audience: c.audience,
      created_at: iso((c.start || this.born) - 3600e3),
      started_at: draft ? null : iso(c.start),
      finished_at: c.state === 'finished' ? iso(c.finished ?? c.start + 340e3) : null,
      total: c.recipients.length + c.left_out.reduce((n, x) => n + x.count, 0),
      accepted,
      ...total,
      left_out: draft ? [] : c.left_out,
      rate_per_second: rate,
      remaining_seconds: c.state === 'sending' && rate ? Math.ceil(waiting / rate) : null,
    };
    const receivers = [...sites]
      .filter(([, row]) => row.total)
      .map(([s, row]) => ({
        site: s.site,
        label: s.label,
        ...row,
        rate_per_second: rate ? (rate * row.total) / accepted : 0,
        binding: c.state === 'sending' && row.counts.waiting ? s.binding : null,
      }));
    return {
      campaign,
      receivers,
      reasons: [...reasons]
        .sort((a, b) => b[1].count - a[1].count)
        .map(([s, n]) => ({
          reason: s.reason,
          fault: s.fault,
          label: s.label,
          cause: s.cause,
          remedy: s.remedy,
          did: s.did,
          action: s.action,
          ...n,
        })),
    };
  }

  #error(c, r, at, ms) {
    const s = r.sample;
    const diagnostic = s.said.replaceAll('{to}', r.address).replaceAll('{domain}', r.site.domain);
    const state = this.#stateOf(r, ms);
    const mail = s.reason === 'user_unknown' && r.who % 2 === 0;
    return {
      id: r.id,
      at: new Date(at).toISOString(),
      recipient: r.address,
      contact: { name: KANJI[r.who], phone: r.who % 3 ? '' : '03-0000-0000' },
      campaign: { id: c.id, name: c.name },
      kind: 'bounce',
      origin: mail ? 'mail' : 'reply',
      reason: s.reason,
      fault: s.fault,
      label: s.label,
      permanent: s.permanent,
      action: s.action,
      scope: s.scope,
      authenticity: 'genuine',
      reply_code: s.reply_code,
      status: s.status,
      diagnostic,
      marks: marksOf(diagnostic, s.marks),
      rule: s.rule,
      command: s.command,
      remote_mta: s.reply_code ? `mx.${r.site.domain}` : '',
      attempts: state === 'deferred' ? 1 : s.retry ? 2 : 1,
      next_attempt_at: state === 'deferred' ? new Date(at + 600e3).toISOString() : null,
      cause: s.cause,
      remedy: s.remedy,
      operator: s.operator,
      did: s.did,
      mail_id: mail ? `m${r.id}` : null,
    };
  }

  errors() {
    const rows = [];
    for (const c of this.campaigns) {
      const ms = this.elapsed(c);
      for (const r of c.recipients)
        if (r.sample && r.at <= ms) rows.push(this.#error(c, r, c.start + c.paused + Math.min(r.at, 330e3), ms));
    }
    STRANGERS.forEach((s, i) =>
      rows.push({
        ...EMPTY,
        ...s,
        id: `s${i}`,
        at: new Date(this.born - 2900e3 - i * 600e3).toISOString(),
        origin: 'mail',
        diagnostic: s.said,
        marks: typeof s.marks[0] === 'string' ? marksOf(s.said, s.marks) : s.marks,
        rule: 'mock.stranger',
        mail_id: `ms${i}`,
      }),
    );
    return rows.sort((a, b) => (a.at < b.at ? 1 : -1));
  }

  addFile(name, type, size, days) {
    const id = String(this.files.length + 1);
    const expires_at = new Date(Date.now() + days * 86400000).toISOString();
    const row = {
      id,
      brand_id: '1',
      name,
      type,
      size_bytes: size,
      sha256: id.padStart(64, '0'),
      state: days > 0 ? 'there' : 'expired',
      message_id: null,
      created_at: new Date().toISOString(),
      expires_at,
      ended_at: days > 0 ? null : expires_at,
      downloads: 0,
      link: days > 0 ? `https://mail.shop.play.example/f/${'a'.repeat(59)}${id}` : '',
    };
    this.files.unshift(row);
    return row;
  }

  suppressions() {
    return this.errors()
      .filter((e) => e.action === 'suppress_now' && e.campaign)
      .map((e) => ({
        address: e.recipient,
        scope: 'all',
        reason: e.reason,
        label: e.label,
        fault: e.fault,
        since: e.at,
        campaign: e.campaign,
        count: 1,
        error_id: e.id,
      }));
  }

  inbox() {
    const rows = [];
    for (const c of this.campaigns) {
      const ms = this.elapsed(c);
      for (const r of c.recipients) {
        if (r.at > ms) continue;
        const at = new Date(c.start + Math.min(r.at, 330e3)).toISOString();
        if (!r.sample)
          rows.push({
            id: `i${r.id}`,
            at,
            from: '花丸商店 <news@shop.play.example>',
            to: r.address,
            subject: c.subject,
            kind: 'mail',
            size_bytes: 18211,
          });
        else if (r.sample.reason === 'user_unknown' && r.who % 2 === 0)
          rows.push({
            id: `i${r.id}`,
            at,
            from: `MAILER-DAEMON@mx.${r.site.domain}`,
            to: `b-${r.id}@bounce.shop.play.example`,
            subject: 'Undelivered Mail Returned to Sender',
            kind: 'error',
            size_bytes: rawMail(r.address).length,
          });
      }
    }
    return rows.sort((a, b) => (a.at < b.at ? 1 : -1));
  }

  act(id, verb) {
    const c = this.campaign(id);
    const from = { send: 'draft', pause: 'sending', resume: 'paused' }[verb];
    if (c.state !== from) return false;
    const now = Date.now();
    if (verb === 'send') c.start = now;
    if (verb === 'pause') c.pausedAt = now;
    if (verb === 'resume') c.paused += now - c.pausedAt;
    c.state = verb === 'pause' ? 'paused' : 'sending';
    return true;
  }
}

const EMPTY = {
  contact: null,
  campaign: null,
  permanent: false,
  action: 'none',
  scope: 'address',
  reply_code: '',
  status: '',
  command: '',
  remote_mta: '',
  attempts: 0,
  next_attempt_at: null,
  operator: { ja: '', en: '' },
  mail_id: null,
};

function marksOf(text, words) {
  return words
    .map((word) => [text.indexOf(word), text.indexOf(word) + word.length])
    .filter(([start]) => start >= 0)
    .sort((a, b) => a[0] - b[0]);
}

export function explain(text) {
  const found =
    SAMPLES.find((s) => s.status && text.includes(s.status)) ?? SAMPLES.find((s) => s.marks.some((word) => text.includes(word)));
  const { kind, ...empty } = { ...EMPTY, kind: 'bounce' };
  for (const key of ['contact', 'campaign', 'attempts', 'next_attempt_at', 'mail_id']) delete empty[key];
  if (!found) {
    const nothing = { ja: '', en: '' };
    return {
      ...empty,
      kind: 'none',
      origin: 'reply',
      recipient: '',
      reason: 'undefined',
      fault: 'none',
      label: nothing,
      authenticity: 'unverified',
      diagnostic: text.slice(0, 500),
      marks: [],
      rule: '',
      cause: nothing,
      remedy: nothing,
      did: nothing,
    };
  }
  const { share: _share, retry: _retry, heals: _heals, said: _said, marks, ...sample } = found;
  return {
    ...empty,
    ...sample,
    kind,
    origin: 'reply',
    recipient: /<([^<>@\s]+@[^<>\s]+)>/.exec(text)?.[1] ?? '',
    authenticity: 'unverified',
    diagnostic: text.trim(),
    marks: marksOf(text.trim(), marks),
    did: { ja: '', en: '' },
  };
}

/** An error mail that would like to be more than text (S16). */
export function rawMail(address) {
  return [
    'Return-Path: <>',
    'From: Mail Delivery Subsystem <MAILER-DAEMON@mx.play.example>',
    'Subject: Undelivered Mail Returned to Sender',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=delivery-status; boundary="b1"',
    '',
    '--b1',
    'Content-Type: text/html; charset=utf-8',
    '',
    `<html><body><p>Your mail to ${address} could not be delivered.</p><a href="https://evil.example/click">Click here to fix it</a>`,
    '<script>window.__owned = true; document.title = "owned"</script><iframe src="https://evil.example/"></iframe><img src=x onerror="window.__owned=true"></body></html>',
    '',
    '--b1',
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; mx.play.example',
    '',
    `Final-Recipient: rfc822; ${address}`,
    'Action: failed',
    'Status: 5.1.1',
    'Diagnostic-Code: smtp; 550 5.1.1 User unknown',
    '',
    '--b1',
    'Content-Type: application/zip; name="invoice.zip"',
    'Content-Transfer-Encoding: base64',
    '',
    'UEsDBAoAAAAAAA==',
    '',
    '--b1--',
    '',
  ].join('\r\n');
}
