/* cmd_contact.c - `todoke contact`: import people from CSV, look them up, export them */
#include "app/arguments.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"

#include "audience/csv.h"
#include "audience/import.h"
#include "audience/optin.h"
#include "base/json.h"
#include "mime/charset.h"
#include "suppress/suppress.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static const char usage[] = "usage: todoke contact import FILE --list NAME [--brand B] [--encoding auto] "
                            "[--email-column NAME] [--consent TEXT]\n"
                            "                             [--rejects FILE] [--check] [--json]\n"
                            "       todoke contact list [--list NAME] [--search TEXT] [--limit N] [--json]\n"
                            "       todoke contact show ADDRESS [--json]\n"
                            "       todoke contact export [--list NAME] [--encoding utf-8|cp932]     CSV on stdout\n"
                            "\n"
                            "import reads CSV as Excel and others write it (encodings and delimiters are detected; "
                            "columns are found by their names,\n"
                            "such as メールアドレス, email, 氏名, name; the others become fields). A file that is "
                            "broken changes nothing; rows that are\n"
                            "no people go to FILE.rejected.csv with their line and why. --check only looks. The same "
                            "command goes on after a crash.\n"
                            "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

struct contact_arguments {
    const char *store, *list, *brand, *encoding, *email_column, *consent, *rejects, *search, *limit;
    bool is_json, checks_only;
    struct arguments words;
};

/* ── import ── */

static void print_progress(void *context, const struct import_progress *progress)
{
    (void)context;
    fprintf(stderr, "\r%llu of %llu rows, %llu rejected ", (unsigned long long)progress->rows,
            (unsigned long long)progress->total, (unsigned long long)progress->rejected);
}

