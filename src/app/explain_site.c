#include "app/explain_site.h"

#include "api/explained.h"
#include "app/change.h"
#include "base/log.h"
#include "mail/address.h"
#include "report/site_story.h"
#include <stdio.h>

enum {
    ANSWER_MS = 10000, /* longer than the lease of a node beside others: who does not live any more is not waited for */
    SAID_MS = 2000,    /* then it is told that we wait */
    GLANCE_MS = 4000,
    LOOK_MS = 50,
    ROUTE_LOOKS = 30 /* DNS may have to be asked first */
};

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

/* ── asking ── */

struct wish {
    const struct slice *names;
    size_t count;
    time_ms now;
    int64_t number;
};

static bool wish_write(struct db *db, struct fault *why, void *context)
{
    struct wish *wish = context;
    for (size_t i = 0; i < wish->count; i++)
        if (!board_ask(db, why, wish->names[i], wish->now, &wish->number))
            return false;
    return true;
}

/* Until those that live have answered, or so long. A lease outlasts its node; the lock of SQLite's server does not. */
static bool wish_wait(struct desk *desk, const struct wish *wish, time_ms most, struct board *board, struct fault *why)
{
    time_ms begun = world_monotonic(&desk->world);
    for (;;) {
        if (!board_read(desk->reader, why, world_wall(&desk->world), &desk->arena, board))
            return false;
        board->is_late = board->node_count && !board_is_answered(board, wish->number) &&
                         (store_is_postgres(desk->store) || store_is_beside_server(desk->store));
        if (!board->is_late || world_monotonic(&desk->world) - begun > most)
            return true;
        world_pause(&desk->world, LOOK_MS);
    }
}

bool desk_board(struct desk *desk, const struct slice *names, size_t count, struct board *board, struct fault *why)
{
    struct wish wish = {.names = names, .count = count, .now = world_wall(&desk->world)};
    if (!store_change(desk->store, wish_write, &wish, why) || !wish_wait(desk, &wish, SAID_MS, board, why))
        return false;
    if (!board->is_late)
        return true;
    log_warn("app", "the server has not answered yet; waiting for it, for %d s at most", (ANSWER_MS - SAID_MS) / 1000);
    return wish_wait(desk, &wish, ANSWER_MS - SAID_MS, board, why);
}

bool desk_board_glance(struct desk *desk, struct board *board, struct fault *why)
{
    struct wish wish = {.names = &(struct slice){0}, .count = 1, .now = world_wall(&desk->world)};
    return store_change(desk->store, wish_write, &wish, why) && wish_wait(desk, &wish, GLANCE_MS, board, why);
}

bool desk_board_late(struct slice name, struct fault *why)
{
    return fault_set(why, FAULT_WORLD, "the server has not answered within %d s which receiver \"%.*s\" is; try again",
                     ANSWER_MS / 1000, SLICE_ARG(name));
}

static bool is_awaited(const struct board *board, struct slice name)
{
    for (size_t i = 0; i < board->route_count; i++)
        if (slice_equal(board->routes[i].domain, name) || slice_equal(board->routes[i].site, name))
            return slice_equal(board->routes[i].status, SLICE("asked"));
    return slice_find(name, SLICE(".")) != SLICE_NPOS;
}

/* ── telling ── */

