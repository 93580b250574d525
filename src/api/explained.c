#include "api/explained.h"

#include "api/marks.h"
#include <stdio.h>

struct text words_both(const struct rules *rules, const struct verdict *verdict, enum standing standing,
                       size_t member_offset)
{
    struct explanation ja = words_standing(rules, verdict, standing, LANG_JA),
                       en = words_standing(rules, verdict, standing, LANG_EN);
    return (struct text){*(const struct slice *)((const char *)&ja + member_offset),
                         *(const struct slice *)((const char *)&en + member_offset)};
}

struct verdict verdict_of_reason(const struct rules *rules, enum reason reason)
{
    struct verdict verdict = {0};
    rules_verdict_of_reason(rules, reason, true, &verdict);
    return verdict;
}

struct text reason_label(const struct rules *rules, enum reason reason)
{
    struct verdict verdict = verdict_of_reason(rules, reason);
    return WORDS_BOTH(rules, &verdict, label);
}

/* ── from an event ── */

static enum kind kind_of_event(enum event_kind kind)
{
    switch ((unsigned)kind) {
    case EVENT_BOUNCED:
    case EVENT_EXPIRED:
    case EVENT_UNVERIFIED: return KIND_BOUNCE;
    case EVENT_DEFERRED:
    case EVENT_DELAY_NOTICE: return KIND_DELAY;
    case EVENT_COMPLAINT: return KIND_COMPLAINT;
    case EVENT_AUTOREPLY: return KIND_AUTOREPLY;
    case EVENT_DELIVERED: return KIND_DELIVERED;
    }
    return KIND_NONE;
}

/* A delivery that ended is over, whoever said so; one that is deferred is still ours to try. */
static enum standing standing_of_event(const struct event *event)
{
    if (event->state_after == DELIVERY_HELD)
        return STANDING_OPEN;
    switch ((unsigned)event->kind) {
    case EVENT_BOUNCED:
    case EVENT_EXPIRED:
    case EVENT_UNVERIFIED: return STANDING_RETURNED;
    case EVENT_DEFERRED: return STANDING_RETRYING;
    case EVENT_DELAY_NOTICE: return STANDING_UNDERWAY;
    }
    return STANDING_OPEN;
}

/* What Todoke did depends on what became of the delivery before it depends on the reason. */
static struct text did_of_event(const struct rules *rules, const struct event *event)
{
    if (event->kind == EVENT_UNVERIFIED)
        return TEXT("本物のエラーメールか確かめられないため、数に数えただけで、連絡先には何もしていません。",
                    "It cannot be shown to be genuine, so it was only counted. The contact is untouched.");
    if (event->verdict.reason == REASON_ON_HOLD && event->note.len)
        return event->state_after == DELIVERY_HELD
                   ? TEXT("このメールは止めてあります。受信先の返事がふだんどおりに戻ったら、自動で送り直します。",
                          "This mail is held. It is sent again by itself when the receiver's answers are normal again.")
                   : TEXT("この宛先は配信停止にしていません。次のメールの結果で判断します。",
                          "This address was not excluded. The next mail will tell.");
    if (event->kind == EVENT_EXPIRED)
        return TEXT("期限まで再送しましたが届かず、この 1 通の送信を終えました。",
                    "It was tried again until its time was up, and this mail was then given up.");
    if (event->kind == EVENT_DELAY_NOTICE)
        return TEXT("知らせを記録しました。連絡先には何もしていません。途中のサーバの送り直しの結果を待ちます。",
                    "The notice was recorded, and the contact is untouched. A server on the way still tries; we wait.");
    if (event->kind == EVENT_BOUNCED && event->verdict.action == ACTION_RETRY_LATER)
        return TEXT("連絡先には影響させていません。この 1 通の送信は終わり、もう自動では再送しません。",
                    "The contact is untouched. This mail is over, and is not tried again by itself.");
    /* a policy may do otherwise than the reason's own words say */
    if (event->kind == EVENT_BOUNCED &&
        event->verdict.action != verdict_of_reason(rules, event->verdict.reason).action) {
        if (event->verdict.action == ACTION_SUPPRESS_NOW)
            return TEXT("この宛先を配信停止リストに入れました。", "The address was put on the suppression list.");
        if (event->verdict.action == ACTION_SUPPRESS_AFTER_N)
            return TEXT("エラーの回数に数えました。続けて起こると、配信から外します。",
                        "It was counted as an error. If it goes on, the address is excluded.");
        if (event->verdict.action == ACTION_NONE)
            return TEXT("連絡先には何もしていません。", "The contact is untouched.");
    }
    return WORDS_BOTH(rules, &event->verdict, did);
}

