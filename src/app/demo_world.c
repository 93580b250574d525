/* demo_world.c - what the demo runs in: a directory, settings, a brand with its keys, receivers with their DNS, a
 * server
 *
 * Every step looks first whether it was done already, so a demo that was killed goes on where it was. */
#include "app/change.h"
#include "app/demo.h"

#include "access/key.h"
#include "base/embedded.h"
#include "base/file.h"
#include "dns/zone.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DRAIN_MS = 3000, ZONE_MOST = 8 << 20 };
/* Five minutes of greylisting are 0.75 s here, three days of a full mailbox 11 min; SMTP's own waits are less hurried.
 */
static const double TIME_SCALE = 1.0 / 400, TIMEOUT_FACTOR = 1.0 / 60;

static const struct playground_sender sender_like = {
    .domain = "shop.example",
    .return_path_domain = "bounce.shop.example",
    .ehlo_name = "mta.shop.example",
    .dkim_selector = "todoke1",
    .feedback_address = "fbl@bounce.shop.example",
};

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

struct slice demo_file(struct demo *demo, const char *name)
{
    return arena_printf(&demo->arena, "%s/%s", demo->dir, name);
}

static bool configure(struct demo *demo, struct fault *why)
{
    const struct {
        const char *key;
        struct slice value;
    } set[] = {
        {"store", demo->store_url ? slice_str(demo->store_url) : demo_file(demo, "todoke.db")},
        {"key_file", demo_file(demo, "todoke.key")},
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
    if (!file_write(demo_file(demo, "zone.json").ptr, buf_slice(&zone), why))
        return false;
    demo->world.resolver = zone_resolver_of_json(buf_slice(&zone), why);
    if (!demo->world.resolver)
        return false;
    const struct playground_options options = {
        .world = &demo->world,
        .sender = &demo->sender,
        .inbox_path = demo_file(demo, "inbox.mbox").ptr,
        .ledger_path = demo_file(demo, "receivers.log").ptr,
    };
    demo->playground = playground_start(&options, why);
    return demo->playground != NULL;
}

struct slice demo_provider_label(struct slice domain)
{
    struct slice label = playground_label(domain);
    return slice_ends(label, SLICE("-like")) ? label : SLICE("");
}

static struct slice label_of(void *owner, struct slice domain)
{
    return demo_provider_label(domain);
}

static struct api_inbox_row api_row(const struct inbox_row *row)
{
    return (struct api_inbox_row){row->id, row->at, row->from, row->to, row->subject, row->is_error, row->size_bytes};
}

static void inbox_list(void *owner, struct slice q, uint64_t before, unsigned limit, struct arena *arena,
                       struct api_inbox_row **rows, size_t *count, uint64_t *next, uint64_t *total)
{
    struct demo *demo = owner;
    struct inbox_row *found;
    playground_inbox_list(demo->playground, q, before, limit, arena, &found, count, next, total);
    *rows = ARENA_ARRAY(arena, struct api_inbox_row, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*rows)[i] = api_row(&found[i]);
}

static bool inbox_get(void *owner, uint64_t id, struct arena *arena, struct api_inbox_row *row, struct slice *mail)
{
    struct demo *demo = owner;
    struct inbox_row found;
    if (!playground_inbox_get(demo->playground, id, arena, &found, mail))
        return false;
    *row = api_row(&found);
    return true;
}

static bool service_ready(struct demo *demo, struct fault *why)
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

bool demo_start(struct demo *demo, struct fault *why)
{
    world_init(&demo->world, NETWORK_LOOPBACK);
    return make_dir(demo, why) && configure(demo, why) && service_ready(demo, why);
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

void demo_end(struct demo *demo)
{
    db_free(demo->reader);
    service_stop(demo->service, DRAIN_MS);
    jail_stop(demo->jail);
    playground_stop(demo->playground);
    resolver_free(demo->world.resolver);
    remove_made_dir(demo);
    config_release(&demo->config);
    arena_release(&demo->arena);
    buf_release(&demo->dkim_record);
    buf_release(&demo->secret);
}
