/* home.c - what is to be looked at today, in sentences
 *
 * To-dos come from the reasons of the newest campaigns, the most pressing first: what we can mend ourselves (sender,
 * message), then addresses, then receivers that are busy, and last what only wants to be known. */
#include "alarm/alarm.h"
#include "api/campaign_json.h"
#include "api/explained.h"
#include "api/inside.h"
#include "event/event.h"

enum { CAMPAIGNS_READ = 60, LOOKED_AT = 5, RECENT_SHOWN = 10, TODOS_MOST = 8, DAYS_OF_TOTALS = 30 };

struct home {
    struct api *api;
    struct arena *arena;
    struct json *json;
    struct fault *why;
    size_t todos;
};

static void todo_write(struct home *home, enum whose_fault whose, struct text title, struct text text,
                       struct slice link)
{
    struct json *json = home->json;
    if (home->todos++ >= TODOS_MOST)
        return;
    json_object_begin(json);
    json_put_string(json, "fault", whose_word(whose));
    json_put_both(json, "title", title);
    json_put_both(json, "text", text);
    json_put_string(json, "link", link);
    json_end(json);
}

/* ── sentences ── */

#define SAY(...) arena_printf(home->arena, __VA_ARGS__)

static const char *plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

/* "Gmail", "Gmail ほか 2 か所" / "Gmail and 2 others" */
static struct text givers_text(struct home *home, const struct counted_givers *givers)
{
    struct slice label = receiver_label(home->api, givers->first);
    size_t others = givers->count > 1 ? givers->count - 1 : 0;
    if (!label.len)
        return TEXT("受信先", "Receivers");
    if (!others)
        return (struct text){label, label};
    return (struct text){SAY("%.*s ほか %zu か所", SLICE_ARG(label), others),
                         SAY("%.*s and %zu other%s", SLICE_ARG(label), others, plural((int64_t)others))};
}

static struct text both(struct home *home, struct text first, struct text second)
{
    return (struct text){
        SAY("%.*s%.*s", SLICE_ARG(first.ja), SLICE_ARG(second.ja)),
        SAY("%.*s%s%.*s", SLICE_ARG(first.en), first.en.len && second.en.len ? " " : "", SLICE_ARG(second.en))};
}

/* Japanese that follows a name stands apart from it when the name ends in Latin letters. */
static struct slice before_kana(struct home *home, struct slice name)
{
    return name.len && (unsigned char)name.ptr[name.len - 1] < 0x80 ? SAY("%.*s ", SLICE_ARG(name)) : name;
}

/* One reason of one campaign, as a person would say it. */
struct matter {
    const struct campaign *campaign;
    enum reason reason;
    struct verdict verdict;
    int64_t n, retrying;
    struct counted_givers givers;
};

static struct text title_of_sender(struct home *home, const struct matter *matter, struct text who, struct text label)
{
    long long n = matter->n;
    return (struct text){SAY("%.*sが %lld 通を断りました(%.*s)", SLICE_ARG(who.ja), n, SLICE_ARG(label.ja)),
                         SAY("%.*s refused %lld mail%s: %.*s", SLICE_ARG(who.en), n, plural(n), SLICE_ARG(label.en))};
}

static struct text title_of_message(struct home *home, const struct matter *matter, struct text label)
{
    long long n = matter->n;
    struct slice name = matter->campaign->name;
    return (struct text){
        SAY("「%.*s」の %lld 通が、本文の問題で届きませんでした(%.*s)", SLICE_ARG(name), n, SLICE_ARG(label.ja)),
        SAY("%lld mail%s of “%.*s” did not arrive because of the message: %.*s", n, plural(n), SLICE_ARG(name),
            SLICE_ARG(label.en))};
}

static struct text title_of_address(struct home *home, const struct matter *matter, struct text label)
{
    long long n = matter->n;
    struct slice name = matter->campaign->name;
    if (matter->reason == REASON_USER_UNKNOWN)
        return (struct text){
            SAY("「%.*s」で %lld 件の宛先が存在しませんでした", SLICE_ARG(name), n),
            SAY("%lld address%s of “%.*s” do%s not exist", n, n == 1 ? "" : "es", SLICE_ARG(name), n == 1 ? "es" : "")};
    return (struct text){
        SAY("「%.*s」が %lld 件の宛先に届きませんでした(%.*s)", SLICE_ARG(name), n, SLICE_ARG(label.ja)),
        SAY("%lld address%s of “%.*s” could not be reached: %.*s", n, n == 1 ? "" : "es", SLICE_ARG(name),
            SLICE_ARG(label.en))};
}