struct explained explained_of_event(const struct rules *rules, const struct event *event)
{
    struct explained explained = {
        .kind = kind_of_event(event->kind),
        .is_mail = event->origin == EVENT_ORIGIN_MAIL,
        .authenticity = event->authenticity,
        .recipient = event->address,
        .diagnostic = event->diagnostic,
        .remote_mta = event->remote_mta,
        .code = event->code,
        .stage = event->stage,
        .verdict = event->verdict,
        .standing = standing_of_event(event),
        .did = did_of_event(rules, event),
    };
    memcpy(explained.status, event->status, sizeof(explained.status));
    if (!explained.is_mail) /* we heard it ourselves */
        explained.authenticity = AUTHENTICITY_GENUINE;
    return explained;
}

/* ── from a mail that was pasted ── */

void explained_mark(struct explained *explained, struct slice words)
{
    struct slice whole = explained->diagnostic;
    struct verdict *verdict = &explained->verdict;
    verdict->mark_from = verdict->mark_to = 0;
    if (!words.len)
        return;
    bool is_inside = words.ptr >= whole.ptr && words.ptr + words.len <= whole.ptr + whole.len;
    ptrdiff_t at = is_inside ? words.ptr - whole.ptr : slice_find(whole, words);
    if (at < 0)
        return;
    verdict->mark_from = (size_t)at;
    verdict->mark_to = (size_t)at + words.len;
}

struct explained explained_of_row(const struct bounce *bounce, const struct bounce_row *row)
{
    struct explained explained = {.kind = KIND_NONE, .is_mail = true, .authenticity = bounce->authenticity};
    if (!row)
        return explained;
    explained.kind = row->kind;
    explained.standing = standing_of_mail(row->kind);
    explained.recipient = row->recipient;
    explained.diagnostic = row->diagnostic;
    explained.remote_mta = row->remote_mta.len ? row->remote_mta : row->reporting_mta;
    explained.code = row->code;
    explained.stage = row->stage;
    explained.verdict = row->verdict;
    memcpy(explained.status, row->status, sizeof(explained.status));
    explained_mark(&explained, row->mark);
    return explained;
}

/* ── as JSON ── */

static struct slice command_of(enum stage stage)
{
    switch (stage) {
    case STAGE_CONNECT: return SLICE("CONNECT");
    case STAGE_EHLO: return SLICE("EHLO");
    case STAGE_STARTTLS: return SLICE("STARTTLS");
    case STAGE_AUTH: return SLICE("AUTH");
    case STAGE_MAIL: return SLICE("MAIL");
    case STAGE_RCPT: return SLICE("RCPT");
    case STAGE_DATA:
    case STAGE_DOT: return SLICE("DATA");
    case STAGE_UNKNOWN:
    case STAGE_DNS:
    case STAGE_QUEUE:
    case STAGE_COUNT: break;
    }
    return SLICE("");
}

