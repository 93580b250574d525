/* cmd_tls.c - todoke tls: rules about TLS to receivers; todoke tlsrpt: how it went, as reports have it (RFC 8460) */
#include "alarm/alarm.h"
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/site_name.h"
#include "app/usage.h"
#include "base/json.h"
#include "deliver/tls_count.h"
#include "deliver/tls_seen.h"
#include "dns/resolver.h"
#include "report/tls_report.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke tls rule set domain|site|brand NAME opportunistic|seen|required|verified [--config FILE | --sites "
    "FOLDER]\n"
    "       todoke tls rule set waiver BRAND forbidden\n"
    "       todoke tls rule remove domain|site|brand|waiver NAME\n"
    "       todoke tls rules [--json]\n"
    "       todoke tls seen [--json]\n"
    "       todoke tls forget HOST\n"
    "\n"
    "What a connection to a receiver must be, beside what the receiver itself says by DANE and MTA-STS:\n"
    "  opportunistic  TLS when it is offered, any certificate, clear text otherwise (the default)\n"
    "  seen           the same, until a host was met in TLS: then TLS always for 30 days (setting tls.remember), any\n"
    "                 certificate, so that nobody in between can take STARTTLS out of a conversation\n"
    "  required       TLS always, any certificate; otherwise the mail waits\n"
    "  verified       TLS with a certificate for the host's name; otherwise the mail waits\n"
    "A mail that says TLS-Required: No (RFC 8689) goes whatever the receiver says, but not against such a rule; with "
    "a\n"
    "brand's waiver forbidden it goes as any other mail does.\n"
    "A domain's rule stands before its site's (`google`, `yahoojp`, ...); of that and the brand's the stricter one\n"
    "holds. A running server follows within a few seconds. A site is one of data/sites, or of your own folder of them\n"
    "(--sites; default: the setting sites.folder of the server's settings), or what an MX host without a file is "
    "called:\n"
    "its name.\n"
    "seen lists the MX hosts that were met in TLS where that rule holds; forget HOST when one has really given TLS "
    "up.\n"
    "  --config FILE  the server's settings; default: $TODOKE_CONFIG, or /etc/todoke/todoke.yaml when it is there\n"
    "  --store URL  default: $TODOKE_STORE, the server's settings, ./todoke.db\n";

struct rule_change {
    const char *kind;
    struct slice name, rule; /* rule empty: take it away */
    time_ms now;
    int64_t changed;
};

static bool rule_run(struct db *db, struct fault *why, void *context)
{
    struct rule_change *change = context;
    if (!change->rule.len)
        return db_do(db, why, "DELETE FROM tls_rule WHERE kind = $1 AND name = $2",
                     VALUES(V_STR(change->kind), V_TEXT(change->name)), &change->changed);
    return db_do(
        db, why,
        "INSERT INTO tls_rule (kind, name, rule, since_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (kind, name) DO "
        "UPDATE SET rule = excluded.rule, since_ms = excluded.since_ms",
        VALUES(V_STR(change->kind), V_TEXT(change->name), V_TEXT(change->rule), V_INT(change->now)), &change->changed);
}

/* The name as the engine looks it up. */
static bool rule_name(struct desk *desk, const char *kind, const char *given, struct slice *name, struct fault *why)
{
    char normal[DNS_NAME_ROOM];
    uint64_t brand;
    if (strcmp(kind, "brand") == 0 || strcmp(kind, "waiver") == 0) {
        if (!desk_brand(desk, given, &brand, why))
            return false;
        *name = arena_printf(&desk->arena, "%llu", (unsigned long long)brand);
    } else if (strcmp(kind, "domain") == 0) {
        if (!dns_name_normalise(slice_str(given), normal) || !normal[0])
            return fault_set(why, FAULT_INPUT, "\"%.100s\" is no domain", given);
        *name = arena_copy(&desk->arena, slice_str(normal));
    } else if (strcmp(kind, "site") == 0) {
        bool is_host = strchr(given, '.') && dns_name_normalise(slice_str(given), normal) && normal[0];
        *name = is_host ? arena_copy(&desk->arena, slice_str(normal)) : slice_str(given);
    } else {
        return fault_set(why, FAULT_INPUT, "\"%.40s\" is none of domain, site, brand, waiver", kind);
    }
    return true;
}

