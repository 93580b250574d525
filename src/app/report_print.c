#include "app/report_print.h"

#include "base/json.h"
#include "base/utf8.h"
#include "report/engaged.h"
#include "suppress/suppress.h"

/* The words of this page: [ja, en]. */
enum phrase {
    P_CAMPAIGN,
    P_ACCEPTED,
    P_LEFT_OUT,
    P_BY_RECEIVER,
    P_RECEIVER,
    P_TOTAL,
    P_DELIVERED,
    P_DEFERRED,
    P_ERRORS,
    P_WAITING,
    P_BY_REASON,
    P_DID,
    P_DO,
    P_NO_ERRORS,
    P_OPENED,
    P_CLICKED,
    P_DOWNLOADED,
    P_TIMES,
    P_MACHINES,
    P_ROBOT_OPENS,
    P_PROXY_OPENS,
    P_ROBOT_CLICKS,
    P_ROBOT_DOWNLOADS,
    PHRASE_COUNT
};
static const char *const phrases[PHRASE_COUNT][LANG_COUNT] = {
    [P_CAMPAIGN] = {"キャンペーン", "Campaign"},
    [P_ACCEPTED] = {"受け付けた通数", "Accepted"},
    [P_LEFT_OUT] = {"はじめから外した人", "Left out from the start"},
    [P_BY_RECEIVER] = {"受信先ごと", "By receiver"},
    [P_RECEIVER] = {"受信先", "receiver"},
    [P_TOTAL] = {"通数", "total"},
    [P_DELIVERED] = {"届いた", "delivered"},
    [P_DEFERRED] = {"保留", "deferred"},
    [P_ERRORS] = {"エラー", "errors"},
    [P_WAITING] = {"待ち", "waiting"},
    [P_BY_REASON] = {"届かなかった理由", "Why mail did not arrive"},
    [P_DID] = {"Todoke がしたこと", "What Todoke did"},
    [P_DO] = {"できること", "What you can do"},
    [P_OPENED] = {"開封した人", "People who opened it"},
    [P_CLICKED] = {"クリックした人", "People who clicked"},
    [P_DOWNLOADED] = {"ファイルをダウンロードした人", "People who downloaded a file"},
    [P_TIMES] = {"延べ", "times in all:"},
    [P_MACHINES] = {"人ではないもの(上には数えません)", "Not people, not counted above"},
    [P_ROBOT_OPENS] = {"自動の開封", "opens by robots"},
    [P_PROXY_OPENS] = {"プライバシー保護の代理", "opens by privacy proxies"},
    [P_ROBOT_CLICKS] = {"自動のクリック", "clicks by robots"},
    [P_ROBOT_DOWNLOADS] = {"自動のダウンロード", "downloads by robots"},
    [P_NO_ERRORS] = {"エラーはありません。", "There are no errors."},
};
static const char *const campaign_states[CAMPAIGN_STATE_COUNT][LANG_COUNT] = {
    [CAMPAIGN_DRAFT] = {"下書き", "draft"},     [CAMPAIGN_EXPANDING] = {"宛先を準備中", "expanding"},
    [CAMPAIGN_SENDING] = {"配信中", "sending"}, [CAMPAIGN_PAUSED] = {"一時停止中", "paused"},
    [CAMPAIGN_FINISHED] = {"完了", "finished"}, [CAMPAIGN_CANCELLED] = {"取り消し", "cancelled"},
};
static const char *const state_names[DELIVERY_STATE_COUNT][LANG_COUNT] = {
    [DELIVERY_WAITING] = {"待ち", "waiting"},
    [DELIVERY_DEFERRED] = {"保留(あとで再送)", "deferred"},
    [DELIVERY_HELD] = {"止めている", "held"},
    [DELIVERY_ON_WIRE] = {"送信中", "on the wire"},
    [DELIVERY_IN_DOUBT] = {"結果が不明", "in doubt"},
    [DELIVERY_DELIVERED] = {"届いた", "delivered"},
    [DELIVERY_BOUNCED] = {"エラー", "error"},
    [DELIVERY_EXPIRED] = {"期限切れ", "expired"},
    [DELIVERY_SUPPRESSED] = {"配信停止で外した", "excluded"},
    [DELIVERY_CANCELLED] = {"取りやめ", "cancelled"},
};
static const char *const whose_names[WHOSE_COUNT][LANG_COUNT] = {
    [WHOSE_NONE] = {"-", "-"},
    [WHOSE_ADDRESS] = {"宛先の問題", "address problem"},
    [WHOSE_MESSAGE] = {"本文の問題", "message problem"},
    [WHOSE_SENDER] = {"こちらの設定・評判", "our settings or reputation"},
    [WHOSE_RECEIVER] = {"相手側の都合", "receiver's side"},
};
static const char *const left_out_names[SUPPRESS_WHY_COUNT][LANG_COUNT] = {
    [SUPPRESS_ERROR] = {"エラーで配信停止", "excluded by errors"},
    [SUPPRESS_COMPLAINT] = {"迷惑メール報告", "complained"},
    [SUPPRESS_UNSUBSCRIBED] = {"配信解除", "unsubscribed"},
    [SUPPRESS_BY_HAND] = {"手で配信停止", "excluded by hand"},
    [SUPPRESS_CLEANING] = {"リストの掃除", "list cleaning"},
};

