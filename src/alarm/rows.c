#include "alarm/watch.h"

#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_DAYS = 7, UNMAILED_MOST = 16 };

#define KIND_ROW(NAME, word) SLICE_INIT(#word),
static const struct slice kinds[] = {ALARM_KINDS(KIND_ROW)};

struct slice alarm_word(enum alarm_kind kind)
{
    return kinds[kind];
}

/* ── reading ── */

#define ALARM_COLUMNS                                                                                                  \
    "id, kind, about, n, normal, detail, since_ms, last_ms, ended_ms, acked_ms, acked_by, mailed_ms FROM alarm "

static bool row_read(const struct rows *rows, struct arena *arena, struct alarm_row *row)
{
    struct slice word = rows_text(rows, 1);
    for (int kind = 0; kind < ALARM_KIND_COUNT; kind++) {
        if (!slice_equal(word, kinds[kind]))
            continue;
        *row = (struct alarm_row){
            .id = (uint64_t)rows_int(rows, 0),
            .kind = (enum alarm_kind)kind,
            .about = arena_copy(arena, rows_text(rows, 2)),
            .n = rows_int(rows, 3),
            .normal = rows_int(rows, 4),
            .detail = arena_copy(arena, rows_text(rows, 5)),
            .since = rows_int(rows, 6),
            .last = rows_int(rows, 7),
            .ended = rows_int(rows, 8),
            .acked = rows_int(rows, 9),
            .acked_by = arena_copy(arena, rows_text(rows, 10)),
            .mailed = rows_int(rows, 11),
        };
        return true;
    }
    return false; /* a kind of a newer program */
}

static bool read_all(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t value_count,
                     size_t limit, struct arena *arena, struct alarm_row **out, size_t *count)
{
    SCOPED(rows) rows = {0};
    *out = ARENA_ARRAY(arena, struct alarm_row, limit);
    *count = 0;
    if (!db_query(db, why, &rows, sql, values, value_count))
        return false;
    while (*count < limit && rows_next(&rows))
        *count += row_read(&rows, arena, &(*out)[*count]);
    return rows_end(&rows);
}

bool alarm_list(struct db *db, struct fault *why, bool only_open, time_ms now, size_t limit, struct arena *arena,
                struct alarm_row **rows, size_t *count)
{
    return read_all(db, why,
                    "SELECT " ALARM_COLUMNS "WHERE $1 = 0 OR (acked_ms = 0 AND (ended_ms = 0 OR ended_ms > $2)) ORDER "
                    "BY id DESC LIMIT $3",
                    VALUES(V_INT(only_open), V_INT(now - DAYS_MS(SHOWN_DAYS)), V_INT((int64_t)limit)), limit, arena,
                    rows, count);
}

bool alarm_unmailed(struct db *db, struct fault *why, struct arena *arena, struct alarm_row **rows, size_t *count)
{
    return read_all(
        db, why, "SELECT " ALARM_COLUMNS "WHERE mailed_ms = 0 AND ended_ms = 0 AND acked_ms = 0 ORDER BY id LIMIT $1",
        VALUES(V_INT(UNMAILED_MOST)), UNMAILED_MOST, arena, rows, count);
}

/* ── changing ── */

bool alarm_raise(struct db *db, struct fault *why, enum alarm_kind kind, struct slice about, int64_t n, int64_t normal,
                 struct slice detail, time_ms now)
{
    int64_t changed;
    if (!db_do(db, why,
               "UPDATE alarm SET n = $3, normal = $4, detail = $5, last_ms = $6 WHERE kind = $1 AND about = $2 AND "
               "ended_ms = 0",
               VALUES(V_TEXT(kinds[kind]), V_TEXT(about), V_INT(n), V_INT(normal), V_TEXT(detail), V_INT(now)),
               &changed))
        return false;
    if (changed)
        return true;
    uint64_t id = id_make_anywhere(db_ids(db), now);
    return db_do(db, why,
                 "INSERT INTO alarm (id, kind, about, n, normal, detail, since_ms, last_ms) VALUES ($1, $2, $3, $4, "
                 "$5, $6, $7, $7)",
                 VALUES(V_INT((int64_t)id), V_TEXT(kinds[kind]), V_TEXT(about), V_INT(n), V_INT(normal), V_TEXT(detail),
                        V_INT(now)),
                 NULL);
}

bool alarm_end(struct db *db, struct fault *why, enum alarm_kind kind, struct slice about, time_ms now)
{
    return db_do(db, why, "UPDATE alarm SET ended_ms = $3 WHERE kind = $1 AND about = $2 AND ended_ms = 0",
                 VALUES(V_TEXT(kinds[kind]), V_TEXT(about), V_INT(now)), NULL);
}