static struct text title_of_receiver(struct home *home, const struct matter *matter, struct text who, struct text label)
{
    long long n = matter->n;
    switch ((unsigned)matter->reason) {
    case REASON_SYSTEM_ERROR:
    case REASON_SYSTEM_FULL:
    case REASON_RATE_LIMITED:
        return (struct text){SAY("%.*sが混み合っています", SLICE_ARG(who.ja)),
                             SAY("%.*s %s busy", SLICE_ARG(who.en), matter->givers.count > 1 ? "are" : "is")};
    case REASON_NETWORK_ERROR:
        return (struct text){SAY("%.*sにつながりません", SLICE_ARG(who.ja)),
                             SAY("%.*s cannot be reached", SLICE_ARG(who.en))};
    case REASON_MAILBOX_FULL:
        return (struct text){SAY("%lld 件の宛先で、受信箱がいっぱいです", n),
                             SAY("%lld mailbox%s %s full", n, n == 1 ? "" : "es", n == 1 ? "is" : "are")};
    }
    return (struct text){
        SAY("%.*sが %lld 通をすぐには受け取っていません(%.*s)", SLICE_ARG(who.ja), n, SLICE_ARG(label.ja)),
        SAY("%.*s put off %lld mail%s: %.*s", SLICE_ARG(who.en), n, plural(n), SLICE_ARG(label.en))};
}

static struct text retrying_text(struct home *home, int64_t retrying)
{
    long long n = retrying;
    return (struct text){SAY("%lld 通を保留にしました。あとで自動で送り直すので、することはありません。", n),
                         SAY("%lld mail%s wait%s and will be tried again by %s. There is nothing to do.", n, plural(n),
                             n == 1 ? "s" : "", n == 1 ? "itself" : "themselves")};
}

static void matter_write(struct home *home, const struct matter *matter)
{
    const struct rules *rules = home->api->options.rules;
    const struct verdict *verdict = &matter->verdict;
    struct text who = givers_text(home, &matter->givers), label = WORDS_BOTH(rules, verdict, label);
    who.ja = before_kana(home, who.ja);
    struct slice link = SAY("/errors?campaign=%llu&reason=%.*s", (unsigned long long)matter->campaign->id,
                            SLICE_ARG(reason_word(matter->reason)));
    switch (verdict->whose) {
    case WHOSE_SENDER:
        todo_write(
            home, WHOSE_SENDER, title_of_sender(home, matter, who, label),
            both(home, TEXT("宛先は無事です。", "The addresses are fine."), WORDS_BOTH(rules, verdict, operator)),
            link);
        return;
    case WHOSE_MESSAGE:
        todo_write(home, WHOSE_MESSAGE, title_of_message(home, matter, label), WORDS_BOTH(rules, verdict, remedy),
                   link);
        return;
    case WHOSE_ADDRESS:
        todo_write(home, WHOSE_ADDRESS, title_of_address(home, matter, label),
                   matter->reason == REASON_USER_UNKNOWN
                       ? TEXT("すでに配信から外しました。正しい宛先が分かれば、直すと届きます。",
                              "They have been excluded. Where you know the right address, correct it.")
                       : WORDS_BOTH(rules, verdict, remedy),
                   link);
        return;
    case WHOSE_RECEIVER:
        todo_write(home, WHOSE_RECEIVER, title_of_receiver(home, matter, who, label),
                   matter->retrying ? retrying_text(home, matter->retrying) : REMEDY_BOTH(rules, verdict, matter->n, 0),
                   matter->retrying ? SLICE("") : link);
        return;
    case WHOSE_NONE:
    case WHOSE_COUNT: return;
    }
}

/* ── which matters there are ── */

enum { MATTERS_MOST = LOOKED_AT * REASON_COUNT };
struct matters {
    struct matter list[MATTERS_MOST];
    size_t count;
};

/* What is worth a person's look: with receivers only what waits now, or ended for good in some number. */
static bool is_worth(const struct matter *matter)
{
    if (matter->n <= 0 || matter->verdict.whose == WHOSE_NONE)
        return false;
    return matter->verdict.whose != WHOSE_RECEIVER || matter->retrying > 0 || matter->reason == REASON_MAILBOX_FULL;
}

