/* cmd_campaign.c - `todoke campaign` and `todoke brand`: make, send, pause, watch, report */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/config.h"
#include "app/desk.h"
#include "app/mailer.h"
#include "app/report_print.h"
#include "app/service.h"
#include "app/usage.h"
#include "base/file.h"

#include "audience/contact.h"
#include "campaign/queue_order.h"
#include "mail/address.h"
#include "mailauth/dkim_key.h"
#include "mailauth/dkim_sign.h"
#include "net/world.h"
#include <stdio.h>

static const char campaign_usage[] =
    "usage: todoke campaign create NAME --brand B --list L --subject S --html FILE [--text FILE]\n"
    "                            [--count clicks|opens|clicks,opens] [--config FILE]\n"
    "       todoke campaign send|status NAME\n"
    "       todoke campaign pause|resume|cancel NAME [--why TEXT]\n"
    "       todoke campaign report NAME [--lang ja|en] [--json]\n"
    "       todoke campaign list\n"
    "\n"
    "--count: links lead through the brand's --links, a pixel tells of opens; people and machines are counted apart.\n"
    "NAME is the campaign's name or id. A running server sends; these commands only say what is wanted. cancel ends a\n"
    "campaign for good: nothing of it starts any more, and what it still owes becomes cancelled. Who paused, resumed "
    "or\n"
    "cancelled which is among `todoke queue orders`.\n"
    "Mail that cannot be delivered is given up after retry.expires_after of the server's settings: --config, else\n"
    "$TODOKE_CONFIG, else /etc/todoke/todoke.yaml; without any after 5 days.\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

struct campaign_arguments {
    const char *store, *brand, *list, *subject, *html, *text, *lang, *reason, *count, *settings;
    bool is_json;
    const char *verb, *name, *beyond; /* beyond: a word more than the verb takes */
    enum lang in;
};

/* What the verbs share: the store, a reader, the rules for words. */
struct session {
    struct store *store;
    struct db *reader;
    struct world world;
    struct arena arena;
};

/* ── verbs that write ── */

struct create {
    struct campaign_arguments *arguments;
    struct session *session;
    struct slice html, text;
    bool counts_clicks, counts_opens;
    time_ms expires_after;
    uint64_t id;
};

/* As the server has it; settings that cannot be read are no reason to take another time in silence. */
static bool expires_after_read(const char *settings, time_ms *expires_after, struct fault *why)
{
    SCOPED(config) config = {0};
    const char *file = arguments_config(settings);
    config_init(&config);
    if (file && !config_load(&config, file, why))
        return false;
    *expires_after = config.expires_after.duration;
    return true;
}

static bool create_run(struct db *db, struct fault *why, void *context)
{
    struct create *create = context;
    struct brand brand;
    struct list list;
    time_ms now = world_wall(&create->session->world);
    if (!brand_find(db, why, slice_str(create->arguments->brand), &create->session->arena, &brand) ||
        !list_find(db, why, slice_str(create->arguments->list), &create->session->arena, &list))
        return false;
    struct content_version version = {.brand_id = brand.id,
                                      .name = slice_str(create->arguments->name),
                                      .subject = slice_str(create->arguments->subject),
                                      .html = create->html,
                                      .text = create->text,
                                      .counts_clicks = create->counts_clicks,
                                      .counts_opens = create->counts_opens};
    if (!content_version_create(db, why, &version, now))
        return false;
    struct campaign campaign = {.brand_id = brand.id,
                                .content_version_id = version.id,
                                .list_id = list.id,
                                .name = slice_str(create->arguments->name),
                                .priority = 1,
                                .expires_after = create->expires_after};
    bool ok = campaign_create(db, why, &campaign, now);
    create->id = campaign.id;
    return ok;
}

static bool verb_create(struct campaign_arguments *arguments, struct session *session, struct fault *why)
{
    enum { FILE_MOST = 2 << 20 };
    SCOPED(buf) html = BUF(1);
    SCOPED(buf) text = BUF(1);
    if (!arguments->brand || !arguments->list || !arguments->subject || !arguments->html)
        return fault_set(why, FAULT_INPUT, "create wants --brand, --list, --subject and --html");
    if (!file_read(arguments->html, FILE_MOST, &html, why) ||
        (arguments->text && !file_read(arguments->text, FILE_MOST, &text, why)))
        return false;
    struct create create = {
        .arguments = arguments, .session = session, .html = buf_slice(&html), .text = buf_slice(&text)};
    struct slice words = slice_str(arguments->count ? arguments->count : ""), word;
    while (arguments->count && slice_split(&words, ',', &word)) {
        create.counts_clicks |= slice_equal(word, SLICE("clicks"));
        create.counts_opens |= slice_equal(word, SLICE("opens"));
        if (!slice_equal(word, SLICE("clicks")) && !slice_equal(word, SLICE("opens")))
            return fault_set(why, FAULT_INPUT, "--count \"%s\": want clicks, opens or clicks,opens", arguments->count);
    }
    if (!expires_after_read(arguments->settings, &create.expires_after, why) ||
        !store_change(session->store, create_run, &create, why))
        return false;
    printf("%llu\n", (unsigned long long)create.id);
    return true;
}

