/* cmd_suppress.c - `todoke suppress`: who is excluded, and why */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"

#include "base/json.h"
#include "mail/address.h"
#include "suppress/suppress.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke suppress add ADDRESS... [--why by_hand|unsubscribed|complaint|cleaning] [--brand B]\n"
    "       todoke suppress remove ADDRESS... [--brand B]\n"
    "       todoke suppress check ADDRESS... [--brand B] [--json]     exit status 1 when one is excluded\n"
    "       todoke suppress list [--why WHY] [--search TEXT] [--limit N] [--json]\n"
    "\n"
    "Without --brand it is for all brands.\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

struct suppress_arguments {
    const char *store, *why, *brand, *search, *limit;
    bool is_json;
    struct arguments words;
    uint64_t brand_id;
    enum suppress_why word;
};

/* ── changing ── */

struct suppress_change {
    struct desk *desk;
    const struct suppress_arguments *given;
    bool adds;
    int changed;
};

static bool add_one(struct db *db, struct fault *why, const struct suppress_change *change, struct slice identity,
                    bool *is_new)
{
    time_ms now = world_wall(&change->desk->world);
    unsigned bucket = address_bucket(identity);
    struct event event = {.bucket = bucket,
                          .id = id_make(db_ids(db), now, bucket),
                          .at = now,
                          .kind = EVENT_EXCLUDED,
                          .brand_id = change->given->brand_id,
                          .address = identity,
                          .domain = slice_from(identity, (size_t)slice_find_last_byte(identity, '@') + 1),
                          .state_before = DELIVERY_STATE_COUNT,
                          .state_after = DELIVERY_STATE_COUNT,
                          .note = suppress_word(change->given->word)};
    struct suppression row = {.address = identity,
                              .brand_id = change->given->brand_id,
                              .why = change->given->word,
                              .since = now,
                              .event_id = event.id};
    return suppress_add(db, why, &row, is_new) && (!*is_new || event_append(db, why, &event, 1));
}

static bool change_run(struct db *db, struct fault *why, void *context)
{
    struct suppress_change *change = context;
    change->changed = 0;
    for (int i = 1; i < change->given->words.word_count; i++) {
        struct slice identity;
        bool changed = false;
        if (!desk_identity(change->desk, change->given->words.words[i], &identity, why))
            return false;
        if (change->adds ? !add_one(db, why, change, identity, &changed)
                         : !suppress_remove(db, why, identity, change->given->brand_id, SLICE(""), &changed))
            return false;
        change->changed += changed;
    }
    return true;
}

/* ── showing ── */

