#include "receive/collect.h"

#include "base/log.h"
#include "net/loop.h"
#include <string.h>

enum { LOOK_MS = 1000 };

struct collector {
    struct store *store;
    struct leases *leases;
    struct world *world;
    const struct seal_key *seal;
    struct db *reader;
    struct loop *loop;
    struct loop_thread thread;
    struct timer timer;
    _Atomic bool is_stopping;
    struct box *box; /* that is visited now */
};

/* ── what a visit asks for ── */

struct keep {
    struct write_job job;
    const struct box *box;
    const struct box_mail *mail;
    struct leases *leases;
    const struct slice *uids;
    size_t count;
    const char *fault;
    time_ms now;
    bool is_new;
};

static bool forget_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct keep *keep = (struct keep *)job;
    return box_forget(db, why, keep->box, keep->uids, keep->count);
}
static bool keep_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct keep *keep = (struct keep *)job;
    bool leads;
    if (!leases_lead(db, why, keep->leases, &leads))
        return false;
    if (!leads)
        return fault_set(why, FAULT_WORLD, "mailbox %s: another node collects it now", keep->box->name);
    return box_keep(db, why, keep->box, keep->mail, keep->now, &keep->is_new);
}
static bool checked_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct keep *keep = (struct keep *)job;
    return box_checked(db, why, keep->box->id, keep->now, keep->fault);
}

static bool listed(void *self, const struct slice *uids, size_t count, enum box_mark *marks, struct fault *why)
{
    struct collector *collector = self;
    struct keep keep = {
        .job = {.run = forget_run, .fails_fast = true}, .box = collector->box, .uids = uids, .count = count};
    return store_write_wait(collector->store, &keep.job, why) &&
           box_known(collector->reader, why, collector->box, uids, count, marks);
}

static bool keep_mail(void *self, struct box *box, const struct box_mail *mail, struct fault *why)
{
    struct collector *collector = self;
    struct keep keep = {.job = {.run = keep_run, .rows = 2, .fails_fast = true},
                        .leases = collector->leases,
                        .box = box,
                        .mail = mail,
                        .now = world_wall(collector->world)};
    if (mail->is_too_large)
        log_warn("receive", "mailbox %s: a mail of more than %d MB is left where it is (%.*s %llu)", box->name,
                 BOX_MAIL_MAX >> 20, SLICE_ARG(mail->uid), (unsigned long long)mail->number);
    return store_write_wait(collector->store, &keep.job, why);
}

/* ── rounds ── */

static bool visit(struct collector *collector, struct box *box, uint64_t *count, struct fault *why)
{
    const struct box_owner owner = {collector, listed, keep_mail, &collector->is_stopping};
    SCOPED(buf) password = BUF(4096);
    collector->box = box;
    if (!box_password(collector->reader, why, collector->seal, box, &password))
        return false;
    bool ok = box_collect(box, buf_cstr(&password), &collector->world->network, &owner, count, why);
    if (password.len)
        explicit_bzero(password.ptr, password.len);
    return ok;
}

static void look_at(struct collector *collector, struct box *box)
{
    struct fault why = {0}, ignored;
    uint64_t count = 0;
    bool ok = visit(collector, box, &count, &why);
    if (atomic_load(&collector->is_stopping))
        return;
    if (count)
        log_info("receive", "mailbox %s: %llu mails fetched", box->name, (unsigned long long)count);
    if (!ok && strcmp(box->fault, why.text) != 0)
        log_warn("receive", "%s", why.text);
    struct keep keep = {.job = {.run = checked_run, .fails_fast = true},
                        .box = box,
                        .fault = ok ? "" : why.text,
                        .now = world_wall(collector->world)};
    if (!store_write_wait(collector->store, &keep.job, &ignored))
        log_warn("receive", "mailbox %s: %s", box->name, ignored.text);
}

static void look(struct timer *timer)
{
    struct collector *collector = timer->owner;
    struct fault why = {0};
    struct box *boxes;
    size_t count;
    if (!leases_lead_now(collector->leases))
        return timer_set(timer, LOOK_MS);
    if (!box_list(collector->reader, &why, SLICE(""), &boxes, &count)) {
        log_warn("receive", "mailboxes cannot be read: %s", why.text);
        count = 0;
        boxes = NULL;
    }
    for (size_t i = 0; i < count && !atomic_load(&collector->is_stopping); i++)
        if (box_is_due(&boxes[i], world_wall(collector->world)))
            look_at(collector, &boxes[i]);
    free(boxes);
    timer_set(timer, LOOK_MS);
}

struct collector *collector_start(struct store *store, struct leases *leases, struct world *world,
                                  const struct seal_key *seal, struct fault *why)
{
    struct collector *collector = NEW(struct collector);
    collector->store = store;
    collector->leases = leases;
    collector->world = world;
    collector->seal = seal;
    collector->reader = store_reader_open(store, why);
    if (!collector->reader) {
        free(collector);
        return NULL;
    }
    collector->loop = loop_new(world);
    timer_init(&collector->timer, collector->loop, look, collector);
    timer_set(&collector->timer, 0);
    loop_thread_start(&collector->thread, collector->loop, NULL, NULL, NULL);
    loop_thread_name(&collector->thread, "collect");
    return collector;
}

void collector_stop(struct collector *collector)
{
    if (!collector)
        return;
    atomic_store(&collector->is_stopping, true);
    loop_thread_join(&collector->thread);
    timer_clear(&collector->timer);
    loop_free(collector->loop);
    db_free(collector->reader);
    free(collector);
}