bool alarm_ack(struct db *db, struct fault *why, uint64_t id, struct slice by, time_ms now, bool *found)
{
    int64_t is_there;
    return db_do(db, why, "UPDATE alarm SET acked_ms = $2, acked_by = $3 WHERE id = $1 AND acked_ms = 0",
                 VALUES(V_INT((int64_t)id), V_INT(now), V_TEXT(by)), NULL) &&
           db_query_ints(db, why, "SELECT 1 FROM alarm WHERE id = $1", VALUES(V_INT((int64_t)id)), &is_there, 1, found);
}

bool alarm_ack_matter(struct db *db, struct fault *why, enum alarm_kind kind, struct slice about, struct slice by,
                      time_ms now)
{
    return db_do(db, why,
                 "UPDATE alarm SET acked_ms = $3, acked_by = $4 WHERE kind = $1 AND about = $2 AND ended_ms = 0 AND "
                 "acked_ms = 0",
                 VALUES(V_TEXT(kinds[kind]), V_TEXT(about), V_INT(now), V_TEXT(by)), NULL);
}

bool alarm_mailed(struct db *db, struct fault *why, uint64_t id, time_ms now)
{
    return db_do(db, why, "UPDATE alarm SET mailed_ms = $2 WHERE id = $1", VALUES(V_INT((int64_t)id), V_INT(now)),
                 NULL);
}

/* ── words ── */

#define SAY(...) arena_printf(arena, __VA_ARGS__)

/* Of ALARM_CREDENTIAL: what credential.c wrote. */
static bool is_paused(const struct alarm_row *row)
{
    return slice_find(row->detail, SLICE("\"paused\":true")) >= 0;
}

/* Of ALARM_REPLAY: what replay.c wrote. */
static long long mails_of(const struct alarm_row *row)
{
    static const struct slice member = SLICE_INIT("\"mails\":");
    ptrdiff_t at = slice_find(row->detail, member);
    return at < 0 ? 0 : strtoll(row->detail.ptr + at + member.len, NULL, 10);
}

/* "name (id)" */
static unsigned long long key_of(const struct alarm_row *row)
{
    uint64_t key = 0;
    struct slice id = slice_from(row->about, (size_t)(slice_find_last_byte(row->about, '(') + 1));
    return id.len && slice_to_u64(slice_head(id, id.len - 1), &key) ? key : 0;
}

