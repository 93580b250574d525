/* arrivals.c - one check after another step: SPF, then DKIM, then DMARC
 *
 *     arrivals_check --mailbox--> waiting --slot free--> running: a step says "questions are open" -> all are asked
 *        ^ any thread                                      -> when the last answer is there, the step runs again
 *                                                       -> done: one UPDATE, gone */
#include "receive/arrivals.h"

#include "base/log.h"
#include "dns/resolver.h"
#include "mailauth/dmarc.h"
#include "mailauth/lookup_dns.h"
#include "mailauth/spf.h"
#include <stdio.h>

enum step { STEP_SPF, STEP_DKIM, STEP_DMARC, STEP_DONE };

struct check {
    struct mail_item item;
    struct arrivals *arrivals;
    struct arena arena;
    uint64_t mail_id;
    time_ms at;
    struct ip ip;
    struct slice mail_from, helo, from_domain;
    struct dkim_claims claims;
    /* under way */
    struct lookup lookup;
    struct asked *asked; /* questions of this round */
    unsigned open;
    enum step step;
    struct spf_outcome spf;
    struct dkim_outcome dkim[DKIM_CLAIMS_MAX];
    struct dmarc_outcome dmarc;
    struct check *next;
};
struct asked {
    struct check *check;
    struct question *question;
    struct dns_query *query;
    struct asked *next;
};
struct arrivals {
    struct store *store;
    struct world *world;
    char host_name[256];
    struct loop *loop;
    struct loop_thread thread;
    struct dns_client *dns;
    struct mailbox in;
    struct check *waiting, **waiting_end; /* oldest first */
    struct check *running;                /* for the end only */
    unsigned running_count;
    _Atomic unsigned waiting_count;
};

/* ── questions ── */

static void check_run(struct check *check);

static void on_answer(void *owner, const struct dns_answer *answer)
{
    struct asked *asked = owner;
    struct check *check = asked->check;
    lookup_answer_dns(&check->lookup, asked->question, answer);
    asked->query = NULL;
    if (--check->open == 0)
        check_run(check);
}

/* A step needs answers: ask for all that are open. */
static void check_ask(struct check *check)
{
    check->asked = NULL;
    for (struct question *question = check->lookup.first; question; question = question->next) {
        if (question->state != ANSWER_OPEN)
            continue;
        struct asked *asked = ARENA_NEW(&check->arena, struct asked);
        *asked = (struct asked){.check = check, .question = question, .next = check->asked};
        check->asked = asked;
        check->open++;
    }
    for (struct asked *asked = check->asked; asked; asked = asked->next)
        asked->query =
            dns_ask(check->arrivals->dns, asked->question->name, question_dns_type(asked->question), on_answer, asked);
}

/* ── steps ── */

static bool spf_step(struct check *check)
{
    const struct spf_input input = {
        .ip = slice_of(check->ip.bytes, check->ip.family == 4 ? 4 : 16),
        .mail_from = check->mail_from,
        .helo = check->helo,
        .receiver = slice_str(check->arrivals->host_name),
        .now_seconds = check->at / 1000,
    };
    return !check->ip.family || spf_check(&check->lookup, &input, &check->spf);
}

static bool dmarc_step(struct check *check)
{
    struct slice dkim_domains[DKIM_CLAIMS_MAX];
    struct dmarc_input input = {.from_domain = check->from_domain, .dkim_domains = dkim_domains};
    for (size_t i = 0; i < check->claims.count; i++)
        if (check->dkim[i].result == DKIM_PASS)
            dkim_domains[input.dkim_count++] = slice_str(check->claims.claim[i].domain);
    if (check->ip.family && check->spf.result == SPF_PASS) {
        input.spf_domains = &check->spf.domain;
        input.spf_count = 1;
    }
    return !check->from_domain.len || dmarc_check(&check->lookup, &input, &check->dmarc);
}

static bool check_step(struct check *check)
{
    switch (check->step) {
    case STEP_SPF: return spf_step(check);
    case STEP_DKIM: return check->claims.count == 0 || dkim_verify(&check->lookup, &check->claims, check->dkim);
    case STEP_DMARC: return dmarc_step(check);
    case STEP_DONE: break;
    }
    return true;
}

/* ── the end of one ── */

struct result {
    struct write_job job;
    uint64_t mail_id;
    char spf[300], dkim[300], dmarc[300];
};

static bool result_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct result *result = (struct result *)job;
    return db_do(db, why, "UPDATE inbound SET spf = $3, dkim = $4, dmarc = $5 WHERE bucket = $1 AND id = $2",
                 VALUES(V_INT(id_bucket(result->mail_id)), V_INT((int64_t)result->mail_id), V_STR(result->spf),
                        V_STR(result->dkim), V_STR(result->dmarc)),
                 NULL);
}

static void result_done(struct write_job *job, const struct fault *why)
{
    if (why)
        log_warn("receive", "who sent a received mail cannot be written: %s", why->text);
    free(job);
}