/* What DNS said of the domain. */
static struct slice route_text(struct slice status, enum lang lang)
{
    static const struct {
        const char *status, *ja, *en;
    } texts[] = {
        {"no_domain", "そのドメインは存在しません", "there is no such domain"},
        {"null_mx", "メールを受け取らないと宣言しています (null MX)", "it says that it takes no mail (null MX)"},
        {"loop", "MX が私たち自身を指しています", "its MX is ourselves"},
        {"prohibited", "つないではいけないアドレスです", "its addresses must not be connected to"},
        {"try_later", "DNS が答えません。あとで引き直します", "DNS does not answer; it is asked again later"},
        {"no_address", "MX にアドレスがありません", "its MX hosts have no address"},
        {"asked", "DNS に問い合わせ中です", "DNS is being asked"},
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (slice_equal(status, slice_str(texts[i].status)))
            return slice_str(SAY(lang, texts[i].ja, texts[i].en));
    return status;
}

static void print_route(const struct site_story *story, enum lang lang)
{
    const struct board_route *route = story->route;
    if (!route)
        return;
    if (route->relay.len)
        printf("%s: %.*s\n", SAY(lang, "スマートホスト", "smart host"), SLICE_ARG(route->relay));
    if (!slice_equal(route->status, SLICE("found")))
        printf("%s: %.*s%s%.*s\n", SAY(lang, "経路", "route"), SLICE_ARG(route_text(route->status, lang)),
               route->text.len ? ": " : "", SLICE_ARG(route->text));
    if (route->hosts.len)
        printf("MX: %.*s\n", SLICE_ARG(route->hosts));
    if (route->rule.len)
        printf("%s: %.*s (%.*s)\n", SAY(lang, "規則", "rule"), SLICE_ARG(route->rule), SLICE_ARG(route->file));
    if (route->tls.len)
        printf("TLS: %.*s\n", SLICE_ARG(route->tls));
    if (story->domain_count > 1)
        printf("%s: %lld\n", SAY(lang, "この受信先のドメイン数", "domains of this site that are owed mail"),
               (long long)story->domain_count + (long long)story->domains_left_out);
}

static void print_way(struct desk *desk, const struct board_way *way, time_ms now, enum lang lang)
{
    printf("\n%s %.*s%s%.*s (node %u)\n", SAY(lang, "送信元", "source"),
           SLICE_ARG(way->source.len ? way->source
                                     : slice_str(SAY(lang, "システムが選ぶアドレス", "as the system chooses"))),
           way->pool.len ? SAY(lang, " プール ", " of the pool ") : "", SLICE_ARG(way->pool), way->node);
    printf("  %s: %.*s\n", SAY(lang, "いまの制限", "binds"), SLICE_ARG(way_binding_text(way, now, lang, &desk->arena)));
    printf(SAY(lang, "  接続: %lld 本(会話中 %lld)、いまの上限 %lld、規則 %lld\n",
               "  connections: %lld (%lld in conversation), %lld allowed now, %lld by the rule\n"),
           (long long)way->connections, (long long)way->talking, (long long)way->connections_allowed,
           (long long)way->connections_rule);
    printf(SAY(lang, "  速度: %.1f/s、いまの上限 ", "  rate: %.1f/s now, allowed "), way->rate_now);
    printf(way->rate_allowed > 0 ? "%.2f/s" : SAY(lang, "なし", "as fast as it goes"), way->rate_allowed);
    if (way->rate_own > 0)
        printf(SAY(lang, "(断られたのは %.2f/s)", " (refused at %.2f/s)"), way->rate_limit);
    printf(SAY(lang, "、起動後の試行 %lld 通\n", ", %lld tried since the start\n"), (long long)way->sent);
    if (way->lowered_at)
        printf("  %s: %.*s\n", SAY(lang, "最後に下げた時", "lowered last"),
               SLICE_ARG(way_lowered_text(way, lang, &desk->arena)));
    if (way->breaker.len && way->breaker_until)
        printf("  %s %.*s\n",
               SAY(lang, "サーキットブレーカー: 作動中、次に試すのは", "breaker: open, the next probe at"),
               SLICE_ARG(minute_text(&desk->arena, way->breaker_until)));
    else if (way->breaker.len)
        printf("  %s\n", SAY(lang, "サーキットブレーカー: 次の 1 本の接続で様子を見ます",
                             "breaker: the next connection is a probe"));
    if (way->cap_by.len)
        printf(SAY(lang, "  1 日の上限: %lld 通 (%s)%s\n", "  a day's cap: %lld (%s)%s\n"), (long long)way->cap,
               slice_equal(way->cap_by, SLICE("daily")) ? SAY(lang, "規則", "the rule's daily")
                                                        : SAY(lang, "ウォームアップ", "warm-up"),
               way->is_used_up ? SAY(lang, "、使い切り", ", used up") : "");
}

/* Why they are tried again, and what the person who runs the server can do about it. */
static void print_retries(struct desk *desk, const struct site_story *story, const struct rules *rules, enum lang lang)
{
    for (size_t i = 0; i < story->retry_count; i++) {
        struct verdict verdict =
            story->retries[i].said_at ? story->retries[i].said : verdict_of_reason(rules, story->retries[i].reason);
        struct explanation said = words_standing(rules, &verdict, STANDING_RETRYING, lang);
        struct slice advice = said.operator.len ? said.operator: said.remedy;
        printf("%s: %lld  %.*s (%.*s)\n", SAY(lang, "再送待ちの理由", "tried again because"),
               (long long)story->retries[i].n, SLICE_ARG(said.label), SLICE_ARG(reason_word(story->retries[i].reason)));
        if (advice.len)
            printf("  %s: %.*s\n", SAY(lang, "対処", "to do"), SLICE_ARG(advice));
    }
}

/* What binds where no way tells it: nothing is due there, or no server runs. */
static void print_pauses(struct desk *desk, const struct site_story *story, enum lang lang)
{
    for (size_t i = 0; i < story->pause_count; i++) {
        const struct pause *pause = &story->pauses[i];
        bool is_told = false;
        for (size_t w = 0; w < story->way_count; w++)
            is_told |= story->ways[w]->node == pause->node && story->ways[w]->source_id == (int64_t)pause->source_id;
        if (!is_told)
            printf("%s: %.*s\n", SAY(lang, "受信先の言葉により", "by the receiver's words"),
                   SLICE_ARG(pause_text(pause, lang, &desk->arena)));
    }
}

static void print_story(struct desk *desk, const struct site_story *story, const struct rules *rules, enum lang lang)
{
    struct slice waits = site_story_waits_text(story, lang, &desk->arena);
    printf("%.*s%s%.*s%s\n", SLICE_ARG(story->name), story->site.len ? SAY(lang, ": 受信先 ", ": the site ") : "",
           SLICE_ARG(story->site),
           story->is_live ? ""
                          : SAY(lang, "(サーバは動いていません。保存されていることだけです)",
                                " (no server runs: what the store knows)"));
    print_route(story, lang);
    printf("%s:", SAY(lang, "未完了", "owed"));
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++)
        if (state != DELIVERY_ON_WIRE)
            printf(" %.*s %lld", SLICE_ARG(state_label((enum delivery_state)state, lang)),
                   (long long)story->owed[state]);
    puts("");
    if (story->owed[DELIVERY_HELD])
        printf("%s: %.*s\n", SAY(lang, "停止中の理由", "held"),
               SLICE_ARG(held_text(story->owed[DELIVERY_HELD], story->guarded, lang, &desk->arena)));
    if (waits.len)
        printf("%s: %.*s\n", SAY(lang, "いま待っている理由", "binds"), SLICE_ARG(waits));
    printf("%s: %.*s\n", SAY(lang, "完了見込み", "done"), SLICE_ARG(site_story_done_text(story, lang, &desk->arena)));
    for (size_t i = 0; i < story->stand_in_count; i++)
        printf("%s: %.*s\n", SAY(lang, "代わりのプール", "stands in"),
               SLICE_ARG(stand_in_text(&story->stand_ins[i], lang, &desk->arena)));
    for (size_t i = 0; i < story->hold_count; i++)
        printf("%s: %.*s (%.*s)\n", SAY(lang, "停止中", "on hold"), SLICE_ARG(story->holds[i].name),
               SLICE_ARG(story->holds[i].why));
    for (size_t i = 0; i < story->suspension_count; i++)
        printf("%s: %.*s\n", SAY(lang, "人の指示で停止中", "suspended by hand"),
               SLICE_ARG(suspension_text(&story->suspensions[i], lang, &desk->arena)));
    print_pauses(desk, story, lang);
    if (story->order && story->order->verb == ORDER_RESUME)
        printf("%s: %.*s\n", SAY(lang, "最後に人が再開", "last resumed by hand"),
               SLICE_ARG(resumed_text(story->order, lang, &desk->arena)));
    for (size_t i = 0; i < story->lane_count && story->lane_count > 1; i++)
        printf("  %lld %.*s, %.*s: %.*s\n", (long long)story->lanes[i].owed, SLICE_ARG(story->lanes[i].domain),
               SLICE_ARG(lane_wait_whose(&story->lanes[i], lang, &desk->arena)),
               SLICE_ARG(lane_wait_text(&story->lanes[i], story->now, lang, &desk->arena)));
    if (story->lanes_left_out)
        printf(SAY(lang, "  ほか %lld 組\n", "  and %lld more\n"), (long long)story->lanes_left_out);
    print_retries(desk, story, rules, lang);
    for (size_t i = 0; i < story->reply_count; i++)
        printf("%s %.*s  %lld x %.*s  \"%.*s\"\n", SAY(lang, "応答", "reply"),
               SLICE_ARG(minute_text(&desk->arena, story->replies[i].at)), (long long)story->replies[i].n,
               SLICE_ARG(story->replies[i].remote), SLICE_ARG(story->replies[i].words));
    for (size_t i = 0; i < story->way_count; i++)
        print_way(desk, story->ways[i], story->now, lang);
    for (size_t i = 0; i < story->plan_count; i++)
        printf(SAY(lang, "\nウォームアップ %.*s (%.*s): %lld 段目、今日 %lld / %lld 通\n",
                   "\nwarm-up of %.*s (%.*s): step %lld, %lld of %lld reserved today\n"),
               SLICE_ARG(story->plans[i].source), SLICE_ARG(story->plans[i].group), (long long)story->plans[i].step,
               (long long)story->plans[i].reserved, (long long)story->plans[i].cap);
}

