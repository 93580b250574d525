/* cmd_check.c - todoke check spf | dkim | dmarc | address */
#include "app/arguments.h"
#include "app/batch_row.h"
#include "app/check_address.h"
#include "app/command.h"
#include "app/names.h"
#include "app/usage.h"
#include "base/base64.h"
#include "base/file.h"
#include "mailauth/dkim_verify.h"
#include "mailauth/dmarc.h"
#include "mailauth/spf.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke check spf --ip ADDRESS --mail-from ADDRESS [--helo NAME] [--receiver NAME]\n"
    "       todoke check dkim FILE                 a mail with signatures; - is stdin\n"
    "       todoke check dmarc --from DOMAIN [--spf-domain DOMAIN,...] [--dkim-domain DOMAIN,...]   domains that "
    "passed\n"
    "       todoke check address ADDRESS           could it work, is it misspelt, is it a task's, for minutes; asks "
    "nobody\n"
    "\n"
    "       --dns FILE   answers from data instead of the network: {\"example.com\": {\"TXT\": [\"v=spf1 -all\"]}}\n"
    "       --now N      Unix seconds to take for the present\n"
    "       --json       for machines; --batch: JSON lines on stdin (keys are the options, message_b64, dns, now, id)\n"
    "\n"
    "Exit status: 0 pass or valid, 1 anything else, 2 wrong usage, 3 the DNS failed.\n";

/* What one check is asked, from options or from a batch line; and what came out, for the exit status. */
struct check {
    struct names *names;
    struct arena arena;
    struct address_book *book; /* of `check address` */
    struct slice ip, mail_from, helo, receiver, message, from, address;
    struct slice *spf_domains, *dkim_domains;
    size_t spf_count, dkim_count;
    int64_t now;
    bool is_pass, is_temporary;
};

typedef bool checker(struct check *check, struct json *json, struct fault *why);

static struct lookup lookup_of(struct check *check)
{
    return (struct lookup){.arena = &check->arena};
}

/* --- the checks: each writes its members --- */

static bool check_spf(struct check *check, struct json *json, struct fault *why)
{
    struct lookup lookup = lookup_of(check);
    struct spf_outcome outcome;
    struct spf_input input = {
        .mail_from = check->mail_from, .helo = check->helo, .receiver = check->receiver, .now_seconds = check->now};
    if (!spf_ip_parse(slice_trim(check->ip), &check->arena, &input.ip))
        return fault_set(why, FAULT_INPUT, "ip: \"%.*s\" is no IP address", SLICE_ARG(check->ip));
    if (!check->mail_from.len && !check->helo.len)
        return fault_set(why, FAULT_INPUT, "mail_from or helo is needed");
    while (!spf_check(&lookup, &input, &outcome))
        names_answer(check->names, &lookup);
    json_put_string(json, "result", spf_result_word(outcome.result));
    json_put_string(json, "reason", outcome.reason);
    json_put_string(json, "explanation", outcome.explanation);
    json_put_int(json, "lookups", outcome.lookups);
    json_put_int(json, "void_lookups", outcome.void_lookups);
    json_put_string(json, "domain", outcome.domain);
    json_put_string(json, "mechanism", outcome.mechanism);
    check->is_pass = outcome.result == SPF_PASS;
    check->is_temporary = outcome.result == SPF_TEMPERROR;
    return true;
}