/* "pass smtp.mailfrom=example.jp": printable ASCII only, a domain is shown as far as it fits. */
static void say(char to[300], struct slice result, const char *property, struct slice value)
{
    snprintf(to, 300, "%.*s%s%s%s%.*s", SLICE_ARG(result), value.len ? " " : "", value.len ? property : "",
             value.len ? "=" : "", SLICE_ARG(slice_head(value, 253)));
    for (char *at = to; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

static void check_end(struct check *check)
{
    struct result *result = NEW(struct result);
    result->job.run = result_run;
    result->job.done = result_done;
    result->mail_id = check->mail_id;
    if (check->ip.family)
        say(result->spf, spf_result_word(check->spf.result), check->mail_from.len ? "smtp.mailfrom" : "smtp.helo",
            check->spf.domain);
    enum dkim_result best = dkim_best(check->dkim, check->claims.count);
    struct slice domain = SLICE("");
    for (size_t i = 0; i < check->claims.count && !domain.len; i++)
        if (check->dkim[i].result == best)
            domain = slice_str(check->claims.claim[i].domain);
    say(result->dkim, dkim_result_word(best), "header.d", domain);
    if (check->from_domain.len)
        say(result->dmarc, dmarc_result_word(check->dmarc.result), "header.from", check->from_domain);
    store_write(check->arrivals->store, &result->job);
}

static void check_free(struct check *check)
{
    arena_release(&check->arena);
    free(check);
}

static void waiting_start(struct arrivals *arrivals);

static void check_run(struct check *check)
{
    struct arrivals *arrivals = check->arrivals;
    while (check->step != STEP_DONE) {
        if (!check_step(check)) {
            check_ask(check);
            if (check->open)
                return;
        } else {
            check->step++;
        }
    }
    check_end(check);
    for (struct check **at = &arrivals->running; *at; at = &(*at)->next) {
        if (*at == check) {
            *at = check->next;
            break;
        }
    }
    arrivals->running_count--;
    check_free(check);
    waiting_start(arrivals);
}

static void waiting_start(struct arrivals *arrivals)
{
    while (arrivals->waiting && arrivals->running_count < ARRIVALS_AT_ONCE) {
        struct check *check = arrivals->waiting;
        arrivals->waiting = check->next;
        if (!arrivals->waiting)
            arrivals->waiting_end = &arrivals->waiting;
        atomic_fetch_sub(&arrivals->waiting_count, 1);
        check->next = arrivals->running;
        arrivals->running = check;
        arrivals->running_count++;
        check_run(check);
    }
}

static void on_checks(struct mailbox *mailbox, struct mail_item *batch)
{
    struct arrivals *arrivals = mailbox->owner;
    while (batch) {
        struct check *check = (struct check *)batch;
        batch = batch->next;
        check->next = NULL;
        *arrivals->waiting_end = check;
        arrivals->waiting_end = &check->next;
    }
    waiting_start(arrivals);
}

/* ── life ── */

struct arrivals *arrivals_start(struct store *store, struct world *world, struct slice host_name)
{
    struct arrivals *arrivals = NEW(struct arrivals);
    arrivals->store = store;
    arrivals->world = world;
    arrivals->waiting_end = &arrivals->waiting;
    snprintf(arrivals->host_name, sizeof(arrivals->host_name), "%.*s", SLICE_ARG(slice_head(host_name, 255)));
    arrivals->loop = loop_new(world);
    arrivals->dns = dns_client_new(arrivals->loop);
    mailbox_init(&arrivals->in, arrivals->loop, on_checks, arrivals);
    loop_thread_start(&arrivals->thread, arrivals->loop, NULL, NULL, NULL);
    loop_thread_name(&arrivals->thread, "arrivals");
    return arrivals;
}

static void list_free(struct check *check)
{
    while (check) {
        struct check *next = check->next;
        check_free(check);
        check = next;
    }
}

void arrivals_stop(struct arrivals *arrivals)
{
    if (!arrivals)
        return;
    loop_thread_join(&arrivals->thread);
    dns_client_free(arrivals->dns);
    list_free(arrivals->running);
    list_free(arrivals->waiting);
    for (struct mail_item *item = mailbox_take(&arrivals->in), *next; item; item = next) {
        next = item->next;
        check_free((struct check *)item);
    }
    mailbox_release(&arrivals->in);
    loop_free(arrivals->loop);
    free(arrivals);
}

/* A domain as the DNS is asked for it; what is none (too long, not ASCII) is not asked for. */
static struct slice lower_copy(struct slice text, struct arena *arena)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return SLICE("");
    if (text.len > DKIM_NAME_MAX)
        return SLICE("");
    char *copy = arena_str(arena, text);
    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(copy[i]);
    return slice_of(copy, text.len);
}

void arrivals_check(struct arrivals *arrivals, const struct inbound_row *mail, const struct mail_record *record)
{
    if (atomic_fetch_add(&arrivals->waiting_count, 1) >= ARRIVALS_WAITING) {
        atomic_fetch_sub(&arrivals->waiting_count, 1);
        return;
    }
    struct check *check = NEW(struct check);
    struct endpoint peer;
    struct fault ignored;
    check->arrivals = arrivals;
    check->mail_id = mail->id;
    check->at = mail->at;
    if (endpoint_parse(mail->peer, &peer, &ignored))
        check->ip = peer.ip;
    check->mail_from = arena_copy(&check->arena, mail->mail_from);
    check->helo = arena_copy(&check->arena, mail->helo);
    check->from_domain = lower_copy(record->from_domain, &check->arena);
    check->claims = record->dkim;
    check->lookup.arena = &check->arena;
    mailbox_post(&arrivals->in, &check->item);
}