void explained_write(struct json *json, const struct rules *rules, const struct explained *explained)
{
    char code[8] = "", status[24] = "";
    const struct verdict *verdict = &explained->verdict;
    if (explained->code)
        snprintf(code, sizeof(code), "%d", explained->code % 1000);
    if (explained->status[0])
        snprintf(status, sizeof(status), "%u.%u.%u", explained->status[0], explained->status[1], explained->status[2]);
    bool says_something = explained->kind != KIND_NONE;
    struct explanation words[LANG_COUNT] = {{{0}}};
    for (unsigned lang = 0; says_something && lang < LANG_COUNT; lang++)
        words[lang] = words_standing(rules, verdict, explained->standing, (enum lang)lang);
    json_put_string(json, "recipient", explained->recipient);
    json_put_string(json, "kind", kind_word(explained->kind));
    json_put_string(json, "origin", explained->is_mail ? SLICE("mail") : SLICE("reply"));
    json_put_string(json, "reason", reason_word(verdict->reason));
    json_put_string(json, "fault", whose_word(verdict->whose));
    json_put_both(json, "label", ((struct text){words[LANG_JA].label, words[LANG_EN].label}));
    json_put_bool(json, "permanent", verdict->is_permanent && explained->kind == KIND_BOUNCE);
    json_put_string(json, "action", action_word(verdict->action));
    json_put_string(json, "scope", scope_word(verdict->scope));
    json_put_string(json, "authenticity", authenticity_word(explained->authenticity));
    json_put_string(json, "reply_code", slice_str(code));
    json_put_string(json, "status", slice_str(status));
    json_put_string(json, "diagnostic", explained->diagnostic);
    json_put_marks(json, explained->diagnostic, verdict->mark_from, verdict->mark_to);
    json_put_string(json, "rule", verdict->rule);
    json_put_string(json, "command", command_of(explained->stage));
    json_put_string(json, "remote_mta", explained->remote_mta);
    json_put_both(json, "cause", ((struct text){words[LANG_JA].cause, words[LANG_EN].cause}));
    json_put_both(json, "remedy", ((struct text){words[LANG_JA].remedy, words[LANG_EN].remedy}));
    json_put_both(json, "operator", ((struct text){words[LANG_JA].operator, words[LANG_EN].operator}));
    json_put_both(json, "did", explained->did);
}

/* ── timelines ── */

static struct text with_label(const struct rules *rules, const struct event *event, const char *ja, const char *en,
                              struct arena *arena)
{
    struct text label = WORDS_BOTH(rules, &event->verdict, label);
    if (!label.ja.len)
        return (struct text){slice_str(ja), slice_str(en)};
    return (struct text){arena_printf(arena, "%s：%.*s", ja, SLICE_ARG(label.ja)),
                         arena_printf(arena, "%s: %.*s", en, SLICE_ARG(label.en))};
}

static struct text kind_text(const struct rules *rules, const struct event *event, struct arena *arena)
{
    bool is_mail = event->origin == EVENT_ORIGIN_MAIL;
    switch (event->kind) {
    case EVENT_ACCEPTED: return TEXT("送信を受け付けました", "Accepted for sending");
    case EVENT_LEFT_OUT: return TEXT("送る相手から外しました", "Left out of the audience");
    case EVENT_DELIVERED: return TEXT("受信先のサーバが受け取りました", "The receiver's server took the mail");
    case EVENT_DEFERRED: return with_label(rules, event, "保留にしました", "Put off", arena);
    case EVENT_BOUNCED:
        return is_mail ? with_label(rules, event, "エラーメールが届きました", "An error mail came back", arena)
                       : with_label(rules, event, "受け取りを断られました", "The receiver refused it", arena);
    case EVENT_EXPIRED:
        return with_label(rules, event, "期限が来て送信を終えました", "Given up when its time was over", arena);
    case EVENT_SUPPRESSED:
        return TEXT("配信停止リストにあるため、送りませんでした", "Not sent: the address is on the suppression list");
    case EVENT_CANCELLED: return TEXT("送信を取りやめました", "Cancelled");
    case EVENT_IN_DOUBT:
        if (!event->diagnostic.len) /* found at a start; otherwise the diagnostic tells */
            return TEXT("届いたかどうか分かりません(送信の途中でサーバが止まりました)",
                        "Not known whether it arrived (our server stopped on the way)");
        return TEXT("届いたかどうか分かりません", "Not known whether it arrived");
    case EVENT_HELD: return TEXT("止めてあります", "Held");
    case EVENT_RELEASED:
        if (slice_equal(event->note, SLICE("retry")))
            return TEXT("すぐに再送するよう指示されました", "Told to be tried again at once");
        return TEXT("送信を再開しました", "Released");
    case EVENT_DELAY_NOTICE:
        return with_label(rules, event, "まだ届いていないという知らせが来ました", "A notice says it is delayed", arena);
    case EVENT_COMPLAINT: return TEXT("迷惑メールとして報告されました", "Reported as spam");
    case EVENT_AUTOREPLY: return TEXT("自動返信が届きました", "An automatic reply came");
    case EVENT_EXCLUDED: return TEXT("配信停止リストに入れました", "Put on the suppression list");
    case EVENT_UNSUBSCRIBED: return TEXT("配信が解除されました", "Unsubscribed");
    case EVENT_OPENED: return TEXT("開封されました", "Opened");
    case EVENT_CLICKED: return TEXT("リンクが押されました", "A link was followed");
    case EVENT_SUBSCRIBED: return TEXT("本人が登録を確認しました", "Subscribed, and confirmed it");
    case EVENT_DOWNLOADED:
        return (struct text){arena_printf(arena, "ファイルがダウンロードされました: %.*s", SLICE_ARG(event->note)),
                             arena_printf(arena, "A file was downloaded: %.*s", SLICE_ARG(event->note))};
    case EVENT_UNVERIFIED:
        return TEXT("本物か確認できないエラーメールが届きました", "An error mail came that cannot be verified");
    case EVENT_CONTACT_RECOVERED:
        return TEXT("届いたので、エラーの回数を 0 に戻しました", "It arrived, so the count of errors is 0 again");
    case EVENT_KIND_END: break;
    }
    return TEXT("", "");
}