static void print_import_json(struct desk *desk, const struct import_result *result)
{
    const struct import_progress *progress = &result->progress;
    SCOPED(buf) out = BUF(1 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "list", arena_printf(&desk->arena, "%llu", (unsigned long long)result->list_id));
    json_put_string(&json, "encoding", result->encoding);
    json_put_string(&json, "delimiter", slice_of(&result->delimiter, 1));
    json_put_int(&json, "rows", (int64_t)progress->total);
    json_put_int(&json, "new", (int64_t)progress->fresh);
    json_put_int(&json, "updated", (int64_t)progress->updated);
    json_put_int(&json, "rejected", (int64_t)progress->rejected);
    json_put_int(&json, "resumed_at", (int64_t)result->resumed_at);
    json_put_string(&json, "rejects", result->reject_path);
    json_put_array(&json, "first_rejects");
    for (size_t i = 0; i < IMPORT_REJECTS_SHOWN && result->rejects[i].line; i++) {
        json_object_begin(&json);
        json_put_int(&json, "line", (int64_t)result->rejects[i].line);
        json_put_string(&json, "reason", result->rejects[i].reason);
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static void print_column(const struct import_result *result, int index, const char *is)
{
    if (index >= 0)
        printf("  %-12s column %d, \"%.*s\"\n", is, index + 1, SLICE_ARG(result->headers[index]));
}

static void print_import(const struct contact_arguments *given, const struct import_result *result)
{
    const struct import_progress *progress = &result->progress;
    const struct import_columns *columns = &result->columns;
    printf("%s: %.*s, %llu rows\n", given->words.words[1], SLICE_ARG(result->encoding),
           (unsigned long long)progress->total);
    print_column(result, columns->email, "address");
    print_column(result, columns->name, "name");
    print_column(result, columns->family_name, "family name");
    print_column(result, columns->given_name, "given name");
    print_column(result, columns->consent, "consent");
    if (result->resumed_at)
        printf("went on after %llu rows that an earlier run had done\n", (unsigned long long)result->resumed_at);
    if (given->checks_only)
        printf("%llu are people, %llu would be rejected; nothing was written\n", (unsigned long long)progress->fresh,
               (unsigned long long)progress->rejected);
    else
        printf("%llu new, %llu updated, %llu rejected\n", (unsigned long long)progress->fresh,
               (unsigned long long)progress->updated, (unsigned long long)progress->rejected);
    for (size_t i = 0; i < IMPORT_REJECTS_SHOWN && result->rejects[i].line; i++)
        printf("  line %llu: %.*s\n", (unsigned long long)result->rejects[i].line,
               SLICE_ARG(result->rejects[i].reason));
    if (result->reject_path.len)
        printf("all rejected rows: %.*s\n", SLICE_ARG(result->reject_path));
}

static bool import(struct desk *desk, const struct contact_arguments *given, struct fault *why)
{
    struct import_result result;
    struct import_options options = {.path = given->words.words[1],
                                     .encoding = slice_str(given->encoding),
                                     .email_column = slice_str(given->email_column),
                                     .list_name = slice_str(given->list),
                                     .consent = slice_str(given->consent),
                                     .reject_path = given->rejects,
                                     .now = world_wall(&desk->world),
                                     .checks_only = given->checks_only,
                                     .progress = isatty(STDERR_FILENO) ? print_progress : NULL};
    if (!given->list && !given->checks_only)
        return fault_set(why, FAULT_INPUT, "say into which list with --list NAME (it is made when there is none)");
    if (!given->checks_only && !desk_brand(desk, given->brand, &options.brand_id, why))
        return false;
    bool ok = import_file(desk->store, &options, &desk->arena, &result, why);
    if (options.progress)
        fputs("\r\x1b[K", stderr);
    if (!ok)
        return false;
    if (given->is_json)
        print_import_json(desk, &result);
    else
        print_import(given, &result);
    return true;
}

/* ── looking ── */

static void print_contact_json(struct desk *desk, const struct contact *contact, const struct suppression *suppression)
{
    SCOPED(buf) out = BUF(1 << 17);
    SCOPED(buf) created = BUF(64);
    struct json json = {&out};
    time_rfc3339(&created, contact->created);
    json_object_begin(&json);
    json_put_string(&json, "id", arena_printf(&desk->arena, "%llu", (unsigned long long)contact->id));
    json_put_string(&json, "brand_id",
                    contact->brand_id ? arena_printf(&desk->arena, "%llu", (unsigned long long)contact->brand_id)
                                      : SLICE(""));
    json_put_string(&json, "address", contact->address);
    json_put_string(&json, "written", contact->written);
    json_put_string(&json, "name", contact->name);
    json_key(&json, "fields");
    json_raw(&json, contact->fields);
    json_put_string(&json, "consent", contact->consent);
    json_put_string(&json, "created", buf_slice(&created));
    json_put_bool(&json, "rfc_violation", contact->has_rfc_violation);
    json_put_bool(&json, "unconfirmed", contact->is_unconfirmed);
    if (suppression) {
        bool is_out = suppression->since != 0;
        json_put_bool(&json, "excluded", is_out);
        json_put_string(&json, "why", is_out ? suppress_word(suppression->why) : SLICE(""));
        json_put_string(&json, "reason",
                        is_out && suppression->why == SUPPRESS_ERROR ? reason_word(suppression->reason) : SLICE(""));
    }
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static bool chosen_list(struct desk *desk, const struct contact_arguments *given, uint64_t *list_id, struct fault *why)
{
    struct list list = {0};
    *list_id = 0;
    if (!given->list)
        return true;
    if (!list_find(desk->reader, why, slice_str(given->list), &desk->arena, &list))
        return false;
    *list_id = list.id;
    return true;
}

static bool list_contacts(struct desk *desk, const struct contact_arguments *given, struct fault *why)
{
    int64_t limit = 100;
    uint64_t list_id, before = 0;
    if (given->limit && (!slice_to_i64(slice_str(given->limit), &limit) || limit < 1))
        return fault_set(why, FAULT_INPUT, "--limit %s: a number from 1 on", given->limit);
    if (!chosen_list(desk, given, &list_id, why))
        return false;
    struct contact_page page = {.has_more = true};
    while (limit > 0 && page.has_more) {
        struct arena arena = {0};
        bool ok = contact_search(desk->reader, why, list_id, slice_str(given->search), before,
                                 limit < 500 ? (size_t)limit : 500, &arena, &page);
        for (size_t i = 0; ok && i < page.count; i++) {
            const struct contact *contact = &page.contacts[i];
            before = contact->id;
            if (given->is_json) {
                print_contact_json(desk, contact, NULL);
                continue;
            }
            desk_cell(contact->address, 44);
            printf("  ");
            desk_cell(contact->name, 24);
            printf("  %.*s\n", SLICE_ARG(desk_time(desk, contact->created)));
        }
        limit -= (int64_t)page.count;
        arena_release(&arena);
        if (!ok)
            return false;
    }
    if (page.has_more && !given->is_json)
        puts("... there are more: --limit");
    return true;
}

static bool show_lists(struct desk *desk, const struct contact *contact, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(
            desk->reader, why, &rows,
            "SELECT l.name FROM list_member m JOIN list l ON l.id = m.list_id WHERE m.bucket = $1 AND m.contact_id "
            "= $2 ORDER BY l.name",
            VALUES(V_INT(contact->bucket), V_INT((int64_t)contact->id))))
        return false;
    while (rows_next(&rows))
        printf("list       %.*s\n", SLICE_ARG(rows_text(&rows, 0)));
    return rows_end(&rows);
}

/* The proof of the consent (L2). */
static bool show_optins(struct desk *desk, const struct contact *contact, struct fault *why)
{
    struct optin *optins;
    size_t count;
    if (!optin_list(desk->reader, why, contact->address, &desk->arena, &optins, &count))
        return false;
    if (contact->is_unconfirmed)
        puts("state      unconfirmed: no campaign reaches it");
    for (size_t i = 0; i < count; i++) {
        const struct optin *one = &optins[i];
        printf("asked      \"%.*s\" (%.*s), %.*s from %.*s with %.*s\n", SLICE_ARG(one->title), SLICE_ARG(one->source),
               SLICE_ARG(desk_time(desk, one->asked)), SLICE_ARG(one->asked_from.ip), SLICE_ARG(one->asked_from.agent));
        if (one->confirmed)
            printf("confirmed  %.*s from %.*s with %.*s\n", SLICE_ARG(desk_time(desk, one->confirmed)),
                   SLICE_ARG(one->confirmed_from.ip), SLICE_ARG(one->confirmed_from.agent));
        if (one->notice.len)
            printf("shown      %.*s\n", SLICE_ARG(one->notice));
    }
    return true;
}

static bool show_one(struct desk *desk, const struct contact *contact, struct fault *why)
{
    printf("address    %.*s\nname       %.*s\nsince      %.*s\nconsent    %.*s\nfields     %.*s\n",
           SLICE_ARG(contact->written), SLICE_ARG(contact->name), SLICE_ARG(desk_time(desk, contact->created)),
           SLICE_ARG(contact->consent), SLICE_ARG(contact->fields));
    if (contact->brand_id)
        printf("known to   brand %llu only, by a program of its own\n", (unsigned long long)contact->brand_id);
    return show_lists(desk, contact, why);
}

static bool show(struct desk *desk, const struct contact_arguments *given, struct fault *why)
{
    struct slice identity;
    struct contact *contacts;
    struct suppression suppression = {0};
    size_t count;
    bool is_suppressed;
    int strikes;
    if (!desk_identity(desk, given->words.words[1], &identity, why) ||
        !contact_everywhere(desk->reader, why, identity, &desk->arena, &contacts, &count))
        return false;
    if (!count)
        return fault_set(why, FAULT_INPUT, "%.*s is no contact", SLICE_ARG(identity));
    if (!suppress_check(desk->reader, why, identity, 0, SLICE(""), world_wall(&desk->world), &is_suppressed,
                        &desk->arena, &suppression) ||
        !strike_get(desk->reader, why, identity, &strikes))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (given->is_json)
            print_contact_json(desk, &contacts[i], &suppression);
        else if (!show_one(desk, &contacts[i], why))
            return false;
    }
    if (given->is_json)
        return true;
    if (is_suppressed)
        printf("excluded   %.*s %.*s, since %.*s\n", SLICE_ARG(suppress_word(suppression.why)),
               SLICE_ARG(suppression.why == SUPPRESS_ERROR ? reason_word(suppression.reason) : SLICE("")),
               SLICE_ARG(desk_time(desk, suppression.since)));
    else
        printf("excluded   no%s\n", strikes ? "" : ", and no errors in a row");
    if (strikes)
        printf("errors     %d counted in a row (`todoke policy show` says when that excludes)\n", strikes);
    return show_optins(desk, &contacts[0], why);
}

/* ── export ── */

/* CP932 for old Excels: what it cannot write becomes "?". */
static void export_flush(struct buf *out, iconv_t converter)
{
    char *in = out->ptr;
    size_t in_left = out->len;
    while (converter != (iconv_t)-1 && in_left) {
        char bytes[8192], *to = bytes;
        size_t out_left = sizeof(bytes);
        size_t done = iconv(converter, &in, &in_left, &to, &out_left);
        fwrite(bytes, 1, sizeof(bytes) - out_left, stdout);
        if (done != (size_t)-1 || errno == E2BIG)
            continue;
        fputc('?', stdout);
        do { /* the whole character */
            in++;
            in_left--;
        } while (in_left && ((unsigned char)*in & 0xc0) == 0x80);
    }
    if (converter == (iconv_t)-1)
        fwrite(out->ptr, 1, out->len, stdout);
    buf_reset(out);
}

static bool export_rows(struct desk *desk, uint64_t list_id, struct buf *out, iconv_t converter, struct fault *why)
{
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        SCOPED(rows) rows = {0};
        if (!db_query(
                desk->reader, why, &rows,
                "SELECT c.written, c.name, c.consent, c.fields, COALESCE((SELECT s.why FROM suppression s WHERE "
                "s.bucket = c.bucket AND s.address = c.address AND (s.expires_ms = 0 OR s.expires_ms > $3) ORDER BY "
                "s.brand_id, s.topic LIMIT 1), '') FROM contact c WHERE c.bucket = $1 AND c.moved_to = 0 AND ($2 = 0 "
                "OR EXISTS (SELECT 1 FROM list_member m WHERE m.bucket = c.bucket AND m.list_id = $2 AND "
                "m.contact_id = c.id)) ORDER BY c.id",
                VALUES(V_INT(bucket), V_INT((int64_t)list_id), V_INT(world_wall(&desk->world)))))
            return false;
        while (rows_next(&rows)) {
            for (int i = 0; i < 5; i++) {
                buf_str(out, i ? "," : "");
                csv_put(out, rows_text(&rows, i));
            }
            buf_text(out, "\r\n");
            if (out->len > 1 << 16)
                export_flush(out, converter);
        }
        if (!rows_end(&rows))
            return false;
    }
    export_flush(out, converter);
    return true;
}

