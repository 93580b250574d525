/* cmd_demo.c - `todoke demo`: the whole story on one machine, with simulated receivers, and nothing leaves it
 *
 *     import 10,000 contacts -> campaign 1 -> refusals, deferrals, error mail -> exclusions -> campaign 2 leaves them
 * out
 *
 * With --once it ends there: prints the report, holds what Todoke understood against what the receivers really did, and
 * exits 0 when everything agrees. Every step looks first whether it was done already, so a demo that was killed goes on
 * where it was. */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/demo_check.h"
#include "app/playground.h"
#include "app/report_print.h"
#include "app/service.h"
#include "app/usage.h"
#include "base/file.h"

#include "access/key.h"
#include "audience/import.h"
#include "base/embedded.h"
#include "base/log.h"
#include "dns/zone.h"
#include "mailauth/dkim_key.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DRAIN_MS = 3000, STORY_MS = 80000, MOVED_MS = 5000, QUIET_MS = 1500, ZONE_MOST = 8 << 20 };
/* Five minutes of greylisting are 0.75 s here, three days of a full mailbox 11 min; SMTP's own waits are less hurried.
 */
static const double TIME_SCALE = 1.0 / 400, TIMEOUT_FACTOR = 1.0 / 60;

static const char usage[] =
    "usage: todoke demo [--once] [--lang ja|en] [--dir DIR] [--store URL] [--http ADDRESS:PORT] [--mail-in "
    "ADDRESS:PORT]\n"
    "\n"
    "Simulated receivers on 127.25.x.y, their DNS, 10,000 invented contacts: sends a campaign over real SMTP, reads "
    "what comes back,\n"
    "excludes the dead addresses, and sends a second campaign that leaves them out. Nothing can leave this machine.\n"
    "  --once        tell the story, check it against what the receivers did, exit (0: everything agrees)\n"
    "  --dir DIR     where its files go; default: a new directory in the temporary directory, removed at the end\n"
    "  --store URL   instead of SQLite in DIR: postgres://... (an empty database)\n"
    "  --http A:P    console and API; default 127.0.0.1:8025; port 0: any\n"
    "  --mail-in A:P where error mail comes back; default 127.25.0.1:2525\n";

static const struct playground_sender sender_like = {
    .domain = "shop.example",
    .return_path_domain = "bounce.shop.example",
    .ehlo_name = "mta.shop.example",
    .dkim_selector = "todoke1",
    .feedback_address = "fbl@bounce.shop.example",
};

struct campaign_plan {
    const char *name, *subject, *file;
};
static const struct campaign_plan plans[] = {
    {"冬の感謝祭のご案内", "{{ contact.name | default: \"お客様\" }} 様、冬の感謝祭のご案内です",
     "data/playground/campaign-1.html"},
    {"初売りのお知らせ", "年末年始のお休みと初売りのお知らせ", "data/playground/campaign-2.html"},
};

struct demo {
    struct jail *jail;
    /* arguments */
    const char *dir, *store_url, *http, *mail_in, *lang_given;
    bool is_once;
    enum lang lang;
    /* what runs */
    struct world world;
    struct config config;
    struct service *service;
    struct playground *playground;
    struct db *reader;
    struct dkim_key *fresh; /* of the brand, if there is none yet */
    struct arena arena;
    struct buf dkim_record;
    struct playground_sender sender;
    uint64_t brand_id, list_id, campaigns[COUNT_OF(plans)];
    struct buf secret;
    char made_dir[64];
    bool is_tty;
};

/* What the demo itself says, in one of two languages. */
__attribute__((format(printf, 2, 4), format(printf, 3, 4))) static void tell(const struct demo *demo, const char *ja,
                                                                             const char *en, ...)
{
    va_list args;
    va_start(args, en);
    if (demo->lang == LANG_JA)
        vprintf(ja, args);
    else
        vprintf(en, args);
    va_end(args);
    fflush(stdout);
}