struct alarm_words alarm_words_ja(const struct alarm_row *row, struct arena *arena)
{
    long long n = row->n, normal = row->normal;
    switch (row->kind) {
    case ALARM_UNVERIFIED_MAIL:
        return (struct alarm_words){SAY("送った覚えのないエラーメールが、1 時間に %lld 通届いています", n),
                                    SAY("%s差出人を装われているか、アカウントが乗っ取られているおそれがあります。送信の"
                                        "記録に覚えのないものがないか"
                                        "確かめ、パスワードとアクセスキーを変えてください。届いたメールのリンクや添付フ"
                                        "ァイルは開かないでください。"
                                        "連絡先には何も変更を加えていません。",
                                        normal ? arena_str(arena, SAY("ふだんは 1 時間に %lld 通ほどです。", normal))
                                               : "ふだんはほとんど届きません。")};
    case ALARM_SITE_GUARD:
        return (struct alarm_words){
            SAY("%.*s が、%lld %% のメールに「宛先がない」と答えています(ふだんは多くても %lld %%)",
                SLICE_ARG(row->about), n, normal),
            SAY("送信元ごと断られているときにも、同じ返事が返ることがあります。そのため判断を保留し、だれも配信停止にし"
                "ていま"
                "せん。ときどき数通だけ送り直し、割合がふだんどおりに戻ったら、止めてある分をすべて送り直します。名簿が"
                "古いと"
                "分かっているときは、管理者が todoke guard exclude %.*s を使うと、返事のとおりに配信停止にできます。",
                SLICE_ARG(row->about))};
    case ALARM_CERTIFICATE:
        return (struct alarm_words){
            n < 0 ? SAY("%.*s の証明書の期限が切れています", SLICE_ARG(row->about))
                  : SAY("%.*s の証明書の期限が切れるまで、あと %lld 日です", SLICE_ARG(row->about), n),
            SLICE("新しい証明書と鍵を、設定 tls.cert と tls.key "
                  "のファイルに置いてください。置き換えると、サーバは止まら"
                  "ずに新しい証明書を使い始めます。期限が切れると、ブラウザや送信プログラムは接続しなくなります。")};
    case ALARM_WEBHOOK:
        return (struct alarm_words){
            SAY("Webhook %.*s への通知を止めました", SLICE_ARG(row->about)),
            SAY("送信先が %lld "
                "回続けて受け取らなかったため、通知を止めています。イベントは失われていません。送信先を直し、"
                "todoke hook enable %.*s を実行すると、止まったところから通知を再開します。理由は todoke hook log %.*s "
                "で見られます。",
                n, SLICE_ARG(row->about), SLICE_ARG(row->about))};
    case ALARM_CREDENTIAL:
        return (struct alarm_words){
            SAY("アクセスキー %.*s から、1 時間に %lld 件の送信がありました", SLICE_ARG(row->about), n),
            SAY("%s心当たりがなければ、キーが第三者の手に渡っているおそれがあります。%sその場合は todoke key remove "
                "でこのキーを無効にし、新しいキーを作ってプログラムに設定し直してください。心当たりがあれば、何もしなく"
                "て"
                "かまいません。%s",
                normal ? arena_str(arena, SAY("このキーの送信は、直近 7 日でいちばん多い 1 時間でも %lld "
                                              "件でした。",
                                              normal))
                       : "このキーには、まだ比べられる実績がありません。",
                is_paused(row) ? "念のため、このキーを一時停止しました。停止中は、だれもこのキーを使えません。" : "",
                is_paused(row)
                    ? arena_str(arena, SAY("todoke key release %llu で、またキーを使えるようになります。", key_of(row)))
                    : "")};
    case ALARM_STORE_LOG:
        return (struct alarm_words){
            SAY("データベースの書き込みログが %lld MB に達しています(ふだんは %lld MB 以下)", n, normal),
            SLICE(
                "ログが片付かないまま増え続けています。バックアップなど、データベースを開いたまま長く読み続けているプロ"
                "グ"
                "ラムがないか確かめ、あれば終わらせてください。ディスクの空きがなくなると、送信も受け付けも止まります。"
                "読み終わればログは自動で短くなり、この警告も消えます。")};
    case ALARM_EVENT_FILE:
        return (struct alarm_words){
            SAY("イベントのファイル(%.*s)に書き込めません", SLICE_ARG(row->about)),
            SLICE(
                "ディスクがいっぱいでないか、書き込みが許されているかを確かめてください。理由はログにあります。イベント"
                "は失われていません。書き込めるようになると、止まったところから続きを書きます。ただし、保存期間 "
                "(retention.events)"
                "を過ぎたイベントはファイルに残りません。")};
    case ALARM_REPLAY:
        return (struct alarm_words){
            SAY("%.*s の署名が付いたメールが、心当たりのない %lld か所のネットワークから送られています",
                SLICE_ARG(row->about), n),
            SAY("受信側から届いた直近 7 日の DMARC "
                "レポートによると、自社の送信元でも、これまでの転送元でもない場所から %lld "
                "通が、正しい DKIM 署名付きで届いています。一度送ったメールを、第三者が署名ごと大量に送り直している"
                "(DKIM "
                "リプレイ)おそれがあります。まず todoke report sources --domain %.*s "
                "で送信元を確かめてください。使い始めた配信サービスや"
                "メールの転送であれば、何もしなくてかまいません。心当たりがなければ todoke dkim rotate で鍵を替え、古い"
                "セレクタの公開鍵を DNS "
                "から消してください。消すと、送り直されたメールの署名は無効になります。あわせて、だれでも"
                "自由な文面のメールを送れるフォームやお試しのアカウントがないかも確かめてください。",
                mails_of(row), SLICE_ARG(row->about))};
    case ALARM_TLS_GONE:
        return (struct alarm_words){
            SAY("%.*s が暗号化(STARTTLS)を受け付けなくなりました", SLICE_ARG(row->about)),
            SAY("最近まで TLS で送れていた受信先です。途中の何者かが STARTTLS "
                "を隠して、メールを盗み見ようとしているおそれが"
                "あります。TLS のルールが seen "
                "なので、平文では送らず、メールは待たせています。回線やファイアウォール(SMTP "
                "を書き換える機器)に心当たりがないか、ほかの回線からも STARTTLS が見えないかを確かめてください。"
                "受信先が本当に TLS をやめたのなら todoke tls forget %.*s で平文の送信に戻せます。TLS "
                "が戻れば、待たせた"
                "メールは自動で送られ、この警告も消えます。",
                SLICE_ARG(row->about))};
    case ALARM_KIND_COUNT: break;
    }
    return (struct alarm_words){SLICE(""), SLICE("")};
}