void print_padded(struct buf *out, struct slice text, size_t columns, bool is_right)
{
    size_t width = utf8_columns(text);
    if (!is_right)
        buf_append(out, text);
    for (; width < columns; width++)
        buf_byte(out, ' ');
    if (is_right)
        buf_append(out, text);
}

struct slice print_number(struct arena *arena, int64_t number)
{
    struct slice plain = arena_printf(arena, "%lld", (long long)(number < 0 ? -number : number));
    char *to = arena_alloc(arena, plain.len * 2 + 1);
    size_t len = 0;
    if (number < 0)
        to[len++] = '-';
    for (size_t i = 0; i < plain.len; i++) {
        if (i && (plain.len - i) % 3 == 0)
            to[len++] = ',';
        to[len++] = plain.ptr[i];
    }
    return slice_of(to, len);
}

static void number_column(struct buf *out, struct arena *arena, int64_t number, size_t columns)
{
    print_padded(out, print_number(arena, number), columns, true);
}

static int64_t errors_of(const struct report_totals *totals)
{
    return totals->states[DELIVERY_BOUNCED] + totals->states[DELIVERY_EXPIRED];
}

static void print_totals(struct buf *out, struct arena *arena, const struct report_totals *totals,
                         const struct report_left_out *left, size_t left_count, enum lang lang)
{
    buf_printf(out, "  %s: %.*s = ", phrases[P_ACCEPTED][lang], SLICE_ARG(print_number(arena, totals->accepted)));
    bool is_first = true;
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++) {
        if (!totals->states[state])
            continue;
        buf_printf(out, "%s%s %.*s", is_first ? "" : " + ", state_names[state][lang],
                   SLICE_ARG(print_number(arena, totals->states[state])));
        is_first = false;
    }
    buf_printf(out, "%s\n  %s: %.*s", is_first ? "0" : "", phrases[P_LEFT_OUT][lang],
               SLICE_ARG(print_number(arena, totals->left_out)));
    for (size_t i = 0; i < left_count; i++) {
        enum suppress_why why;
        struct slice name = left[i].why;
        if (suppress_of(left[i].why, &why))
            name = slice_str(left_out_names[why][lang]);
        else if (slice_equal(name, SLICE("unconfirmed")) && lang == LANG_JA)
            name = SLICE("登録の確認がまだ");
        buf_printf(out, "%s%.*s %.*s", i ? ", " : " (", SLICE_ARG(name), SLICE_ARG(print_number(arena, left[i].n)));
    }
    buf_str(out, left_count ? ")\n" : "\n");
}

static void print_people(struct buf *out, enum phrase what, int64_t people, int64_t times, enum lang lang)
{
    if (times)
        buf_printf(out, "  %s: %lld (%s %lld)\n", phrases[what][lang], (long long)people, phrases[P_TIMES][lang],
                   (long long)times);
}

/* Nothing, where nothing is counted. */
static void print_engaged(struct buf *out, const int64_t n[ENGAGED_COUNT], enum lang lang)
{
    print_people(out, P_OPENED, n[ENGAGED_OPENED], n[ENGAGED_OPENS], lang);
    print_people(out, P_CLICKED, n[ENGAGED_CLICKED], n[ENGAGED_CLICKS], lang);
    print_people(out, P_DOWNLOADED, n[ENGAGED_DOWNLOADED], n[ENGAGED_DOWNLOADS], lang);
    if (n[ENGAGED_OPENS_ROBOT] || n[ENGAGED_OPENS_PROXY] || n[ENGAGED_CLICKS_ROBOT])
        buf_printf(out, "  %s: %s %lld, %s %lld, %s %lld\n", phrases[P_MACHINES][lang], phrases[P_ROBOT_OPENS][lang],
                   (long long)n[ENGAGED_OPENS_ROBOT], phrases[P_PROXY_OPENS][lang], (long long)n[ENGAGED_OPENS_PROXY],
                   phrases[P_ROBOT_CLICKS][lang], (long long)n[ENGAGED_CLICKS_ROBOT]);
    if (n[ENGAGED_DOWNLOADS_ROBOT])
        buf_printf(out, "  %s: %s %lld\n", phrases[P_MACHINES][lang], phrases[P_ROBOT_DOWNLOADS][lang],
                   (long long)n[ENGAGED_DOWNLOADS_ROBOT]);
}