static void pause_ms(time_ms ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* ── setting up ── */

static bool make_dir(struct demo *demo, struct fault *why)
{
    if (!demo->dir) {
        const char *tmp = getenv("TMPDIR");
        snprintf(demo->made_dir, sizeof(demo->made_dir), "%.40s/todoke-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        demo->dir = mkdtemp(demo->made_dir);
        return demo->dir ? true : fault_errno(why, "%s", demo->made_dir);
    }
    if (mkdir(demo->dir, 0700) != 0 && errno != EEXIST)
        return fault_errno(why, "--dir %s", demo->dir);
    return true;
}

static struct slice in_dir(struct demo *demo, const char *name)
{
    return arena_printf(&demo->arena, "%s/%s", demo->dir, name);
}

static bool configure(struct demo *demo, struct fault *why)
{
    const struct {
        const char *key;
        struct slice value;
    } set[] = {
        {"store", demo->store_url ? slice_str(demo->store_url) : in_dir(demo, "todoke.db")},
        {"key_file", in_dir(demo, "todoke.key")},
        {"http.listen", slice_str(demo->http ? demo->http : "127.0.0.1:8025")},
        {"mail_in.listen", slice_str(demo->mail_in ? demo->mail_in : "127.25.0.1:2525")},
        {"smtp.ehlo_name", slice_str(sender_like.ehlo_name)},
        {"network.mode", SLICE("loopback")},
    };
    config_init(&demo->config);
    for (size_t i = 0; i < COUNT_OF(set); i++)
        if (!config_set(&demo->config, slice_str(set[i].key), set[i].value, why))
            return false;
    return true;
}

/* The brand and its key: made, or found from an earlier life of this demo. */
static bool brand_ready(struct db *db, struct fault *why, void *context)
{
    struct demo *demo = context;
    struct brand brand = {
        .name = SLICE("花丸商店"),
        .from_name = SLICE("花丸商店"),
        .from_address = SLICE("news@shop.example"),
        .return_path_domain = slice_str(sender_like.return_path_domain),
        .link_base = SLICE("https://mail.shop.example"),
        .footer = SLICE("花丸商店(架空の店です) 〒100-0000 東京都千代田区 0-0-0 電話 03-0000-0000"),
    };
    int64_t id = 0;
    bool found;
    time_ms now = world_wall(&demo->world);
    buf_reset(&demo->dkim_record);
    if (!db_query_ints(db, why, "SELECT id FROM brand WHERE name = $1", VALUES(V_TEXT(brand.name)), &id, 1, &found))
        return false;
    if (!found) {
        if (!brand_create(db, why, &brand, now) ||
            !mailer_key_store(db, why, service_seal(demo->service), brand.id, brand_domain(&brand),
                              slice_str(sender_like.dkim_selector), demo->fresh, now, &demo->dkim_record))
            return false;
        demo->brand_id = brand.id;
        return true;
    }
    demo->brand_id = (uint64_t)id;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT public_record FROM dkim_key WHERE brand_id = $1 AND is_active = 1",
                  VALUES(V_INT(id))))
        return false;
    if (rows_next(&rows))
        buf_append(&demo->dkim_record, rows_text(&rows, 0));
    return rows_end(&rows);
}

static bool key_ready(struct db *db, struct fault *why, void *context)
{
    struct demo *demo = context;
    buf_reset(&demo->secret);
    return key_create(db, why, SLICE("demo"), world_wall(&demo->world), 0, NULL, &demo->secret, NULL);
}

static bool start_world(struct demo *demo, struct fault *why)
{
    demo->sender = sender_like;
    demo->sender.dkim_record = buf_cstr(&demo->dkim_record);
    demo->sender.mail_in = demo->config.mail_in_listen.endpoint.ip;
    demo->sender.source = ip_v4(127, 0, 0, 1);
    SCOPED(buf) zone = BUF(ZONE_MOST);
    playground_zone(&demo->sender, &zone);
    if (!file_write(in_dir(demo, "zone.json").ptr, buf_slice(&zone), why))
        return false;
    demo->world.resolver = zone_resolver_of_json(buf_slice(&zone), why);
    if (!demo->world.resolver)
        return false;
    const struct playground_options options = {
        .world = &demo->world,
        .sender = &demo->sender,
        .inbox_path = in_dir(demo, "inbox.mbox").ptr,
        .ledger_path = in_dir(demo, "receivers.log").ptr,
    };
    demo->playground = playground_start(&options, why);
    return demo->playground != NULL;
}

/* "Gmail-like" says more than the domain; what the other receivers are up to is for the reader to find out. */
static struct slice provider_label(struct slice domain)
{
    struct slice label = playground_label(domain);
    return slice_ends(label, SLICE("-like")) ? label : SLICE("");
}

