/* cmd_inbound.c - `todoke inbound`: mail that came in from strangers, and what was put aside */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"
#include "base/json.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke inbound list [--state new|read|put_aside] [--limit N] [--json]   newest first\n"
    "       todoke inbound show ID            the mail as it came, to stdout\n"
    "       todoke inbound again ID|all       what was put aside is read once more by the server\n"
    "\n"
    "A mail is put aside when its reader died of it, or when what it means cannot be written; the others never wait "
    "for it.\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

static const struct slice states[] = {SLICE_INIT("new"), SLICE_INIT("read"), SLICE_INIT("put_aside")};

struct given {
    const char *store, *state, *limit;
    bool is_json;
    struct arguments words;
};

static void print_row(struct desk *desk, const struct rows *rows, bool is_json)
{
    static const char *const keys[] = {"from", "to", "peer", "spf", "dkim", "dmarc", "why"};
    int64_t state = rows_int(rows, 2);
    struct slice word = state >= 0 && state < (int64_t)COUNT_OF(states) ? states[state] : SLICE("");
    if (!is_json) {
        printf("%-20lld %.*s  %-9.*s %8lld  ", (long long)rows_int(rows, 0),
               SLICE_ARG(desk_time(desk, rows_int(rows, 1))), SLICE_ARG(word), (long long)rows_int(rows, 3));
        desk_cell(rows_text(rows, 4).len ? rows_text(rows, 4) : SLICE("<>"), 32);
        printf(" ");
        desk_cell(rows_text(rows, 6), 28);
        printf(" dkim=%.*s spf=%.*s%s%.*s\n", SLICE_ARG(rows_text(rows, 8)), SLICE_ARG(rows_text(rows, 7)),
               rows_text(rows, 10).len ? "  ! " : "", SLICE_ARG(rows_text(rows, 10)));
        return;
    }
    SCOPED(buf) out = BUF(65536);
    SCOPED(buf) at = BUF(64);
    struct json json = {&out};
    time_rfc3339(&at, rows_int(rows, 1));
    json_object_begin(&json);
    json_put_string(&json, "id", arena_printf(&desk->arena, "%lld", (long long)rows_int(rows, 0)));
    json_put_string(&json, "at", buf_slice(&at));
    json_put_string(&json, "state", word);
    json_put_int(&json, "octets", rows_int(rows, 3));
    for (int i = 0; i < (int)COUNT_OF(keys); i++) {
        json_key_slice(&json, slice_str(keys[i]));
        json_text(&json, rows_text(rows, 4 + i));
    }
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static bool list(struct desk *desk, const struct given *given, struct fault *why)
{
    int64_t limit = 100, state = -1;
    if (given->limit && (!slice_to_i64(slice_str(given->limit), &limit) || limit < 1))
        return fault_set(why, FAULT_INPUT, "--limit %s: a number from 1 on", given->limit);
    for (size_t i = 0; given->state && i < COUNT_OF(states); i++)
        if (slice_equal(slice_str(given->state), states[i]))
            state = (int64_t)i;
    if (given->state && state < 0)
        return fault_set(why, FAULT_INPUT, "--state %s: new, read or put_aside", given->state);
    SCOPED(rows) rows = {0};
    if (!db_query(desk->reader, why, &rows,
                  "SELECT id, at_ms, state, length(raw), mail_from, rcpt_to, peer, spf, dkim, dmarc, why FROM inbound "
                  "WHERE $1 < 0 OR state = $1 ORDER BY at_ms DESC, id DESC LIMIT $2",
                  VALUES(V_INT(state), V_INT(limit))))
        return false;
    while (rows_next(&rows))
        print_row(desk, &rows, given->is_json);
    return rows_end(&rows);
}

static bool id_of(const char *text, uint64_t *id, struct fault *why)
{
    return (slice_to_u64(slice_str(text), id) && *id <= INT64_MAX) ||
           fault_set(why, FAULT_INPUT, "%s is no id of a mail; `todoke inbound list` shows them", text);
}

static bool show(struct desk *desk, const char *text, struct fault *why)
{
    uint64_t id;
    SCOPED(rows) rows = {0};
    if (!id_of(text, &id, why) ||
        !db_query(desk->reader, why, &rows, "SELECT raw FROM inbound WHERE bucket = $1 AND id = $2",
                  VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows) && fault_set(why, FAULT_INPUT, "there is no received mail %s", text);
    struct slice raw = rows_bytes(&rows, 0);
    bool ok = !raw.len || fwrite(raw.ptr, 1, raw.len, stdout) == raw.len;
    return rows_end(&rows) && (ok || fault_errno(why, "stdout"));
}

struct again {
    uint64_t id; /* 0: all */
    int64_t count;
};
static bool again_run(struct db *db, struct fault *why, void *context)
{
    struct again *again = context;
    db_mark(db, STORE_MARK_INBOUND);
    return again->id
               ? db_do(db, why, "UPDATE inbound SET state = 0, why = '' WHERE bucket = $1 AND id = $2 AND state = 2",
                       VALUES(V_INT(id_bucket(again->id)), V_INT((int64_t)again->id)), &again->count)
               : db_do(db, why, "UPDATE inbound SET state = 0, why = '' WHERE state = 2", NO_VALUES, &again->count);
}

static bool read_again(struct desk *desk, const char *text, struct fault *why)
{
    struct again again = {0};
    if (strcmp(text, "all") != 0 && !id_of(text, &again.id, why))
        return false;
    if (!store_change(desk->store, again_run, &again, why))
        return false;
    if (again.id && !again.count)
        return fault_set(why, FAULT_INPUT, "received mail %s was not put aside", text);
    printf("%lld to be read again\n", (long long)again.count);
    return true;
}

int cmd_inbound(int argc, char **argv)
{
    struct given given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},
        {"--state", &given.state, NULL},
        {"--limit", &given.limit, NULL},
        {"--json", NULL, &given.is_json},
        {NULL, NULL, NULL},
    };
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &given.words, &why))
        return command_fail("inbound", &why);
    const char *verb = given.words.word_count ? given.words.words[0] : "";
    bool is_list = strcmp(verb, "list") == 0 && given.words.word_count == 1;
    bool is_show = strcmp(verb, "show") == 0 && given.words.word_count == 2;
    bool is_again = strcmp(verb, "again") == 0 && given.words.word_count == 2;
    if (given.words.wants_help || (!is_list && !is_show && !is_again))
        return usage_tell("inbound", usage, &given.words);
    SCOPED(desk) desk;
    bool ok = desk_look(&desk, given.store, &why) && (is_list   ? list(&desk, &given, &why)
                                                      : is_show ? show(&desk, given.words.words[1], &why)
                                                                : read_again(&desk, given.words.words[1], &why));
    return ok ? 0 : command_fail("inbound", &why);
}