static void print_receivers(struct buf *out, struct arena *arena, const struct report_domain *domains, size_t count,
                            enum lang lang, struct slice (*label)(struct slice domain))
{
    enum { NAME = 38, NUMBER = 11 };
    static const enum phrase heads[] = {P_TOTAL, P_DELIVERED, P_DEFERRED, P_ERRORS, P_WAITING};
    buf_printf(out, "\n%s\n  ", phrases[P_BY_RECEIVER][lang]);
    print_padded(out, slice_str(phrases[P_RECEIVER][lang]), NAME, false);
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        print_padded(out, slice_str(phrases[heads[i]][lang]), NUMBER, true);
    buf_byte(out, '\n');
    for (size_t i = 0; i < count; i++) {
        const struct report_totals *totals = &domains[i].totals;
        struct slice name = domains[i].domain, told = label ? label(name) : SLICE("");
        if (told.len)
            name = arena_printf(arena, "%.*s (%.*s)", SLICE_ARG(name), SLICE_ARG(told));
        buf_text(out, "  ");
        print_padded(out, name, NAME, false);
        number_column(out, arena, totals->accepted, NUMBER);
        number_column(out, arena, totals->states[DELIVERY_DELIVERED], NUMBER);
        number_column(out, arena, totals->states[DELIVERY_DEFERRED] + totals->states[DELIVERY_IN_DOUBT], NUMBER);
        number_column(out, arena, errors_of(totals), NUMBER);
        number_column(out, arena, totals->states[DELIVERY_WAITING] + totals->states[DELIVERY_HELD], NUMBER);
        buf_byte(out, '\n');
    }
}

static struct verdict verdict_of_reason(const struct rules *rules, const struct report_reason *reason)
{
    struct verdict verdict;
    rules_verdict_of_reason(rules, reason->reason, true, &verdict);
    return verdict;
}

/* Of the mails that met this reason, those that it kept from arriving: what was put off and then arrived is no error.
 */
static int64_t kept_away(const struct report_reason *reason)
{
    int64_t n = 0;
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
        if (state == DELIVERY_BOUNCED || state == DELIVERY_EXPIRED ||
            (state != DELIVERY_WAITING && delivery_is_owed((enum delivery_state)state)))
            n += reason->states[state];
    return n;
}

/* Only those, the most frequent first. */
static size_t reasons_keep(struct report_reason *reasons, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct report_reason row = reasons[i];
        row.n = kept_away(&row);
        if (!row.n)
            continue;
        size_t at = kept++;
        for (; at && reasons[at - 1].n < row.n; at--)
            reasons[at] = reasons[at - 1];
        reasons[at] = row;
    }
    return kept;
}

static void print_reasons(struct buf *out, struct arena *arena, const struct rules *rules,
                          const struct report_reason *reasons, size_t count, enum lang lang)
{
    buf_printf(out, "\n%s\n", phrases[P_BY_REASON][lang]);
    if (count == 0)
        buf_printf(out, "  %s\n", phrases[P_NO_ERRORS][lang]);
    for (size_t i = 0; i < count; i++) {
        struct verdict verdict = verdict_of_reason(rules, &reasons[i]);
        struct explanation words = words_standing(
            rules, &verdict, standing_of_mails(reasons[i].n, reasons[i].states[DELIVERY_DEFERRED]), lang);
        struct slice word = reason_word(reasons[i].reason);
        buf_printf(out, "  %.*s  %.*s  [%.*s · %s]\n", SLICE_ARG(print_number(arena, reasons[i].n)),
                   SLICE_ARG(words.label), SLICE_ARG(word), whose_names[reasons[i].whose][lang]);
        buf_printf(out, "      %.*s\n", SLICE_ARG(words.cause));
        if (words.did.len)
            buf_printf(out, "      %s: %.*s\n", phrases[P_DID][lang], SLICE_ARG(words.did));
        if (words.remedy.len)
            buf_printf(out, "      %s: %.*s\n", phrases[P_DO][lang], SLICE_ARG(words.remedy));
    }
}

enum { DOMAINS_MOST = 50 };
struct numbers {
    struct report_totals totals;
    struct report_domain *domains;
    size_t domain_count;
    struct report_reason *reasons;
    size_t reason_count;
    struct report_left_out *left;
    size_t left_count;
    int64_t engaged[ENGAGED_COUNT];
};