static bool rule_set(struct desk *desk, const struct arguments *words, const char *folder, const char *settings,
                     struct fault *why)
{
    bool is_set = strcmp(words->words[1], "set") == 0;
    enum tls_rule rule = TLS_RULE_OPPORTUNISTIC;
    struct rule_change change = {.kind = words->words[2], .now = world_wall(&desk->world)};
    bool is_waiver = strcmp(change.kind, "waiver") == 0;
    if (is_set && is_waiver && strcmp(words->words[4], "forbidden") != 0)
        return fault_set(why, FAULT_INPUT, "a waiver is forbidden or not there: todoke tls rule remove waiver %.100s",
                         words->words[3]);
    if (is_set && !is_waiver && !tls_rule_of(slice_str(words->words[4]), &rule))
        return fault_set(why, FAULT_INPUT, "\"%.40s\" is none of opportunistic, seen, required, verified",
                         words->words[4]);
    if (!rule_name(desk, change.kind, words->words[3], &change.name, why) ||
        (is_set && strcmp(change.kind, "site") == 0 &&
         !site_name_check(change.name, folder, settings, "todoke tls rule set domain", why)))
        return false;
    if (is_set)
        change.rule = is_waiver ? SLICE("forbidden") : tls_rule_word(rule);
    if (!store_change(desk->store, rule_run, &change, why))
        return false;
    if (!change.changed)
        return fault_set(why, FAULT_INPUT, "there is no rule for %s %s", change.kind, words->words[3]);
    printf("%s %s: %s\n", change.kind, words->words[3], is_set ? words->words[4] : "no rule any more");
    if (is_set && strcmp(change.kind, "site") == 0 && slice_find_byte(change.name, '.') != SLICE_NPOS)
        printf("it holds for the MX host of that name; for a receiver's domain: todoke tls rule set domain %s\n",
               words->words[3]);
    return true;
}

static bool rules_list(struct desk *desk, bool is_json, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(desk->reader, why, &rows,
                  "SELECT t.kind, COALESCE(b.name, t.name), t.rule FROM tls_rule t LEFT JOIN brand b ON t.kind IN "
                  "('brand', 'waiver') AND CAST(b.id AS TEXT) = t.name ORDER BY t.kind, 2",
                  NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        SCOPED(buf) line = BUF(4096);
        struct json json = {&line};
        if (!is_json) {
            printf("%-7.*s %-40.*s %.*s\n", SLICE_ARG(rows_text(&rows, 0)), SLICE_ARG(rows_text(&rows, 1)),
                   SLICE_ARG(rows_text(&rows, 2)));
            continue;
        }
        json_object_begin(&json);
        json_put_string(&json, "kind", rows_text(&rows, 0));
        json_put_string(&json, "name", rows_text(&rows, 1));
        json_put_string(&json, "rule", rows_text(&rows, 2));
        json_end(&json);
        printf("%s\n", buf_cstr(&line));
    }
    return rows_end(&rows);
}

static bool seen_list(struct desk *desk, bool is_json, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(desk->reader, why, &rows, "SELECT host, seen_ms FROM tls_seen ORDER BY host", NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        SCOPED(buf) line = BUF(4096);
        struct json json = {&line};
        if (!is_json) {
            printf("%-50.*s %.*s\n", SLICE_ARG(rows_text(&rows, 0)), SLICE_ARG(desk_time(desk, rows_int(&rows, 1))));
            continue;
        }
        json_object_begin(&json);
        json_put_string(&json, "host", rows_text(&rows, 0));
        json_put_time(&json, "seen_at", rows_int(&rows, 1));
        json_end(&json);
        printf("%s\n", buf_cstr(&line));
    }
    return rows_end(&rows);
}

struct forgetting {
    struct slice host;
    time_ms now;
    int64_t changed;
};
static bool forget_run(struct db *db, struct fault *why, void *context)
{
    struct forgetting *forgetting = context;
    return tls_seen_forget(db, why, forgetting->host, forgetting->now, &forgetting->changed) &&
           alarm_end(db, why, ALARM_TLS_GONE, forgetting->host, forgetting->now);
}

static bool seen_forget(struct desk *desk, const char *host, struct fault *why)
{
    char normal[DNS_NAME_ROOM];
    if (!dns_name_normalise(slice_str(host), normal) || !normal[0])
        return fault_set(why, FAULT_INPUT, "\"%.100s\" is no host's name", host);
    struct forgetting forgetting = {.host = slice_str(normal), .now = world_wall(&desk->world)};
    if (!store_change(desk->store, forget_run, &forgetting, why))
        return false;
    if (!forgetting.changed)
        return fault_set(why, FAULT_INPUT, "%s was not met in TLS where the rule seen holds", normal);
    printf("%s: forgotten; mail may go there in clear again\n", normal);
    return true;
}