bool desk_site_of(struct desk *desk, struct slice *site, struct fault *why)
{
    struct board board;
    if (slice_find_byte(*site, '.') == SLICE_NPOS)
        return true;
    if (!desk_board(desk, site, 1, &board, why))
        return false;
    for (size_t i = 0; i < board.route_count; i++)
        if (slice_equal_caseless(board.routes[i].domain, *site) && board.routes[i].site.len) {
            *site = board.routes[i].site;
            return true;
        }
    return !board.is_late || desk_board_late(*site, why);
}

bool explain_site(struct desk *desk, const struct rules *rules, const char *given, enum lang lang, bool is_json,
                  struct fault *why)
{
    struct slice name, word = slice_trim(slice_str(given));
    struct fault ignored;
    struct board board;
    struct site_story story;
    if (!word.len || word.len > BOARD_NAME_MAX)
        return fault_set(why, FAULT_INPUT, "explain site: a domain or a receiver's name, as in gmail.com or google");
    if (!domain_normalise(word, &desk->arena, &name, &ignored))
        name = arena_copy(&desk->arena, word); /* a site's name */
    if (!desk_board(desk, &name, 1, &board, why))
        return false;
    bool is_late = board.is_late;
    for (int look = 0; look < ROUTE_LOOKS && !is_late && board.node_count && is_awaited(&board, name); look++) {
        world_pause(&desk->world, 2 * LOOK_MS);
        if (!board_read(desk->reader, why, world_wall(&desk->world), &desk->arena, &board))
            return false;
    }
    if (!site_story_read(desk->reader, why, name, &board, world_wall(&desk->world), &desk->arena, &story))
        return false;
    if (!story.site.len && !story.way_count && !story.suspension_count && !story.pause_count &&
        slice_find(name, SLICE(".")) == SLICE_NPOS && !story.lane_count)
        return is_late ? desk_board_late(name, why)
                       : fault_set(why, FAULT_INPUT,
                                   "\"%.*s\" is no domain, and no receiver that anything went to lately; `todoke top` "
                                   "names those",
                                   SLICE_ARG(name));
    if (!is_json) {
        print_story(desk, &story, rules, lang);
        return true;
    }
    SCOPED(buf) out = BUF(8 << 20);
    struct json json = {&out};
    site_story_json(&json, &story, &desk->arena);
    printf("%.*s\n", (int)out.len, out.ptr);
    return true;
}