static bool read_numbers(struct db *db, struct fault *why, uint64_t campaign_id, struct arena *arena,
                         struct numbers *numbers)
{
    return report_totals(db, why, campaign_id, &numbers->totals) &&
           report_by_domain(db, why, campaign_id, DOMAINS_MOST, arena, &numbers->domains, &numbers->domain_count) &&
           report_by_reason(db, why, campaign_id, SLICE(""), arena, &numbers->reasons, &numbers->reason_count) &&
           report_left_out(db, why, campaign_id, arena, &numbers->left, &numbers->left_count) &&
           engaged_read(db, why, campaign_id, numbers->engaged);
}

bool report_print(struct db *db, struct fault *why, const struct rules *rules, const struct campaign *campaign,
                  enum lang lang, struct slice (*label)(struct slice domain), struct buf *out)
{
    SCOPED(arena) arena = {0};
    struct numbers numbers = {0};
    if (!read_numbers(db, why, campaign->id, &arena, &numbers))
        return false;
    numbers.reason_count = reasons_keep(numbers.reasons, numbers.reason_count);
    buf_printf(out, "%s \"%.*s\" (%s)\n", phrases[P_CAMPAIGN][lang], SLICE_ARG(campaign->name),
               campaign_states[campaign->state][lang]);
    print_totals(out, &arena, &numbers.totals, numbers.left, numbers.left_count, lang);
    print_engaged(out, numbers.engaged, lang);
    print_receivers(out, &arena, numbers.domains, numbers.domain_count, lang, label);
    print_reasons(out, &arena, rules, numbers.reasons, numbers.reason_count, lang);
    return true;
}

static void json_states(struct json *json, const struct report_totals *totals)
{
    json_put_object(json, "counts");
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++) {
        json_key_slice(json, delivery_word((enum delivery_state)state));
        json_int(json, totals->states[state]);
    }
    json_end(json);
}

bool report_json(struct db *db, struct fault *why, const struct rules *rules, const struct campaign *campaign,
                 struct buf *out)
{
    SCOPED(arena) arena = {0};
    struct numbers numbers = {0};
    if (!read_numbers(db, why, campaign->id, &arena, &numbers))
        return false;
    numbers.reason_count = reasons_keep(numbers.reasons, numbers.reason_count);
    struct json json = {out};
    json_object_begin(&json);
    json_put_string(&json, "id", arena_printf(&arena, "%llu", (unsigned long long)campaign->id));
    json_put_string(&json, "name", campaign->name);
    json_put_string(&json, "state", campaign_state_word(campaign->state));
    json_put_int(&json, "accepted", numbers.totals.accepted);
    json_put_int(&json, "left_out", numbers.totals.left_out);
    json_states(&json, &numbers.totals);
    static const char *const engaged[ENGAGED_COUNT] = {"opens",      "opened",         "opens_proxy",  "opens_robot",
                                                       "clicks",     "clicked",        "clicks_robot", "downloads",
                                                       "downloaded", "downloads_robot"};
    json_put_object(&json, "engaged");
    for (int what = 0; what < ENGAGED_COUNT; what++) {
        json_key_slice(&json, slice_str(engaged[what]));
        json_int(&json, numbers.engaged[what]);
    }
    json_end(&json);
    json_put_array(&json, "receivers");
    for (size_t i = 0; i < numbers.domain_count; i++) {
        json_object_begin(&json);
        json_put_string(&json, "domain", numbers.domains[i].domain);
        json_put_int(&json, "accepted", numbers.domains[i].totals.accepted);
        json_states(&json, &numbers.domains[i].totals);
        json_end(&json);
    }
    json_end(&json);
    json_put_array(&json, "reasons");
    for (size_t i = 0; i < numbers.reason_count; i++) {
        struct verdict verdict = verdict_of_reason(rules, &numbers.reasons[i]);
        json_object_begin(&json);
        json_put_string(&json, "reason", reason_word(numbers.reasons[i].reason));
        json_put_string(&json, "fault", whose_word(numbers.reasons[i].whose));
        json_put_int(&json, "count", numbers.reasons[i].n);
        for (int lang = 0; lang < LANG_COUNT; lang++) {
            struct explanation words = words_standing(
                rules, &verdict, standing_of_mails(numbers.reasons[i].n, numbers.reasons[i].states[DELIVERY_DEFERRED]),
                (enum lang)lang);
            json_key_slice(&json, lang == LANG_JA ? SLICE("ja") : SLICE("en"));
            json_object_begin(&json);
            json_put_string(&json, "label", words.label);
            json_put_string(&json, "cause", words.cause);
            json_put_string(&json, "remedy", words.remedy);
            json_end(&json);
        }
        json_end(&json);
    }
    json_end(&json);
    json_put_array(&json, "left_out_by");
    for (size_t i = 0; i < numbers.left_count; i++) {
        json_object_begin(&json);
        json_put_string(&json, "why", numbers.left[i].why);
        json_put_int(&json, "count", numbers.left[i].n);
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    return true;
}