struct alarm_words alarm_words_en(const struct alarm_row *row, struct arena *arena)
{
    long long n = row->n, normal = row->normal;
    switch (row->kind) {
    case ALARM_UNVERIFIED_MAIL:
        return (struct alarm_words){
            SAY("%lld error mails within an hour, about mail we never sent", n),
            SAY("%sEither somebody forges your address as the sender, or an account of yours is in wrong hands. Look "
                "for sendings that nobody remembers, and change passwords and access keys. Do not follow links or "
                "open attachments in those mails. No contact was changed.",
                normal ? arena_str(arena, SAY("About %lld an hour are usual. ", normal))
                       : "Usually there are hardly any. ")};
    case ALARM_SITE_GUARD:
        return (struct alarm_words){
            SAY("%.*s says \"no such user\" to %lld %% of the mail (%lld %% at most is usual)", SLICE_ARG(row->about),
                n, normal),
            SAY("A receiver that blocks a sender may answer just so. The verdicts are held and nobody was excluded. A "
                "few mails are tried again from time to time; once the share is normal, all that was held is sent "
                "again. If you know that the list is old, `todoke guard exclude %.*s` believes the answers.",
                SLICE_ARG(row->about))};
    case ALARM_CERTIFICATE:
        return (struct alarm_words){
            n < 0 ? SAY("The certificate of %.*s has expired", SLICE_ARG(row->about))
                  : SAY("The certificate of %.*s expires in %lld days", SLICE_ARG(row->about), n),
            SLICE("Put a new certificate and its key into the files of the settings tls.cert and tls.key; the server "
                  "takes them as soon as they are there, and nobody is cut off. Browsers and programs that send do "
                  "not connect to an expired one.")};
    case ALARM_WEBHOOK:
        return (struct alarm_words){
            SAY("webhook %.*s is told nothing any more", SLICE_ARG(row->about)),
            SAY("It failed %lld times without a success between, until patience ended. No event is lost: mend the "
                "receiver, and `todoke hook enable %.*s` goes on where it stopped. `todoke hook log %.*s` says what "
                "was answered.",
                n, SLICE_ARG(row->about), SLICE_ARG(row->about))};
    case ALARM_CREDENTIAL:
        return (struct alarm_words){
            SAY("%lld recipients within an hour through the access key %.*s", n, SLICE_ARG(row->about)),
            SAY("%sIf nobody here knows why, somebody else may have the key. %sThen revoke it with `todoke key "
                "remove`, "
                "make a new one and give that to the program. If it was you, there is nothing to do%s",
                normal ? arena_str(arena, SAY("In its busiest hour of the last seven days it had %lld. ", normal))
                       : "It has no past yet to compare with. ",
                is_paused(row) ? "It was paused to be safe: nobody can use it now. " : "",
                is_paused(row) ? arena_str(arena, SAY(" but to release it: `todoke key release %llu`.", key_of(row)))
                               : ".")};
    case ALARM_STORE_LOG:
        return (struct alarm_words){
            SAY("The store's write-ahead log has %lld MB (%lld MB at most is usual)", n, normal),
            SLICE("It grows and cannot begin anew. Look for a program that keeps the database open and goes on reading "
                  "from it, a backup for instance, and end it. When the disk is full, nothing is sent or accepted any "
                  "more. The log becomes short by itself once nobody reads from it, and this alarm ends.")};
    case ALARM_EVENT_FILE:
        return (struct alarm_words){
            SAY("%.*s, the file of all events, cannot be written", SLICE_ARG(row->about)),
            SLICE(
                "Is the disk full, may the server write there? The log has the reason. No event is lost: once it can "
                "be "
                "written, it goes on where it stopped. Only what is older than retention.events by then is missing.")};
    case ALARM_REPLAY:
        return (struct alarm_words){
            SAY("Mail with the signature of %.*s comes from %lld networks that nobody here knows",
                SLICE_ARG(row->about), n),
            SAY("DMARC reports of the last seven days count %lld mails with a good DKIM signature from places that are "
                "neither sources of yours nor forwarders seen before. Somebody may be sending a mail of yours again "
                "and "
                "again, with its signature (DKIM replay). Look at the sources first (`todoke report sources --domain "
                "%.*s`): a new service that "
                "sends for you, or a forwarder, needs nothing. Otherwise change the key with `todoke dkim rotate` and "
                "take the old selector out of your DNS: the copies then pass no more. And look for forms or trial "
                "accounts by which strangers get a mail with words of their own signed.",
                mails_of(row), SLICE_ARG(row->about))};
    case ALARM_TLS_GONE:
        return (struct alarm_words){SAY("%.*s takes no encryption (STARTTLS) any more", SLICE_ARG(row->about)),
                                    SAY("Until lately mail went there by TLS. Somebody in between may hide STARTTLS, "
                                        "to read the mail. The TLS rule "
                                        "`seen` holds, so nothing goes in clear: the mail waits. Look for a device on "
                                        "the way that rewrites SMTP, "
                                        "and whether STARTTLS is offered to you elsewhere. If the receiver has really "
                                        "given TLS up, `todoke tls "
                                        "forget %.*s` lets mail go in clear. When TLS is back, what waits is sent by "
                                        "itself, and this alarm ends.",
                                        SLICE_ARG(row->about))};
    case ALARM_KIND_COUNT: break;
    }
    return (struct alarm_words){SLICE(""), SLICE("")};
}