static void print_row(struct desk *desk, const struct suppression *row, bool is_json)
{
    struct slice reason = row->why == SUPPRESS_ERROR ? reason_word(row->reason) : SLICE("");
    if (!is_json) {
        desk_cell(row->address, 44);
        printf("  %-12.*s  %-18.*s  since %.*s", SLICE_ARG(suppress_word(row->why)), SLICE_ARG(reason),
               SLICE_ARG(desk_time(desk, row->since)));
        if (row->brand_id)
            printf("  brand %llu", (unsigned long long)row->brand_id);
        if (row->expires)
            printf("  until %.*s", SLICE_ARG(desk_time(desk, row->expires)));
        puts("");
        return;
    }
    SCOPED(buf) out = BUF(8192);
    SCOPED(buf) since = BUF(64);
    struct json json = {&out};
    time_rfc3339(&since, row->since);
    json_object_begin(&json);
    json_put_string(&json, "address", row->address);
    json_put_bool(&json, "excluded", true);
    json_put_string(&json, "why", suppress_word(row->why));
    json_put_string(&json, "reason", reason);
    json_put_string(&json, "since", buf_slice(&since));
    json_put_int(&json, "count", row->count);
    json_put_string(&json, "brand",
                    row->brand_id ? arena_printf(&desk->arena, "%llu", (unsigned long long)row->brand_id) : SLICE(""));
    json_put_string(&json, "event",
                    row->event_id ? arena_printf(&desk->arena, "%llu", (unsigned long long)row->event_id) : SLICE(""));
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static bool check(struct desk *desk, const struct suppress_arguments *given, bool *any, struct fault *why)
{
    for (int i = 1; i < given->words.word_count; i++) {
        struct slice identity;
        struct suppression found;
        bool is_suppressed;
        if (!desk_identity(desk, given->words.words[i], &identity, why) ||
            !suppress_check(desk->reader, why, identity, given->brand_id, SLICE(""), world_wall(&desk->world),
                            &is_suppressed, &desk->arena, &found))
            return false;
        *any |= is_suppressed;
        if (is_suppressed)
            print_row(desk, &found, given->is_json);
        else if (given->is_json) {
            SCOPED(buf) out = BUF(4096);
            struct json json = {&out};
            json_object_begin(&json);
            json_put_string(&json, "address", identity);
            json_put_bool(&json, "excluded", false);
            json_end(&json);
            printf("%.*s\n", (int)out.len, out.ptr);
        } else
            printf("%.*s  not excluded\n", SLICE_ARG(identity));
    }
    return true;
}

static bool list(struct desk *desk, const struct suppress_arguments *given, struct fault *why)
{
    int64_t limit = 1000;
    if (given->limit && (!slice_to_i64(slice_str(given->limit), &limit) || limit < 1))
        return fault_set(why, FAULT_INPUT, "--limit %s: a number from 1 on", given->limit);
    struct suppress_filter filter = {.by_why = given->why != NULL,
                                     .why = given->word,
                                     .brand_id = given->brand_id,
                                     .text = slice_str(given->search)};
    struct suppress_page page = {.has_more = true};
    while (limit > 0 && page.has_more) {
        if (!suppress_list(desk->reader, why, &filter, limit < 1000 ? (size_t)limit : 1000, &desk->arena, &page))
            return false;
        for (size_t i = 0; i < page.count; i++)
            print_row(desk, &page.rows[i], given->is_json);
        limit -= (int64_t)page.count;
        if (!page.count)
            break;
        filter.before = page.rows[page.count - 1].since;
        filter.before_address = page.rows[page.count - 1].address;
        filter.before_brand = page.rows[page.count - 1].brand_id;
    }
    if (page.has_more && !given->is_json)
        puts("... there are more: --limit");
    return true;
}

static bool run(struct desk *desk, struct suppress_arguments *given, bool *any_excluded, struct fault *why)
{
    const char *verb = given->words.words[0];
    given->word = SUPPRESS_BY_HAND;
    if (given->why && (!suppress_of(slice_str(given->why), &given->word) ||
                       (given->word == SUPPRESS_ERROR && strcmp(verb, "add") == 0)))
        return fault_set(why, FAULT_INPUT, "--why %s: by_hand, unsubscribed, complaint or cleaning%s", given->why,
                         strcmp(verb, "list") == 0 ? ", or error" : "");
    if (given->brand && !desk_brand(desk, given->brand, &given->brand_id, why))
        return false;
    if (strcmp(verb, "list") == 0)
        return list(desk, given, why);
    if (strcmp(verb, "check") == 0)
        return check(desk, given, any_excluded, why);
    struct suppress_change change = {.desk = desk, .given = given, .adds = strcmp(verb, "add") == 0};
    if (!store_change(desk->store, change_run, &change, why))
        return false;
    printf("%d %s, %d %s\n", change.changed, change.adds ? "excluded" : "no longer excluded",
           given->words.word_count - 1 - change.changed, change.adds ? "were so already" : "were not");
    return true;
}

int cmd_suppress(int argc, char **argv)
{
    struct suppress_arguments given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},
        {"--why", &given.why, NULL},
        {"--brand", &given.brand, NULL},
        {"--search", &given.search, NULL},
        {"--limit", &given.limit, NULL},
        {"--json", NULL, &given.is_json},
        {NULL, NULL, NULL},
    };
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &given.words, &why))
        return command_fail("suppress", &why);
    const char *verb = given.words.word_count ? given.words.words[0] : "";
    bool is_list = strcmp(verb, "list") == 0 && given.words.word_count == 1;
    bool is_one = (strcmp(verb, "add") == 0 || strcmp(verb, "remove") == 0 || strcmp(verb, "check") == 0) &&
                  given.words.word_count >= 2;
    if (given.words.wants_help || (!is_list && !is_one))
        return usage_tell("suppress", usage, &given.words);
    SCOPED(desk) desk;
    bool any_excluded = false;
    bool ok = desk_open(&desk, given.store, &why) && run(&desk, &given, &any_excluded, &why);
    if (!ok)
        return command_fail("suppress", &why);
    return any_excluded ? 1 : 0;
}
