#include "app/mail_door.h"

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "receive/join.h"
#include <pthread.h>

enum { DOMAINS_MS = 5000 /* between two readings of the return paths' domains */ };

struct mail_door {
    struct mail_door_options options;
    pthread_t thread;
    struct loop *loop;
    struct mail_in *in;
    struct db *reader;
    struct map domains; /* return paths' domains that are ours */
    struct timer refresh;
    bool is_running;
};

static bool read_domains(struct mail_door *door, struct fault *why)
{
    struct map domains = {0};
    SCOPED(rows) rows = {0};
    if (!db_query(door->reader, why, &rows, "SELECT return_path_domain FROM brand", NO_VALUES))
        return false;
    while (rows_next(&rows))
        map_set(&domains, rows_text(&rows, 0), door);
    if (!rows_end(&rows)) {
        map_release(&domains);
        return false;
    }
    map_release(&door->domains);
    door->domains = domains;
    return true;
}

static void refresh_domains(struct timer *timer)
{
    struct mail_door *door = timer->owner;
    struct fault why = {0};
    if (!read_domains(door, &why))
        log_warn("app", "brands cannot be read: %s", why.text);
    timer_set(timer, DOMAINS_MS);
}

static bool is_ours(void *self, struct slice domain)
{
    return map_get(&((struct mail_door *)self)->domains, domain) != NULL;
}

struct keep_job {
    struct write_job job;
    struct inbound_mail *mail;
    time_ms now;
};

static bool keep_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct keep_job *keep = (struct keep_job *)job;
    char peer[ENDPOINT_TEXT_ROOM];
    endpoint_text(&keep->mail->peer, peer);
    for (size_t i = 0; i < keep->mail->recipient_count; i++) {
        struct inbound_row row = {
            .mail_from = keep->mail->mail_from,
            .rcpt_to = keep->mail->recipients[i].address,
            .peer = slice_str(peer),
            .helo = slice_head(keep->mail->helo, 255),
            .raw = keep->mail->bytes,
        };
        if (!inbound_save(db, why, &row, keep->now))
            return false;
    }
    return true;
}

static void keep_done(struct write_job *job, const struct fault *why)
{
    struct keep_job *keep = (struct keep_job *)job;
    if (why)
        log_warn("receive", "mail could not be kept, its sender hears 451: %s", why->text);
    inbound_done(keep->mail, why == NULL);
    free(keep);
}

static void keep_mail(void *self, struct inbound_mail *mail)
{
    struct mail_door *door = self;
    struct keep_job *keep = NEW(struct keep_job);
    keep->job.run = keep_run;
    keep->job.done = keep_done;
    keep->job.rows = (unsigned)mail->recipient_count;
    keep->job.fails_fast = true;
    keep->mail = mail;
    keep->now = world_wall(door->options.world);
    store_write(door->options.store, &keep->job);
}

static void *mail_in_main(void *arg)
{
    struct mail_door *door = arg;
    loop_run(door->loop);
    bool has_sessions = mail_in_stop(door->in);
    while (mail_in_pending(door->in)) /* mails that wait for their commit */
        loop_turn(door->loop, 10);
    for (time_ms until = loop_now(door->loop) + SESSION_LAST_WORDS_MS; has_sessions && loop_now(door->loop) < until;)
        loop_turn(door->loop, 10); /* last words are heard */
    return NULL;
}

/* The named mailboxes: those that every mail host has, and where reports come in (setting report.addresses). */
enum { MAILBOXES_MOST = 16 };
static size_t mailboxes_of(const struct config *config, struct slice *mailboxes)
{
    size_t count = 0;
    mailboxes[count++] = SLICE("postmaster");
    mailboxes[count++] = SLICE("abuse");
    mailboxes[count++] = SLICE("fbl");
    struct slice rest = slice_str(config->report_addresses.text), word;
    while (count < MAILBOXES_MOST && slice_split(&rest, ',', &word)) {
        word = slice_trim(word);
        ptrdiff_t at = slice_find_byte(word, '@'); /* the domain is the return path's anyway */
        word = at >= 0 ? slice_head(word, (size_t)at) : word;
        if (word.len)
            mailboxes[count++] = word;
    }
    return count;
}

struct mail_door *mail_door_start(const struct mail_door_options *options, struct fault *why)
{
    struct slice mailboxes[MAILBOXES_MOST];
    struct mail_door *door = NEW(struct mail_door);
    door->options = *options;
    const struct mail_in_options in = {
        .session = {.listener = {.at = options->config->mail_in_listen.endpoint, .cure_setting = "mail_in.listen"},
                    .smtp = {.host_name = slice_str(options->host_name)},
                    .tls = options->tls},
        .ring = options->ring,
        .mailboxes = mailboxes,
        .mailbox_count = mailboxes_of(options->config, mailboxes),
        .takes_null_mx = strcmp(options->config->null_mx_senders.text, "accept") == 0,
    };
    const struct inbound inbound = {.self = door, .is_ours = is_ours, .accept = keep_mail};
    door->loop = loop_new(options->world);
    if (!(door->reader = store_reader_open(options->store, why)) || !read_domains(door, why) ||
        !(door->in = mail_in_new(door->loop, &in, &inbound, why))) {
        mail_door_stop(door);
        mail_door_free(door);
        return NULL;
    }
    timer_init(&door->refresh, door->loop, refresh_domains, door);
    timer_set(&door->refresh, DOMAINS_MS);
    if (pthread_create(&door->thread, NULL, mail_in_main, door) != 0)
        memory_gone("a thread");
    door->is_running = true;
    return door;
}

void mail_door_stop(struct mail_door *door)
{
    if (!door || !door->is_running)
        return;
    door->is_running = false;
    loop_stop(door->loop);
    pthread_join(door->thread, NULL);
    timer_clear(&door->refresh);
}

void mail_door_free(struct mail_door *door)
{
    if (!door)
        return;
    if (door->in)
        mail_in_free(door->in);
    loop_free(door->loop);
    map_release(&door->domains);
    db_free(door->reader);
    free(door);
}

struct mail_in_counts mail_door_counts(const struct mail_door *door)
{
    return mail_in_counts(door->in);
}