static bool check_dkim(struct check *check, struct json *json, struct fault *why)
{
    struct lookup lookup = lookup_of(check);
    struct dkim_claims *claims = ARENA_NEW(&check->arena, struct dkim_claims);
    struct dkim_outcome outcomes[DKIM_CLAIMS_MAX];
    dkim_claims_read(check->message, check->now, claims);
    while (!dkim_verify(&lookup, claims, outcomes))
        names_answer(check->names, &lookup);
    enum dkim_result best = dkim_best(outcomes, claims->count);
    json_put_string(json, "result", dkim_result_word(best));
    json_put_array(json, "signatures");
    for (size_t i = 0; i < claims->count; i++) {
        json_object_begin(json);
        json_put_string(json, "domain", slice_str(claims->claim[i].domain));
        json_put_string(json, "selector", slice_str(claims->claim[i].selector));
        json_put_string(json, "result", dkim_result_word(outcomes[i].result));
        json_put_string(json, "reason", slice_str(outcomes[i].reason));
        json_put_int(json, "key_bits", outcomes[i].key_bits);
        json_put_bool(json, "testing", outcomes[i].is_testing);
        json_end(json);
    }
    json_end(json);
    check->is_pass = best == DKIM_PASS;
    check->is_temporary = best == DKIM_TEMPERROR;
    return true;
}

static bool check_dmarc(struct check *check, struct json *json, struct fault *why)
{
    struct lookup lookup = lookup_of(check);
    struct dmarc_outcome outcome;
    ptrdiff_t at = slice_find_last_byte(check->from, '@'); /* an address will do */
    const struct dmarc_input input = {slice_from(check->from, (size_t)(at + 1)), check->spf_domains, check->spf_count,
                                      check->dkim_domains, check->dkim_count};
    while (!dmarc_check(&lookup, &input, &outcome))
        names_answer(check->names, &lookup);
    json_put_string(json, "result", dmarc_result_word(outcome.result));
    json_put_string(json, "policy", dmarc_policy_word(outcome.policy));
    json_put_string(json, "record_domain", outcome.record_domain);
    json_put_object(json, "aligned");
    json_put_bool(json, "spf", outcome.is_spf_aligned);
    json_put_bool(json, "dkim", outcome.is_dkim_aligned);
    json_end(json);
    json_put_string(json, "reason", outcome.reason);
    json_put_string(json, "org_domain", outcome.org_domain);
    json_put_string(json, "classic_result", dmarc_result_word(outcome.classic_result));
    json_put_string(json, "classic_org_domain", outcome.classic_org_domain);
    check->is_pass = outcome.result == DMARC_PASS;
    check->is_temporary = outcome.result == DMARC_TEMPERROR;
    return true;
}

static bool check_address(struct check *check, struct json *json, struct fault *why)
{
    if (!check->book && !address_book_open("/etc/todoke/addresses", &check->book, why))
        return false;
    check->is_pass = check_address_write(check->book, check->address, &check->arena, json);
    return true;
}

/* --- batches --- */

struct session {
    struct check check;
    checker *run;
    bool has_data; /* --dns was given: lines without their own use it */
};

/* A list of strings, or one string. */
static bool domains_of_line(struct arena *arena, const json_t *line, const char *key, struct slice **domains,
                            size_t *count, struct fault *why)
{
    const json_t *given = json_object_get(line, key);
    *count = json_is_array(given) ? json_array_size(given) : json_is_string(given);
    if (given && !json_is_null(given) && !json_is_array(given) && !json_is_string(given))
        return fault_set(why, FAULT_INPUT, "%s must be a list of domains", key);
    if (*count > 100)
        return fault_set(why, FAULT_INPUT, "%s: more than 100 domains", key);
    *domains = ARENA_ARRAY(arena, struct slice, *count + 1);
    for (size_t i = 0; i < *count; i++) {
        const json_t *domain = json_is_array(given) ? json_array_get(given, i) : given;
        if (!json_is_string(domain))
            return fault_set(why, FAULT_INPUT, "%s must be a list of domains", key);
        (*domains)[i] = arena_copy(arena, slice_of(json_string_value(domain), json_string_length(domain)));
    }
    return true;
}

