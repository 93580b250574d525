/* cmd_queue.c - `todoke queue`: what is owed, whether the books balance, and orders to what is owed */
#include "app/arguments.h"
#include "app/command.h"

#include "app/explain_message.h"
#include "app/queue_order.h"
#include "app/usage.h"
#include "base/json.h"
#include "campaign/campaign.h"
#include "report/report.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke queue list [FILTER...] [--state STATE] [--limit N] [--json]\n"
    "       todoke queue audit [--campaign NAME-OR-ID] [--json]\n"
    "       todoke queue hold|release|retry|purge FILTER... [--dry-run] [--why TEXT] [--json]\n"
    "       todoke queue move --to POOL FILTER... [--dry-run] [--why TEXT] [--json]\n"
    "       todoke queue suspend --site SITE --for 2h [--source IP] [--why TEXT] [--json]\n"
    "       todoke queue resume --site SITE [--source IP] [--why TEXT] [--json]\n"
    "       todoke queue orders [--json]\n"
    "       todoke queue show DELIVERY [--lang ja|en] [--json]   as todoke explain message\n"
    "FILTER: --brand NAME, --campaign NAME-OR-ID, --domain DOMAIN, --site SITE, --source IP, "
    "--pool NAME, --older-than 2d; with several, all must be true\n"
    "\n"
    "list prints delivery, receiver, state, since, due and attempts; STATE is one of waiting, "
    "deferred, held, on_wire, in_doubt\n"
    "(default: all that is owed). audit counts the ten states three ways: accepted = their "
    "sum, and counters = rows. Exit status 1\n"
    "when they disagree.\n"
    "hold: what matches waits until it is released; of a brand, campaign or domain alone it "
    "stands, for mails of later too.\n"
    "move: mail of these brands or campaigns to these domains (whole lanes) leaves by another pool of sources, later "
    "mail of them too; --to brand: by\n"
    "the brand's own again. --source, --pool: what leaves by its pool, by that pool.\n"
    "release: what was held is due now (what a receiver's guard holds: todoke guard).\n"
    "retry: what is deferred is due now instead of at its hour; its receiver's pace, suspension and breaker hold as "
    "before.\n"
    "purge: "
    "what matches is cancelled; what is on\n"
    "the wire ends as it ends. These speak of what was accepted until now, or longer ago than "
    "--older-than; --site is that of a\n"
    "delivery's last reply. --dry-run only counts. The running server carries an order out "
    "in slices; without one it waits for\n"
    "its start.\n"
    "suspend: no connection is opened to the site, by all sources or by that one, until then; on every node, over "
    "restarts. Its mail\n"
    "waits as it is. resume: that is over, and so is what the server holds against the site by itself: suspensions by "
    "its words, the\n"
    "breaker, the pace it has learnt. What is deferred still waits for its hour: retry. --site: as explain site "
    "names it, or a domain.\n"
    "orders: who ordered what, and how far it is.\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

struct queue_arguments {
    const char *store, *state, *campaign, *limit;
    bool is_json;
};

static void print_time(struct buf *out, time_ms at)
{
    if (at)
        time_rfc3339(out, at);
    else
        buf_byte(out, '-');
}

static bool list(const struct queue_arguments *arguments, const struct queue_order_arguments *filter, struct desk *desk,
                 struct fault *why)
{
    enum delivery_state state = DELIVERY_STATE_COUNT;
    int64_t limit = 1000;
    struct queue_order wish;
    if (arguments->state && (!delivery_of(slice_str(arguments->state), &state) || !delivery_is_owed(state)))
        return fault_set(why, FAULT_INPUT, "--state %s: waiting, deferred, held, on_wire or in_doubt",
                         arguments->state);
    if (arguments->limit && (!slice_to_i64(slice_str(arguments->limit), &limit) || limit < 1))
        return fault_set(why, FAULT_INPUT, "--limit %s: a number from 1 on", arguments->limit);
    SCOPED(rows) rows = {0};
    if (!queue_filter_read(desk, filter, &wish, why) || !order_rows(desk->reader, why, &wish, state, limit, &rows))
        return false;
    while (rows_next(&rows)) {
        SCOPED(buf) out = BUF(4096);
        struct slice word = delivery_word((enum delivery_state)rows_int(&rows, 2)), address = rows_text(&rows, 1);
        if (arguments->is_json) {
            struct json json = {&out};
            json_object_begin(&json);
            SCOPED(buf) text = BUF(64);
            buf_i64(&text, rows_int(&rows, 0));
            json_put_string(&json, "delivery", buf_slice(&text));
            json_put_string(&json, "address", address);
            json_put_string(&json, "state", word);
            buf_reset(&text);
            print_time(&text, rows_int(&rows, 3));
            json_put_string(&json, "since", buf_slice(&text));
            buf_reset(&text);
            print_time(&text, rows_int(&rows, 4));
            json_put_string(&json, "due", buf_slice(&text));
            json_put_int(&json, "attempt", rows_int(&rows, 5));
            json_end(&json);
        } else {
            buf_printf(&out, "%lld  %-9.*s %-40.*s since ", (long long)rows_int(&rows, 0), SLICE_ARG(word),
                       SLICE_ARG(address));
            print_time(&out, rows_int(&rows, 3));
            buf_text(&out, "  due ");
            print_time(&out, rows_int(&rows, 4));
            buf_printf(&out, "  attempt %lld", (long long)rows_int(&rows, 5));
        }
        printf("%.*s\n", (int)out.len, out.ptr);
    }
    return rows_end(&rows);
}