static struct slice label_of(void *owner, struct slice domain)
{
    return provider_label(domain);
}

static void inbox_list(void *owner, struct slice q, uint64_t before, unsigned limit, struct arena *arena,
                       struct api_inbox_row **rows, size_t *count, uint64_t *next, uint64_t *total)
{
    struct demo *demo = owner;
    struct inbox_row *found;
    playground_inbox_list(demo->playground, q, before, limit, arena, &found, count, next, total);
    *rows = ARENA_ARRAY(arena, struct api_inbox_row, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*rows)[i] = (struct api_inbox_row){found[i].id,      found[i].at,       found[i].from,      found[i].to,
                                            found[i].subject, found[i].is_error, found[i].size_bytes};
}

static bool inbox_get(void *owner, uint64_t id, struct arena *arena, struct api_inbox_row *row, struct slice *mail)
{
    struct demo *demo = owner;
    struct inbox_row found;
    if (!playground_inbox_get(demo->playground, id, arena, &found, mail))
        return false;
    *row = (struct api_inbox_row){found.id,      found.at,       found.from,      found.to,
                                  found.subject, found.is_error, found.size_bytes};
    return true;
}

static bool start(struct demo *demo, struct fault *why)
{
    const struct service_options options = {
        .config = &demo->config,
        .world = &demo->world,
        .retry_scale = TIME_SCALE,
        .timeout_factor = TIMEOUT_FACTOR,
        .jail = demo->jail,
        .api = {.is_playground = true, .inbox = {inbox_list, inbox_get, demo}, .receiver_label = label_of},
    };
    if (!service_open(&options, &demo->service, why))
        return false;
    demo->fresh = dkim_key_generate(DKIM_RSA_SHA256);
    bool is_ready = store_change(service_store(demo->service), brand_ready, demo, why);
    dkim_key_free(demo->fresh);
    return is_ready && store_change(service_store(demo->service), key_ready, demo, why) && start_world(demo, why) &&
           service_run(demo->service, why) &&
           (demo->reader = store_reader_open(service_store(demo->service), why)) != NULL;
}

/* ── the story ── */

static bool import_contacts(struct demo *demo, struct fault *why)
{
    struct slice csv;
    if (!embedded_find(SLICE("data/playground/contacts.csv"), &csv))
        return fault_set(why, FAULT_WORLD, "the sample contacts are not in this binary: build it again");
    const char *path = in_dir(demo, "contacts.csv").ptr;
    if (!file_write(path, csv, why))
        return false;
    const struct import_options options = {
        .path = path,
        .list_name = SLICE("お客様"),
        .brand_id = demo->brand_id,
        .consent = SLICE("店頭での申し込み(見本)"),
        .now = world_wall(&demo->world),
    };
    struct import_result result;
    if (!import_file(service_store(demo->service), &options, &demo->arena, &result, why))
        return false;
    demo->list_id = result.list_id;
    tell(demo, "連絡先 %llu 件を取り込みました(文字コード %.*s、断った行 %llu)\n",
         "Imported %llu contacts (encoding %.*s, %llu rows rejected)\n",
         (unsigned long long)(result.progress.fresh + result.progress.updated), SLICE_ARG(result.encoding),
         (unsigned long long)result.progress.rejected);
    return true;
}

struct plan_job {
    struct demo *demo;
    size_t which;
};

static bool campaign_ready(struct db *db, struct fault *why, void *context)
{
    struct plan_job *job = context;
    struct demo *demo = job->demo;
    const struct campaign_plan *plan = &plans[job->which];
    time_ms now = world_wall(&demo->world);
    int64_t id = 0;
    bool found;
    if (!db_query_ints(db, why, "SELECT id FROM campaign WHERE name = $1", VALUES(V_STR(plan->name)), &id, 1, &found))
        return false;
    if (found) {
        demo->campaigns[job->which] = (uint64_t)id;
        return true;
    }
    struct slice html;
    if (!embedded_find(slice_str(plan->file), &html))
        return fault_set(why, FAULT_WORLD, "%s is not in this binary: build it again", plan->file);
    struct content_version version = {
        .brand_id = demo->brand_id, .name = slice_str(plan->name), .subject = slice_str(plan->subject), .html = html};
    if (!content_version_create(db, why, &version, now))
        return false;
    struct campaign campaign = {.brand_id = demo->brand_id,
                                .content_version_id = version.id,
                                .list_id = demo->list_id,
                                .name = slice_str(plan->name),
                                .priority = 1,
                                .expires_after = DAYS_MS(5)};
    if (!campaign_create(db, why, &campaign, now) || !campaign_send(db, why, campaign.id, now))
        return false;
    demo->campaigns[job->which] = campaign.id;
    return true;
}