struct move {
    const char *verb, *reason;
    struct slice who;
    uint64_t id;
    time_ms now;
};

static bool move_run(struct db *db, struct fault *why, void *context)
{
    const struct move *move = context;
    if (strcmp(move->verb, "send") == 0)
        return campaign_send(db, why, move->id, move->now);
    bool is_pause = strcmp(move->verb, "pause") == 0, is_cancel = strcmp(move->verb, "cancel") == 0;
    const char *reason = is_pause ? "paused by hand" : is_cancel ? "cancelled by hand" : "resumed by hand";
    return campaign_order(db, why,
                          is_pause    ? ORDER_HOLD
                          : is_cancel ? ORDER_PURGE
                                      : ORDER_RELEASE,
                          move->id, move->who, slice_str(move->reason ? move->reason : reason), move->now);
}

static bool find(const struct campaign_arguments *arguments, struct session *session, struct campaign *campaign,
                 struct fault *why)
{
    return campaign_find(session->reader, why, slice_str(arguments->name), &session->arena, campaign);
}

static bool verb_move(struct campaign_arguments *arguments, struct session *session, struct fault *why)
{
    struct campaign campaign;
    if (!find(arguments, session, &campaign, why))
        return false;
    struct move move = {arguments->verb, arguments->reason, desk_person(&session->arena), campaign.id,
                        world_wall(&session->world)};
    return store_change(session->store, move_run, &move, why);
}

/* ── verbs that look ── */

static bool verb_report(struct campaign_arguments *arguments, struct session *session, struct fault *why)
{
    struct campaign campaign;
    struct rules *rules = NULL;
    SCOPED(buf) out = BUF(4 << 20);
    bool ok = find(arguments, session, &campaign, why) && rules_open(&rules, why) &&
              (arguments->is_json ? report_json(session->reader, why, rules, &campaign, &out)
                                  : report_print(session->reader, why, rules, &campaign, arguments->in, NULL, &out));
    if (ok)
        printf("%.*s%s", (int)out.len, out.ptr, arguments->is_json ? "\n" : "");
    rules_free(rules);
    return ok;
}

static bool print_status(struct session *session, const struct campaign *campaign, struct fault *why)
{
    struct report_totals totals;
    if (!report_totals(session->reader, why, campaign->id, &totals))
        return false;
    printf("%llu  %-10.*s %.*s  accepted %lld", (unsigned long long)campaign->id,
           SLICE_ARG(campaign_state_word(campaign->state)), SLICE_ARG(campaign->name), (long long)totals.accepted);
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
        if (totals.states[state])
            printf(" %.*s %lld", SLICE_ARG(delivery_word((enum delivery_state)state)), (long long)totals.states[state]);
    printf(" left_out %lld\n", (long long)totals.left_out);
    return true;
}

static bool verb_status(struct campaign_arguments *arguments, struct session *session, struct fault *why)
{
    struct campaign campaign;
    return find(arguments, session, &campaign, why) && print_status(session, &campaign, why);
}

static bool verb_list(struct campaign_arguments *arguments, struct session *session, struct fault *why)
{
    struct campaign_page page;
    uint64_t before = 0;
    do {
        if (!campaign_list(session->reader, why, before, CAMPAIGN_PAGE_MAX, &session->arena, &page))
            return false;
        for (size_t i = 0; i < page.count; i++) {
            if (!print_status(session, &page.campaigns[i], why))
                return false;
            before = page.campaigns[i].id;
        }
    } while (page.has_more);
    return true;
}

static const struct verb {
    const char *name;
    bool (*run)(struct campaign_arguments *arguments, struct session *session, struct fault *why);
    bool needs_name;
} verbs[] = {
    {"create", verb_create, true}, {"send", verb_move, true},     {"pause", verb_move, true},
    {"resume", verb_move, true},   {"report", verb_report, true}, {"status", verb_status, true},
    {"list", verb_list, false},    {"cancel", verb_move, true},
};

static bool run_verb(struct campaign_arguments *arguments, struct fault *why)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (strcmp(verbs[i].name, arguments->verb) != 0)
            continue;
        if (verbs[i].needs_name && !arguments->name)
            return fault_set(why, FAULT_INPUT, "%s wants the campaign's name; see --help", arguments->verb);
        if (arguments->beyond)
            return fault_set(why, FAULT_INPUT, "\"%s\" is a word too many: a name of several words needs quotes",
                             arguments->beyond);
        struct session session = {0};
        world_init(&session.world, NETWORK_LOOPBACK);
        session.store = desk_store(arguments->store, why);
        if (!session.store)
            return false;
        session.reader = store_reader_open(session.store, why);
        bool ok = session.reader && verbs[i].run(arguments, &session, why);
        arena_release(&session.arena);
        db_free(session.reader);
        store_close(session.store);
        return ok;
    }
    return fault_set(why, FAULT_INPUT, "there is no \"campaign %s\"; see --help", arguments->verb);
}