static bool export(struct desk *desk, const struct contact_arguments *given, struct fault *why)
{
    bool is_cp932 = given->encoding && slice_equal_caseless(slice_str(given->encoding), SLICE("cp932"));
    uint64_t list_id;
    if (given->encoding && !is_cp932 && !slice_equal_caseless(slice_str(given->encoding), SLICE("utf-8")))
        return fault_set(why, FAULT_INPUT, "--encoding %s: utf-8 or cp932", given->encoding);
    if (!chosen_list(desk, given, &list_id, why))
        return false;
    iconv_t converter = is_cp932 ? charset_converter("CP932", "UTF-8") : (iconv_t)-1;
    SCOPED(buf) out = BUF(8 << 20);
    buf_str(&out, is_cp932 ? "" : "\xef\xbb\xbf");
    buf_text(&out, "email,name,consent,fields,excluded\r\n");
    bool ok = export_rows(desk, list_id, &out, converter, why);
    if (converter != (iconv_t)-1)
        iconv_close(converter);
    if (ok && fflush(stdout) != 0)
        return fault_errno(why, "stdout");
    return ok;
}

/* ── the command ── */

static const struct verb {
    const char *name;
    int words;
    bool (*run)(struct desk *desk, const struct contact_arguments *given, struct fault *why);
} verbs[] = {{"import", 2, import}, {"list", 1, list_contacts}, {"show", 2, show}, {"export", 1, export}};