/* An attempt by another source than the one by which the mail was in doubt (R22): which, and why not by that one. */
static struct text other_source_text(const struct event *event)
{
    static const struct {
        const char *word;
        struct text text;
    } whys[] = {
        {"removed", {SLICE_INIT("もう登録されていない"), SLICE_INIT("was removed")}},
        {"pool", {SLICE_INIT("このメールのプールのものではない"), SLICE_INIT("is not of this mail's pool")}},
        {"unusable", {SLICE_INIT("ドレイン中、または異常がある"), SLICE_INIT("drains or is in trouble")}},
        {"node",
         {SLICE_INIT("そのノードが in_doubt.source_wait を過ぎても動いていない"),
          SLICE_INIT("is a node's that has been gone for longer than in_doubt.source_wait")}},
        {"day", {SLICE_INIT("その日の上限に達している"), SLICE_INIT("has used up its day")}},
        {"address", {SLICE_INIT("そのアドレスを使えない"), SLICE_INIT("could not be bound")}},
    };
    struct slice rest = slice_from(event->note, sizeof(EVENT_NOTE_OTHER_SOURCE) - 1), word;
    slice_split(&rest, ' ', &word);
    for (size_t i = 0; i < COUNT_OF(whys); i++)
        if (slice_equal(word, slice_str(whys[i].word)))
            return whys[i].text;
    return TEXT("そのとき使えなかった", "could not be used then");
}

struct text timeline_text(const struct rules *rules, const struct event *event, struct arena *arena)
{
    struct text text = kind_text(rules, event, arena);
    ptrdiff_t space = slice_find_last_byte(event->note, ' ');
    if (!slice_starts(event->note, SLICE(EVENT_NOTE_OTHER_SOURCE)) || space == SLICE_NPOS)
        return text;
    struct text why = other_source_text(event);
    struct slice ip = slice_from(event->note, (size_t)space + 1);
    return (struct text){arena_printf(arena, "%.*s(別の送信元から。届いたか不明になったときの送信元 %.*s は%.*sため)",
                                      SLICE_ARG(text.ja), SLICE_ARG(ip), SLICE_ARG(why.ja)),
                         arena_printf(arena, "%.*s (by another source: %.*s, by which it was in doubt, %.*s)",
                                      SLICE_ARG(text.en), SLICE_ARG(ip.len ? ip : SLICE("the one")),
                                      SLICE_ARG(why.en))};
}

void timeline_put(struct json *json, const struct rules *rules, const struct event_page *page, struct arena *arena)
{
    json_put_array(json, "timeline");
    for (size_t i = 0; i < page->count; i++) {
        json_object_begin(json);
        json_put_time(json, "at", page->events[i].at);
        json_put_string(json, "kind", event_word(page->events[i].kind));
        json_put_both(json, "text", timeline_text(rules, &page->events[i], arena));
        json_end(json);
    }
    json_end(json);
}