static bool read_line(struct session *session, const json_t *line, struct fault *why)
{
    struct check *check = &session->check;
    struct slice encoded;
    if (!batch_row_text(line, "ip", &check->ip, why) || !batch_row_text(line, "mail_from", &check->mail_from, why) ||
        !batch_row_text(line, "helo", &check->helo, why) || !batch_row_text(line, "receiver", &check->receiver, why) ||
        !batch_row_text(line, "from", &check->from, why) || !batch_row_number(line, "now", &check->now, why) ||
        !domains_of_line(&check->arena, line, "spf_domains", &check->spf_domains, &check->spf_count, why) ||
        !domains_of_line(&check->arena, line, "dkim_domains", &check->dkim_domains, &check->dkim_count, why))
        return false;
    if (session->run == check_spf && !batch_row_need(line, "ip", &check->ip, why))
        return false;
    if (session->run == check_address)
        return batch_row_need(line, "address", &check->address, why);
    if (session->run == check_dmarc && !batch_row_need(line, "from", &check->from, why))
        return false;
    if (session->run != check_dkim)
        return true;
    if (!batch_row_need(line, "message_b64", &encoded, why))
        return false;
    SCOPED(buf) mail = BUF(encoded.len + 4);
    if (!base64_decode(&mail, encoded))
        return fault_set(why, FAULT_INPUT, "message_b64 is not base64");
    check->message = arena_copy(&check->arena, buf_slice(&mail));
    return true;
}

static bool write_row(void *context, const json_t *line, struct json *json, struct fault *why)
{
    struct session *session = context;
    const json_t *dns = json_object_get(line, "dns");
    arena_reset(&session->check.arena);
    session->check.now = names_now(session->check.names);
    if (!read_line(session, line, why))
        return false;
    if (dns && !json_is_object(dns))
        return fault_set(why, FAULT_INPUT, "dns must be an object");
    if (session->run != check_address && (dns || !session->has_data) && !names_from(session->check.names, dns, why))
        return false;
    return session->run(&session->check, json, why);
}

static void take_line(void *context, struct slice id, const json_t *line, struct buf *out)
{
    batch_row(out, id, line, write_row, NULL, context);
}

/* --- one check, from options --- */

struct options {
    const char *ip, *mail_from, *helo, *receiver, *from, *spf_domain, *dkim_domain, *dns, *now;
    bool is_json, is_batch;
};

static void domains_of_list(struct arena *arena, const char *text, struct slice **domains, size_t *count)
{
    struct slice rest = slice_str(text), piece;
    *count = 0;
    *domains = ARENA_ARRAY(arena, struct slice, rest.len + 1);
    while (slice_split(&rest, ',', &piece))
        if (slice_trim(piece).len)
            (*domains)[(*count)++] = slice_trim(piece);
}

/* The JSON object as "key  value" lines; a list of objects as one line each. */
static void print_value(const char *key, const json_t *value)
{
    if (json_is_string(value)) {
        if (json_string_length(value))
            printf("%-14s %s\n", key, json_string_value(value));
    } else if (json_is_integer(value)) {
        printf("%-14s %lld\n", key, (long long)json_integer_value(value));
    } else if (json_is_boolean(value)) {
        printf("%-14s %s\n", key, json_is_true(value) ? "yes" : "no");
    }
}

static void print_table(struct slice text)
{
    json_t *object = json_loadb(text.ptr, text.len, 0, NULL), *value, *inner;
    const char *key, *inner_key;
    json_object_foreach(object, key, value)
    {
        if (json_is_array(value)) {
            size_t i;
            json_array_foreach(value, i, inner)
            {
                printf("signature %-4zu %s by %s (%s): %s\n", i + 1,
                       json_string_value(json_object_get(inner, "result")),
                       json_string_value(json_object_get(inner, "domain")),
                       json_string_value(json_object_get(inner, "selector")),
                       json_string_value(json_object_get(inner, "reason")));
            }
        } else if (json_is_object(value)) {
            json_object_foreach(value, inner_key, inner)
            {
                printf("%s %-*s %s\n", key, (int)(13 - strlen(key)), inner_key, json_is_true(inner) ? "yes" : "no");
            }
        } else {
            print_value(key, value);
        }
    }
    json_decref(object);
}

