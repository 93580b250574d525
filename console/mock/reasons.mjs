// Sample answers of receivers for the mock server, one row for each thought. Words here are samples; the real ones stand in data/words.

const t = (ja, en) => ({ ja, en });

/** share: of a thousand recipients; said: {to} is the address; marks are the substrings that decided. */
export const SAMPLES = [
  {
    reason: 'user_unknown', fault: 'address', scope: 'address', action: 'suppress_now', permanent: true, share: 28, retry: false,
    reply_code: '550', status: '5.1.1', command: 'RCPT', rule: 'postfix.user-unknown',
    said: 'host mx.{domain}[127.0.0.10] said: 550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table (in reply to RCPT TO command)',
    marks: ['550 5.1.1', 'User unknown'],
    label: t('宛先が存在しない', 'The address does not exist'),
    cause: t('「@」より前の部分が、相手のメールサーバにないと返ってきました。綴りの間違い、退職や変更で消えたことが考えられます。再送しても届きません。', 'The receiving server has nobody by the name before the “@”. It may be misspelt, or gone. Sending again cannot work.'),
    remedy: t('名刺や電話で正しい宛先を確かめて、直してください。', 'Ask for the right address by another way, and correct it.'),
    operator: t('受信先の設定変更で一斉に出ていないか、受信先ごとの数を確かめてください。', 'Check by receiver that this is not a fault of the whole site.'),
    did: t('配信から外しました。次の配信からは送りません。', 'Excluded at once. It will be left out next time.'),
  },
  {
    reason: 'host_unknown', fault: 'address', scope: 'domain', action: 'suppress_now', permanent: true, share: 5, retry: false,
    reply_code: '', status: '5.1.2', command: '', rule: 'dns.nxdomain', said: 'Host or domain name not found: {domain}: NXDOMAIN', marks: ['not found', 'NXDOMAIN'],
    label: t('ドメインが見つからない', 'The domain does not exist'),
    cause: t('「@」より後ろのドメインが DNS に見つかりません。打ち間違いか、ドメインの廃止が考えられます。', 'The part after the “@” is not in the DNS. It may be misspelt, or given up.'),
    remedy: t('gmail.con のような打ち間違いがないか見て、直してください。', 'Look for a slip such as gmail.con, and correct it.'),
    operator: t('', ''), did: t('配信から外しました。', 'Excluded at once.'),
  },
  {
    reason: 'mailbox_full', fault: 'receiver', scope: 'address', action: 'suppress_after_n', permanent: false, share: 14, retry: true,
    reply_code: '552', status: '5.2.2', command: 'RCPT', rule: 'generic.mailbox-full', said: '552 5.2.2 <{to}>: Mailbox full, over quota', marks: ['552 5.2.2', 'Mailbox full', 'over quota'],
    label: t('メールボックスが一杯', 'The mailbox is full'),
    cause: t('相手のメールボックスが一杯で、受け取れません。アドレスは正しいままです。', 'The mailbox has no room left. The address itself is right.'),
    remedy: t('急ぐときは、電話などで空きを作ってもらってください。', 'If it is urgent, ask by phone that room be made.'),
    operator: t('', ''), did: t('3 日後に再送します。5 回続いたら配信から外します。', 'It will be tried again in 3 days. After 5 in a row it is excluded.'),
  },
  {
    reason: 'greylisted', fault: 'receiver', scope: 'site', action: 'retry_later', permanent: false, share: 40, retry: true, heals: true,
    reply_code: '450', status: '4.2.0', command: 'RCPT', rule: 'postgrey.greylisted', said: '450 4.2.0 <{to}>: Recipient address rejected: Greylisted, please try again in 300 seconds', marks: ['450 4.2.0', 'Greylisted'],
    label: t('グレイリスト(時間をおいて受け取る)', 'Greylisted'),
    cause: t('初めての送り手には一度断り、時間をおいて来たものだけを受け取る仕組みです。', 'The receiver turns strangers away once and takes the mail when it comes again.'),
    remedy: t('することはありません。', 'Nothing.'), operator: t('', ''), did: t('10 分後に再送します。', 'It will be tried again in 10 minutes.'),
  },
  {
    reason: 'system_error', fault: 'receiver', scope: 'site', action: 'slow_down', permanent: false, share: 25, retry: true, heals: true,
    reply_code: '421', status: '4.7.0', command: 'MAIL', rule: 'generic.temporary-failure', said: '421 4.7.0 Temporary server failure. Please try again later', marks: ['421 4.7.0', 'Temporary server failure'],
    label: t('相手が混雑・一時停止', 'The receiver is busy'),
    cause: t('相手のメールサーバが混雑しているか、手入れの最中です。', 'The receiving server is busy or under maintenance.'),
    remedy: t('することはありません。1 日たっても続くときは、相手の管理者に確かめてもらってください。', 'Nothing. If it lasts a day, have the receiver’s administrator look.'),
    operator: t('受信先の速さの上限を下げると早く収まることがあります。', 'A lower limit for this receiver may help.'), did: t('送る速さを落として、順に再送します。', 'Slowed down; it will be tried again.'),
  },
  {
    reason: 'auth_failure', fault: 'sender', scope: 'sender', action: 'fix_auth', permanent: false, share: 6, retry: false,
    reply_code: '550', status: '5.7.26', command: 'DATA', rule: 'gmail.unauthenticated', said: '550-5.7.26 This mail has been blocked because the sender is unauthenticated.\n550-5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.', marks: ['550-5.7.26', 'sender is unauthenticated'],
    label: t('送信ドメイン認証が足りない', 'Sender authentication is missing'),
    cause: t('SPF・DKIM・DMARC のどれかが足りず、相手が断りました。宛先は無事です。', 'SPF, DKIM or DMARC did not pass, so the receiver refused. The address is fine.'),
    remedy: t('送信ドメインの DNS に、足りないレコードを足してください。', 'Add the missing record to the DNS of the sending domain.'),
    operator: t('todoke check domain で、足りないものを確かめられます。', '“todoke check domain” names what is missing.'), did: t('宛先はそのままです。直るまで、この受信先へは止めています。', 'The address stays. This receiver waits until it is put right.'),
  },
  {
    reason: 'spam', fault: 'message', scope: 'message', action: 'fix_content', permanent: false, share: 5, retry: false,
    reply_code: '550', status: '5.7.1', command: 'DATA', rule: 'generic.spam', said: '550 5.7.1 Message rejected as spam by Content Filtering.', marks: ['550 5.7.1', 'rejected as spam'],
    label: t('迷惑メールと判断された', 'Taken for spam'),
    cause: t('件名や本文の書き方が、迷惑メールに似ていると判断されました。宛先は無事です。', 'Subject or text look like spam to the receiver. The address is fine.'),
    remedy: t('強い売り込みの言葉や記号を減らして、わかりやすい件名にしてください。', 'Tone down pushy words and symbols, and say plainly what it is about.'),
    operator: t('', ''), did: t('宛先はそのままです。', 'The address stays.'),
  },
  {
    reason: 'message_too_big', fault: 'message', scope: 'message', action: 'fix_content', permanent: false, share: 2, retry: false,
    reply_code: '552', status: '5.3.4', command: 'MAIL', rule: 'generic.too-big', said: '552 5.3.4 Message size exceeds fixed limit', marks: ['552 5.3.4', 'Message size exceeds fixed limit'],
    label: t('メールが大きすぎる', 'The mail is too big'),
    cause: t('相手が受け取れる大きさを超えています。宛先は無事です。', 'The mail is bigger than the receiver takes. The address is fine.'),
    remedy: t('添付や画像を小さくするか、リンクに置き換えてください。', 'Make attachments and pictures smaller, or link to them.'),
    operator: t('', ''), did: t('宛先はそのままです。', 'The address stays.'),
  },
  {
    reason: 'filtered', fault: 'address', scope: 'address', action: 'suppress_after_n', permanent: false, share: 9, retry: false,
    reply_code: '550', status: '', command: 'RCPT', rule: 'docomo.unknown', said: '550 Unknown user {to}', marks: ['550 Unknown user'],
    label: t('相手の受信設定で拒否', 'Refused by the person’s own filter'),
    cause: t('相手が PC からのメールを受け取らない設定にしているか、アドレスがありません。', 'The person does not take mail from computers, or the address is gone.'),
    remedy: t('別の手段で、このドメインの受信を許可してもらってください。', 'Ask by another way that mail from this domain be allowed.'),
    operator: t('', ''), did: t('1 回と数えました。5 回続いたら配信から外します。', 'Counted once. After 5 in a row it is excluded.'),
  },
];

/** Error mail that no delivery of ours explains. */
export const STRANGERS = [
  {
    kind: 'bounce', reason: 'user_unknown', fault: 'address', authenticity: 'forged', recipient: 'mikami@forged.example', said: '550 5.1.1 User unknown', marks: ['550 5.1.1'],
    label: t('送った覚えのないエラー', 'An error for mail we never sent'), cause: t('返信先の署名が合わないエラーメールです。', 'The signature of its return path is wrong.'),
    remedy: t('することはありません。急に増えたときは、なりすましを疑ってください。', 'Nothing. If many come at once, somebody may be forging your address.'), did: t('数えるだけで、連絡先は変えていません。', 'Counted; no contact was changed.'),
  },
  {
    kind: 'autoreply', reason: 'vacation', fault: 'none', authenticity: 'genuine', recipient: 'haruka.ito@corp.play.example', said: '不在にしております。緊急の場合は 03-0000-0000 までお願いします。', marks: [[0, 5]],
    label: t('不在の自動返信', 'Out of office'), cause: t('本人が不在で、自動の返事が来ました。メールは届いています。', 'The person is away; the mail arrived.'),
    remedy: t('することはありません。', 'Nothing.'), did: t('何も変えていません。', 'Nothing was changed.'),
  },
];