static void show_progress(struct demo *demo, const struct report_totals *totals, bool is_last)
{
    if (!demo->is_tty && !is_last)
        return;
    int64_t errors = totals->states[DELIVERY_BOUNCED] + totals->states[DELIVERY_EXPIRED];
    tell(demo, "%s  届いた %lld ・ 保留 %lld ・ エラー %lld ・ 待ち %lld%s",
         "%s  delivered %lld, deferred %lld, errors %lld, waiting %lld%s", demo->is_tty ? "\r\033[K" : "",
         (long long)totals->states[DELIVERY_DELIVERED],
         (long long)(totals->states[DELIVERY_DEFERRED] + totals->states[DELIVERY_IN_DOUBT]), (long long)errors,
         (long long)totals->states[DELIVERY_WAITING], is_last ? "\n" : "");
    fflush(stdout);
}

static bool is_stopped(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
}

/* A busy machine may take longer, as long as something moves. */
static bool has_time(time_ms since, time_ms moved_at, time_ms now)
{
    return now - since < STORY_MS || (now - moved_at < MOVED_MS && now - since < 4 * STORY_MS);
}

/* Wait until every delivery of the campaign is where its receiver means it to end, and nothing more comes back. */
static bool wait_for_outcomes(struct demo *demo, uint64_t campaign_id, bool *is_done, struct fault *why)
{
    time_ms begin = world_monotonic(&demo->world), now = begin, moved_at = begin, quiet_since = 0;
    struct demo_progress progress = {0}, last = {0};
    *is_done = false;
    while (!*is_done && has_time(begin, moved_at, now) && !is_stopped()) {
        struct report_totals totals;
        struct playground_counts counts;
        pause_ms(200);
        if (!report_totals(demo->reader, why, campaign_id, &totals) ||
            !demo_progress_read(demo->reader, why, campaign_id, &progress))
            return false;
        playground_counts(demo->playground, &counts);
        show_progress(demo, &totals, false);
        bool has_changed = memcmp(&progress, &last, sizeof(progress)) != 0;
        last = progress;
        now = world_monotonic(&demo->world);
        if (has_changed)
            moved_at = now;
        if (has_changed || !progress.is_settled || counts.notices_waiting)
            quiet_since = now;
        *is_done = progress.is_settled && now - quiet_since >= QUIET_MS;
    }
    struct report_totals totals;
    if (!report_catch_up(service_report(demo->service), why) || !report_totals(demo->reader, why, campaign_id, &totals))
        return false;
    show_progress(demo, &totals, true);
    return true;
}

static bool print_report(struct demo *demo, uint64_t campaign_id, enum lang lang, struct fault *why)
{
    char number[24];
    struct campaign campaign;
    SCOPED(buf) out = BUF(4 << 20);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)campaign_id);
    if (!campaign_find(demo->reader, why, slice_str(number), &demo->arena, &campaign) ||
        !report_print(demo->reader, why, service_rules(demo->service), &campaign, lang, provider_label, &out))
        return false;
    printf("\n%.*s", (int)out.len, out.ptr);
    return true;
}

static bool tell_campaign(struct demo *demo, size_t which, bool *all_is_well, struct fault *why)
{
    struct plan_job job = {demo, which};
    if (!store_change(service_store(demo->service), campaign_ready, &job, why))
        return false;
    tell(demo, "\nキャンペーン %zu「%s」を送ります\n", "\nSending campaign %zu, \"%s\"\n", which + 1,
         plans[which].name);
    bool is_done;
    if (!wait_for_outcomes(demo, demo->campaigns[which], &is_done, why))
        return false;
    *all_is_well &= is_done;
    if (!is_done)
        tell(demo, "  時間内に終わりませんでした\n", "  It did not end in time\n");
    return true;
}