static bool audit(const struct queue_arguments *arguments, struct desk *desk, bool *agrees, struct fault *why)
{
    struct campaign campaign = {0};
    struct report_audit audit;
    if (arguments->campaign &&
        !campaign_find(desk->reader, why, slice_str(arguments->campaign), &desk->arena, &campaign))
        return false;
    if (!report_audit(desk->reader, why, campaign.id, &audit))
        return false;
    *agrees = audit.agrees;
    if (arguments->is_json) {
        SCOPED(buf) out = BUF(4096);
        struct json json = {&out};
        report_audit_write(&json, &audit);
        printf("%.*s\n", (int)out.len, out.ptr);
        return true;
    }
    printf("accepted %lld = ", (long long)audit.accepted);
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
        printf("%s%.*s %lld", state ? " + " : "", SLICE_ARG(delivery_word((enum delivery_state)state)),
               (long long)audit.rows[state]);
    printf("  (sum %lld; counters %lld, %llu events behind; left out %lld): %s\n", (long long)audit.rows_sum,
           (long long)audit.counters_sum, (unsigned long long)audit.lag, (long long)audit.left_out,
           audit.agrees ? "the books balance" : "THE BOOKS DO NOT BALANCE");
    return true;
}

static int order(const char *store, const struct queue_order_arguments *arguments, int verb)
{
    struct fault why = {0};
    SCOPED(desk) desk;
    bool ok = desk_look(&desk, store, &why);
    if (ok)
        ok = verb == ORDER_VERB_COUNT ? queue_order_list(&desk, arguments->is_json, &why)
                                      : queue_order_give(&desk, arguments, (enum order_verb)verb, &why);
    return ok ? 0 : command_fail("queue", &why);
}

static int show(const char *store, const char *id, const char *lang_name, bool is_json)
{
    struct fault why = {0};
    struct rules *rules = NULL;
    enum lang lang;
    SCOPED(desk) desk = {0};
    bool ok = arguments_lang(lang_name, &lang, &why) && rules_open(&rules, &why) && desk_look(&desk, store, &why) &&
              explain_message(&desk, rules, id, lang, is_json, &why);
    rules_free(rules);
    return ok ? 0 : command_fail("queue", &why);
}

/* Which order the word is; ORDER_VERB_COUNT: the list of them; -1: none. */
static int verb_of(const struct arguments *words)
{
    struct slice word = words->word_count == 1 ? slice_str(words->words[0]) : SLICE("");
    for (int i = 0; i < ORDER_VERB_COUNT; i++)
        if (slice_equal(word, order_verb_word((enum order_verb)i)))
            return i;
    return slice_equal(word, SLICE("orders")) ? ORDER_VERB_COUNT : -1;
}

#define FILTERS "--brand --campaign --domain --site --source --pool --older-than"

/* What each verb has: an option that only another one has must not be read over. */
static const char *options_of(const char *word, int verb)
{
    if (strcmp(word, "show") == 0)
        return "--lang --json --store";
    if (strcmp(word, "list") == 0)
        return FILTERS " --state --limit --json --store";
    if (strcmp(word, "audit") == 0)
        return "--campaign --json --store";
    if (verb == ORDER_VERB_COUNT)
        return "--json --store";
    if (verb == ORDER_SUSPEND)
        return "--site --source --for --why --json --store";
    if (verb == ORDER_RESUME)
        return "--site --source --why --json --store";
    return verb == ORDER_MOVE ? FILTERS " --to --dry-run --why --json --store"
                              : FILTERS " --dry-run --why --json --store";
}

int cmd_queue(int argc, char **argv)
{
    struct queue_arguments given = {0};
    struct queue_order_arguments wish = {0};
    const char *lang = NULL;
    const struct argument table[] = {
        {"--store", &given.store, NULL},
        {"--state", &given.state, NULL},
        {"--campaign", &given.campaign, NULL},
        {"--limit", &given.limit, NULL},
        {"--json", NULL, &given.is_json},
        {"--brand", &wish.brand, NULL},
        {"--domain", &wish.domain, NULL},
        {"--site", &wish.site, NULL},
        {"--older-than", &wish.older_than, NULL},
        {"--why", &wish.why, NULL},
        {"--source", &wish.source, NULL},
        {"--pool", &wish.pool, NULL},
        {"--to", &wish.to, NULL},
        {"--for", &wish.for_, NULL},
        {"--lang", &lang, NULL},
        {"--dry-run", NULL, &wish.is_dry_run},
        {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("queue", &why);
    const char *word = words.word_count ? words.words[0] : "";
    int verb = verb_of(&words);
    bool is_list = words.word_count == 1 && strcmp(word, "list") == 0;
    bool is_audit = words.word_count == 1 && strcmp(word, "audit") == 0;
    bool is_show = words.word_count == 2 && strcmp(word, "show") == 0;
    if (words.wants_help || (!is_list && !is_audit && !is_show && verb < 0))
        return usage_tell("queue", usage, &words);
    if (!arguments_only(table, word, options_of(word, verb), &why))
        return command_fail("queue", &why);
    if (is_show)
        return show(given.store, words.words[1], lang, given.is_json);
    wish.campaign = given.campaign;
    wish.is_json = given.is_json;
    if (verb >= 0)
        return order(given.store, &wish, verb);
    bool agrees = true;
    SCOPED(desk) desk;
    bool ok = desk_look(&desk, given.store, &why) &&
              (is_list ? list(&given, &wish, &desk, &why) : audit(&given, &desk, &agrees, &why));
    if (!ok)
        return command_fail("queue", &why);
    return agrees ? 0 : 1;
}