int cmd_campaign(int argc, char **argv)
{
    struct campaign_arguments given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},     {"--brand", &given.brand, NULL},  {"--list", &given.list, NULL},
        {"--subject", &given.subject, NULL}, {"--count", &given.count, NULL},  {"--config", &given.settings, NULL},
        {"--html", &given.html, NULL},       {"--text", &given.text, NULL},    {"--lang", &given.lang, NULL},
        {"--why", &given.reason, NULL},      {"--json", NULL, &given.is_json}, {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    bool ok = arguments_read(argc, argv, table, &words, &why) && arguments_lang(given.lang, &given.in, &why);
    if (ok && (words.wants_help || words.word_count == 0))
        return usage_tell("campaign", campaign_usage, &words);
    if (ok) {
        given.verb = words.words[0];
        bool is_list = strcmp(given.verb, "list") == 0;
        given.name = words.word_count > 1 ? words.words[1] : NULL;
        given.beyond = words.word_count > 2 - is_list ? words.words[2 - is_list] : NULL;
        ok = run_verb(&given, &why);
    }
    return ok ? 0 : command_fail("campaign", &why);
}

/* ── brands ── */

static const char brand_usage[] =
    "usage: todoke brand add NAME --from \"Hanamaru <news@shop.example.jp>\" --return-path DOMAIN --links "
    "https://HOST\n"
    "                        [--reply-to ADDRESS] [--footer TEXT] [--selector NAME]\n"
    "\n"
    "Makes a brand and its DKIM key, and prints the DNS record to publish.\n"
    "  --return-path DOMAIN  error mail comes back to b-<token>@DOMAIN: its MX must be this server\n"
    "  --links URL           in front of every public link\n"
    "  --store URL, --key-file FILE   defaults: $TODOKE_STORE, $TODOKE_KEY_FILE, the server's settings, files here\n";

struct brand_add {
    struct brand brand;
    struct seal_key seal;
    const char *selector;
    struct dkim_key *key;
    struct buf record;
    time_ms now;
};

static bool brand_add_run(struct db *db, struct fault *why, void *context)
{
    struct brand_add *add = context;
    return brand_create(db, why, &add->brand, add->now) &&
           mailer_key_store(db, why, &add->seal, add->brand.id, brand_domain(&add->brand), slice_str(add->selector),
                            add->key, add->now, &add->record);
}

int cmd_brand(int argc, char **argv)
{
    const char *store_url = NULL, *key_file = NULL, *from = NULL, *return_path = NULL, *links = NULL, *reply_to = NULL,
               *footer = NULL, *selector = "todoke1";
    const struct argument table[] = {
        {"--store", &store_url, NULL},         {"--key-file", &key_file, NULL}, {"--from", &from, NULL},
        {"--return-path", &return_path, NULL}, {"--links", &links, NULL},       {"--reply-to", &reply_to, NULL},
        {"--footer", &footer, NULL},           {"--selector", &selector, NULL}, {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("brand", &why);
    if (words.wants_help || words.word_count != 2 || strcmp(words.words[0], "add") != 0 || !from || !return_path ||
        !links)
        return usage_tell("brand", brand_usage, &words);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct slice address = address_find(slice_str(from));
    if (!address.len) /* what was given is named in the fault */
        address = slice_str(from);
    ptrdiff_t open = slice_find_byte(slice_str(from), '<');
    struct slice from_name = open > 0 ? slice_trim(slice_head(slice_str(from), (size_t)open)) : SLICE("");
    if (from_name.len >= 2 && slice_starts(from_name, SLICE("\"")) && slice_ends(from_name, SLICE("\"")))
        from_name = slice_of(from_name.ptr + 1, from_name.len - 2);
    struct brand_add add = {
        .brand = {.name = slice_str(words.words[1]),
                  .from_name = from_name,
                  .from_address = address,
                  .reply_to = slice_str(reply_to ? reply_to : ""),
                  .return_path_domain = slice_str(return_path),
                  .link_base = slice_str(links),
                  .footer = slice_str(footer ? footer : "")},
        .selector = selector,
        .record = BUF(4096),
        .now = world_wall(&world),
    };
    struct store *store = NULL;
    bool ok = brand_check(&add.brand, &why) && dkim_names_check(brand_domain(&add.brand), slice_str(selector), &why) &&
              seal_key_load(&add.seal, arguments_key_file(key_file), &why) &&
              (store = desk_store(store_url, &why)) != NULL && (add.key = dkim_key_generate(DKIM_RSA_SHA256)) != NULL &&
              store_change(store, brand_add_run, &add, &why);
    if (ok) {
        struct slice domain = brand_domain(&add.brand);
        printf("%s._domainkey.%.*s TXT \"%.*s\"\n", selector, SLICE_ARG(domain), (int)add.record.len, add.record.ptr);
    }
    if (store)
        store_close(store);
    buf_release(&add.record);
    dkim_key_free(add.key);
    seal_key_release(&add.seal);
    return ok ? 0 : command_fail("brand", &why);
}