static bool check_from_options(struct session *session, const struct options *options,
                               const struct arguments *arguments, struct buf *mail, struct fault *why)
{
    struct check *check = &session->check;
    check->ip = slice_str(options->ip);
    check->mail_from = slice_str(options->mail_from);
    check->helo = slice_str(options->helo);
    check->receiver = slice_str(options->receiver);
    check->from = slice_str(options->from);
    domains_of_list(&check->arena, options->spf_domain, &check->spf_domains, &check->spf_count);
    domains_of_list(&check->arena, options->dkim_domain, &check->dkim_domains, &check->dkim_count);
    check->now = names_now(check->names);
    if (options->now && !slice_to_i64(slice_str(options->now), &check->now))
        return fault_set(why, FAULT_INPUT, "--now %s: Unix seconds", options->now);
    if (session->run == check_spf && !options->ip)
        return fault_set(why, FAULT_INPUT, "--ip is needed");
    if (session->run == check_dmarc && !options->from)
        return fault_set(why, FAULT_INPUT, "--from is needed");
    if (session->run == check_dkim) {
        const char *path = arguments->word_count > 1 ? arguments->words[1] : "-";
        if (!file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, 256 << 20, mail, why))
            return false;
        check->message = buf_slice(mail);
    }
    if (session->run == check_address) {
        if (arguments->word_count != 2)
            return fault_set(why, FAULT_INPUT, "want one address; --batch takes many");
        check->address = slice_str(arguments->words[1]);
        return true;
    }
    return session->has_data || names_from(check->names, NULL, why);
}

static bool run_once(struct session *session, const struct options *options, const struct arguments *arguments,
                     struct fault *why)
{
    SCOPED(buf) mail = {0};
    SCOPED(buf) out = BUF(64 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    if (!check_from_options(session, options, arguments, &mail, why) || !session->run(&session->check, &json, why))
        return false;
    json_end(&json);
    if (options->is_json)
        printf("%s\n", buf_cstr(&out));
    else
        print_table(buf_slice(&out));
    return true;
}

static checker *checker_named(const struct arguments *arguments)
{
    struct slice name = slice_str(arguments->word_count ? arguments->words[0] : "");
    if (slice_equal(name, SLICE("spf")))
        return check_spf;
    if (slice_equal(name, SLICE("dkim")))
        return check_dkim;
    if (slice_equal(name, SLICE("address")))
        return check_address;
    return slice_equal(name, SLICE("dmarc")) ? check_dmarc : NULL;
}

static int run(struct session *session, const struct options *options, const struct arguments *arguments)
{
    struct fault why = {0};
    session->has_data = options->dns != NULL;
    if (options->dns && !names_from_file(session->check.names, options->dns, &why))
        return command_fail("check", &why);
    if (options->is_batch)
        return batch_run("check", take_line, session);
    if (!run_once(session, options, arguments, &why))
        return command_fail("check", &why);
    return session->check.is_pass ? 0 : session->check.is_temporary ? 3 : 1;
}

int cmd_check(int argc, char **argv)
{
    struct options options = {0};
    struct arguments arguments;
    struct fault why = {0};
    const struct argument table[] = {
        {"--ip", &options.ip, NULL},
        {"--mail-from", &options.mail_from, NULL},
        {"--helo", &options.helo, NULL},
        {"--receiver", &options.receiver, NULL},
        {"--from", &options.from, NULL},
        {"--spf-domain", &options.spf_domain, NULL},
        {"--dkim-domain", &options.dkim_domain, NULL},
        {"--dns", &options.dns, NULL},
        {"--now", &options.now, NULL},
        {"--json", NULL, &options.is_json},
        {"--batch", NULL, &options.is_batch},
        {NULL, NULL, NULL},
    };
    if (!arguments_read(argc, argv, table, &arguments, &why))
        return command_fail("check", &why);
    struct session session = {.run = checker_named(&arguments)};
    if (arguments.wants_help || !session.run)
        return usage_tell("check", usage, &arguments);
    session.check.names = names_new();
    int status = run(&session, &options, &arguments);
    names_free(session.check.names);
    address_book_free(session.check.book);
    arena_release(&session.check.arena);
    return status;
}