static bool matters_of(struct home *home, const struct campaign *campaign, struct matters *matters)
{
    struct report_reason *rows;
    size_t count;
    struct matter found[REASON_COUNT] = {{0}};
    if (!report_by_reason(home->api->db, home->why, campaign->id, SLICE(""), home->arena, &rows, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct matter *matter = &found[rows[i].reason];
        for (unsigned state = 0; state < DELIVERY_STATE_COUNT; state++)
            if (state_is_trouble(state))
                matter->n += rows[i].states[state];
        matter->retrying += rows[i].states[DELIVERY_DEFERRED];
    }
    for (unsigned reason = 0; reason < REASON_COUNT; reason++) {
        struct matter *matter = &found[reason];
        matter->campaign = campaign;
        matter->reason = (enum reason)reason;
        matter->verdict = verdict_of_reason(home->api->options.rules, matter->reason);
        if (is_worth(matter) && matters->count < MATTERS_MOST)
            matters->list[matters->count++] = *matter;
    }
    return true;
}

static int pressing(enum whose_fault whose)
{
    switch (whose) {
    case WHOSE_SENDER: return 4;
    case WHOSE_MESSAGE: return 3;
    case WHOSE_ADDRESS: return 2;
    case WHOSE_RECEIVER: return 1;
    case WHOSE_NONE:
    case WHOSE_COUNT: break;
    }
    return 0;
}

static int most_pressing_first(const void *a, const void *b)
{
    const struct matter *left = a, *right = b;
    int by_fault = pressing(right->verdict.whose) - pressing(left->verdict.whose);
    if (by_fault)
        return by_fault;
    if (left->n != right->n)
        return left->n < right->n ? 1 : -1;
    return left->campaign->id < right->campaign->id ? 1 : left->campaign->id > right->campaign->id ? -1 : 0;
}

/* At most this many of one kind, so that nobody's kind hides the others. */
static size_t most_of(enum whose_fault whose)
{
    return whose == WHOSE_RECEIVER ? 2 : 3;
}

static bool matters_write(struct home *home, struct matters *matters)
{
    size_t said[WHOSE_COUNT] = {0};
    qsort(matters->list, matters->count, sizeof(*matters->list), most_pressing_first);
    for (size_t i = 0; i < matters->count; i++) {
        struct matter *matter = &matters->list[i];
        if (said[matter->verdict.whose]++ >= most_of(matter->verdict.whose))
            continue;
        if (!counted_givers(home->api->db, home->why, matter->campaign->id, matter->reason, home->arena,
                            &matter->givers))
            return false;
        matter_write(home, matter);
    }
    return true;
}

/* Error mail that could not be verified: somebody may be using our name. */
static bool forged_write(struct home *home, time_ms now)
{
    struct event_filter filter = {.kinds = EVENT_BIT(EVENT_UNVERIFIED), .since = now - DAYS_MS(1)};
    uint64_t faults[WHOSE_COUNT], n = 0;
    if (!event_problem_faults(home->api->db, home->why, &filter, faults))
        return false;
    for (unsigned whose = 0; whose < WHOSE_COUNT; whose++)
        n += faults[whose];
    if (n)
        todo_write(
            home, WHOSE_NONE,
            (struct text){SAY("本物か確認できないエラーメールが %llu 通届きました", (unsigned long long)n),
                          SAY("%llu error mail%s could not be verified", (unsigned long long)n, plural((int64_t)n))},
            TEXT("連絡先には何もしていません。たくさん届くときは、だれかが差出人の名をかたっています。",
                 "No contact was touched. When there are many, somebody is using your name as the sender."),
            SLICE("/errors"));
    return true;
}

/* Alarms that nobody acknowledged come before everything. */
static bool alarms_write(struct home *home, time_ms now)
{
    enum { ALARMS_SHOWN = 3 };
    struct alarm_row *rows;
    size_t count;
    if (!alarm_list(home->api->db, home->why, true, now, ALARMS_SHOWN, home->arena, &rows, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct alarm_words ja = alarm_words_ja(&rows[i], home->arena), en = alarm_words_en(&rows[i], home->arena);
        todo_write(home, rows[i].kind == ALARM_SITE_GUARD ? WHOSE_RECEIVER : WHOSE_SENDER,
                   (struct text){ja.title, en.title}, (struct text){ja.text, en.text}, SLICE("/errors"));
    }
    return true;
}

static bool todos_write(struct home *home, const struct campaign *campaigns, size_t count, time_ms now)
{
    struct matters *matters = ARENA_ARRAY(home->arena, struct matters, 1);
    size_t looked_at = 0;
    json_put_array(home->json, "todos");
    if (!alarms_write(home, now))
        return false;
    for (size_t i = 0; i < count && looked_at < LOOKED_AT; i++) {
        const struct campaign *campaign = &campaigns[i];
        if (campaign->state == CAMPAIGN_DRAFT || (campaign_is_over(campaign) && campaign->started < now - DAYS_MS(7)))
            continue;
        looked_at++;
        if (!matters_of(home, campaign, matters))
            return false;
    }
    if (!matters_write(home, matters) || !forged_write(home, now))
        return false;
    json_end(home->json);
    return true;
}

/* ── the rest of the page ── */

static bool some_write(struct home *home, struct slice key, const struct campaign *campaigns, size_t count,
                       bool (*is_one)(const struct campaign *campaign), size_t most)
{
    struct campaign *some = ARENA_ARRAY(home->arena, struct campaign, count + 1);
    size_t found = 0;
    for (size_t i = 0; i < count && found < most; i++)
        if (is_one(&campaigns[i]))
            some[found++] = campaigns[i];
    json_key_slice(home->json, key);
    return campaigns_write(home->api, home->json, some, found, home->arena, home->why);
}

/* Of campaigns started in the last 30 days. */
static bool totals_write(struct home *home, const struct campaign *campaigns, size_t count, time_ms now)
{
    struct counted *counted = ARENA_ARRAY(home->arena, struct counted, count + 1);
    struct event_filter complaints = {.kinds = EVENT_BIT(EVENT_COMPLAINT), .since = now - DAYS_MS(DAYS_OF_TOTALS)};
    uint64_t faults[WHOSE_COUNT];
    int64_t states[DELIVERY_STATE_COUNT] = {0}, complained = 0, excluded = 0;
    size_t recent = 0;
    for (size_t i = 0; i < count; i++)
        if (campaigns[i].started >= now - DAYS_MS(DAYS_OF_TOTALS))
            counted[recent++].campaign_id = campaigns[i].id;
    if (!counted_load(home->api->db, home->why, counted, recent) ||
        !event_problem_faults(home->api->db, home->why, &complaints, faults) ||
        !db_query_ints(home->api->db, home->why, "SELECT COUNT(*) FROM suppression", NO_VALUES, &excluded, 1, NULL))
        return false;
    for (size_t i = 0; i < recent; i++)
        for (unsigned state = 0; state < DELIVERY_STATE_COUNT; state++)
            states[state] += counted[i].totals.states[state];
    for (unsigned whose = 0; whose < WHOSE_COUNT; whose++)
        complained += (int64_t)faults[whose];
    int64_t errors = states[DELIVERY_BOUNCED] + states[DELIVERY_EXPIRED];
    json_put_object(home->json, "totals");
    json_put_int(home->json, "sent",
                 states[DELIVERY_DELIVERED] + errors + states[DELIVERY_DEFERRED] + states[DELIVERY_IN_DOUBT]);
    json_put_int(home->json, "delivered", states[DELIVERY_DELIVERED]);
    json_put_int(home->json, "errors", errors);
    json_put_int(home->json, "complaints", complained);
    json_put_int(home->json, "excluded", excluded);
    json_end(home->json);
    return true;
}

static bool home_write(struct home *home)
{
    struct campaign_page page;
    time_ms now = api_now(home->api);
    json_object_begin(home->json);
    if (!campaign_list(home->api->db, home->why, 0, CAMPAIGNS_READ, home->arena, &page) ||
        !todos_write(home, page.campaigns, page.count, now) ||
        !some_write(home, SLICE("running"), page.campaigns, page.count, campaign_is_under_way, page.count) ||
        !some_write(home, SLICE("recent"), page.campaigns, page.count, campaign_is_over, RECENT_SHOWN) ||
        !totals_write(home, page.campaigns, page.count, now))
        return false;
    json_end(home->json);
    return true;
}

void api_home_show(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!api_sees_all(request))
        return;
    struct home home = {.api = api, .arena = &request->arena, .json = &json, .why = &why};
    if (home_write(&home))
        answer_json(request, &out);
    else
        answer_fault(request, &why, 400);
}