static const struct verb *verb_of(const struct arguments *words)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (words->word_count == verbs[i].words && strcmp(words->words[0], verbs[i].name) == 0)
            return &verbs[i];
    return NULL;
}

int cmd_contact(int argc, char **argv)
{
    struct contact_arguments given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},
        {"--list", &given.list, NULL},
        {"--brand", &given.brand, NULL},
        {"--encoding", &given.encoding, NULL},
        {"--email-column", &given.email_column, NULL},
        {"--consent", &given.consent, NULL},
        {"--rejects", &given.rejects, NULL},
        {"--search", &given.search, NULL},
        {"--limit", &given.limit, NULL},
        {"--json", NULL, &given.is_json},
        {"--check", NULL, &given.checks_only},
        {NULL, NULL, NULL},
    };
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &given.words, &why))
        return command_fail("contact", &why);
    const struct verb *verb = verb_of(&given.words);
    if (given.words.wants_help || !verb)
        return usage_tell("contact", usage, &given.words);
    SCOPED(desk) desk = {0};
    bool needs_store = !(verb->run == import && given.checks_only);
    if (!needs_store)
        world_init(&desk.world, NETWORK_LOOPBACK);
    bool ok = (!needs_store || desk_open(&desk, given.store, &why)) && verb->run(&desk, &given, &why);
    return ok ? 0 : command_fail("contact", &why);
}