static bool tell_story(struct demo *demo, bool *all_is_well, struct fault *why)
{
    if (!import_contacts(demo, why) || !tell_campaign(demo, 0, all_is_well, why))
        return false;
    if (!print_report(demo, demo->campaigns[0], LANG_JA, why) || !print_report(demo, demo->campaigns[0], LANG_EN, why))
        return false;
    if (!tell_campaign(demo, 1, all_is_well, why) || !print_report(demo, demo->campaigns[1], demo->lang, why))
        return false;
    SCOPED(buf) out = BUF(1 << 20);
    struct playground_counts counts;
    playground_counts(demo->playground, &counts);
    bool agrees;
    if (!demo_check(demo->reader, why, demo->campaigns[0], demo->campaigns[1], &counts, demo->lang, &out, &agrees))
        return false;
    *all_is_well &= agrees;
    printf("\n%.*s", (int)out.len, out.ptr);
    return true;
}

static void print_welcome(struct demo *demo)
{
    char at[ENDPOINT_TEXT_ROOM];
    struct endpoint http = service_http(demo->service);
    tell(demo, "Todoke 届け — この機械の中だけで動く見本です。何も外へは出ません。\n画面: http://%s/#token=%.*s\n",
         "Todoke 届け - a playground on this machine only; nothing leaves it.\nConsole: http://%s/#token=%.*s\n",
         endpoint_text(&http, at), (int)demo->secret.len, demo->secret.ptr);
    fflush(stdout);
}

static bool run(struct demo *demo, bool *all_is_well, struct fault *why)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    log_setup(LOG_WARN, false);
    world_init(&demo->world, NETWORK_LOOPBACK);
    if (!make_dir(demo, why) || !configure(demo, why) || !start(demo, why))
        return false;
    print_welcome(demo);
    if (!tell_story(demo, all_is_well, why))
        return false;
    if (!demo->is_once && !is_stopped()) {
        tell(demo, "\n画面で続きを見られます。終えるには Ctrl-C を押してください。\n",
             "\nThe console goes on. Ctrl-C ends it.\n");
        fflush(stdout);
        int signal_number;
        sigwait(&stop, &signal_number);
    }
    return true;
}

/* Only what we made ourselves. */
static void remove_made_dir(const struct demo *demo)
{
    static const char *const names[] = {"todoke.db",  "todoke.db-wal", "todoke.db-shm", "todoke.db-lock",
                                        "todoke.key", "zone.json",     "inbox.mbox",    "receivers.log"};
    if (!demo->made_dir[0] || demo->dir != demo->made_dir)
        return;
    char path[128];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", demo->dir, names[i]);
        unlink(path);
    }
    rmdir(demo->dir);
}

int cmd_demo(int argc, char **argv)
{
    static struct demo demo = {.dkim_record = BUF(4096), .secret = BUF(256)};
    const struct argument table[] = {
        {"--once", NULL, &demo.is_once},
        {"--lang", &demo.lang_given, NULL},
        {"--dir", &demo.dir, NULL},
        {"--store", &demo.store_url, NULL},
        {"--http", &demo.http, NULL},
        {"--mail-in", &demo.mail_in, NULL},
        {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why) || !arguments_lang(demo.lang_given, &demo.lang, &why))
        return command_fail("demo", &why);
    if (words.wants_help || words.word_count)
        return usage_tell("demo", usage, &words);
    demo.is_tty = isatty(STDOUT_FILENO);
    demo.jail = jail_start(&record_work, 0, &why);
    bool all_is_well = true, ok = demo.jail && jail_no_exec(&why) && run(&demo, &all_is_well, &why);
    bool was_stopped = !demo.is_once && is_stopped(); /* Ctrl-C is how it ends */
    db_free(demo.reader);
    service_stop(demo.service, DRAIN_MS);
    jail_stop(demo.jail);
    playground_stop(demo.playground);
    resolver_free(demo.world.resolver);
    remove_made_dir(&demo);
    config_release(&demo.config);
    arena_release(&demo.arena);
    buf_release(&demo.dkim_record);
    buf_release(&demo.secret);
    if (!ok)
        return command_fail("demo", &why);
    return all_is_well || was_stopped ? 0 : 1;
}