int cmd_tls(int argc, char **argv)
{
    const char *store = NULL, *folder = NULL, *settings = NULL;
    bool is_json = false;
    const struct argument table[] = {{"--store", &store, NULL},
                                     {"--sites", &folder, NULL},
                                     {"--config", &settings, NULL},
                                     {"--json", NULL, &is_json},
                                     {NULL, NULL, NULL}};
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("tls", &why);
    bool is_list = words.word_count == 1 && strcmp(words.words[0], "rules") == 0;
    bool is_rule = words.word_count >= 4 && strcmp(words.words[0], "rule") == 0;
    bool is_set = is_rule && words.word_count == 5 && strcmp(words.words[1], "set") == 0;
    bool is_remove = is_rule && words.word_count == 4 && strcmp(words.words[1], "remove") == 0;
    bool is_seen = words.word_count == 1 && strcmp(words.words[0], "seen") == 0;
    bool is_forget = words.word_count == 2 && strcmp(words.words[0], "forget") == 0;
    if (words.wants_help || (!is_list && !is_set && !is_remove && !is_seen && !is_forget))
        return usage_tell("tls", usage, &words);
    SCOPED(desk) desk;
    bool ok = desk_open(&desk, store, &why) && (is_list     ? rules_list(&desk, is_json, &why)
                                                : is_seen   ? seen_list(&desk, is_json, &why)
                                                : is_forget ? seen_forget(&desk, words.words[1], &why)
                                                            : rule_set(&desk, &words, folder, settings, &why));
    return ok ? 0 : command_fail("tls", &why);
}

/* ── reports ── */

static const char report_usage[] =
    "usage: todoke tlsrpt show DAY [--domain DOMAIN] [--organization NAME] [--contact ADDRESS] [--json]\n"
    "       todoke tlsrpt sent [--json]\n"
    "\n"
    "How TLS to receivers went on that day (UTC, as in 2026-11-22): one report for each policy domain, one a line, in "
    "the\n"
    "JSON of RFC 8460. sent: the reports of the last days that went to receivers who ask for them (setting "
    "tlsrpt.from), or why "
    "they did not.\n"
    "Days are kept until they are deleted with the rest of the statistics.\n"
    "  --store URL  default: $TODOKE_STORE, the server's settings, ./todoke.db\n";

static bool print_report(void *context, struct slice domain, struct slice json, struct fault *why)
{
    (void)context, (void)domain, (void)why;
    printf("%.*s\n", SLICE_ARG(json));
    return true;
}

static bool sent_list(struct desk *desk, bool is_json, struct fault *why)
{
    enum { SHOWN_MOST = 1000 };
    struct tls_report_row *rows;
    size_t count;
    if (!tls_report_list(desk->reader, why, SHOWN_MOST, &desk->arena, &rows, &count))
        return false;
    if (!count && !is_json)
        puts("nothing was to be reported in the last days");
    for (size_t i = 0; i < count; i++) {
        SCOPED(buf) line = BUF(16384);
        struct json json = {&line};
        if (!is_json) {
            printf("%.*s  %-30.*s  %.*s  %.*s  %.*s%s%.*s\n", SLICE_ARG(rows[i].day), SLICE_ARG(rows[i].domain),
                   SLICE_ARG(desk_time(desk, rows[i].at)), SLICE_ARG(rows[i].state), SLICE_ARG(rows[i].rua),
                   rows[i].why.len ? ": " : "", SLICE_ARG(rows[i].why));
            continue;
        }
        json_object_begin(&json);
        json_put_string(&json, "day", rows[i].day);
        json_put_string(&json, "domain", rows[i].domain);
        json_put_string(&json, "rua", rows[i].rua);
        json_put_string(&json, "state", rows[i].state);
        json_put_int(&json, "attempts", rows[i].attempts);
        json_put_time(&json, "at", rows[i].at);
        json_put_string(&json, "why", rows[i].why);
        json_end(&json);
        printf("%s\n", buf_cstr(&line));
    }
    return true;
}

int cmd_tlsrpt(int argc, char **argv)
{
    const char *store = NULL, *domain = "", *organization = "Todoke", *contact = "";
    bool is_json = false;
    const struct argument table[] = {{"--store", &store, NULL},     {"--domain", &domain, NULL},
                                     {"--contact", &contact, NULL}, {"--organization", &organization, NULL},
                                     {"--json", NULL, &is_json},    {NULL, NULL, NULL}};
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("tlsrpt", &why);
    bool is_sent = words.word_count == 1 && strcmp(words.words[0], "sent") == 0;
    if (words.wants_help || (!is_sent && (words.word_count != 2 || strcmp(words.words[0], "show") != 0)))
        return usage_tell("tlsrpt", report_usage, &words);
    const struct tls_report_from from = {slice_str(organization), slice_str(contact),
                                         slice_str(is_sent ? "" : words.words[1])};
    SCOPED(desk) desk;
    bool ok = desk_open(&desk, store, &why) &&
              (is_sent ? sent_list(&desk, is_json, &why)
                       : tls_report_json(desk.reader, &why, &from, slice_str(domain), print_report, NULL));
    return ok ? 0 : command_fail("tlsrpt", &why);
}
