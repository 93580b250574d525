/* unbound.c - what was found when trying libunbound: options and anchors must come before local data and stubs (later
 * ones fail); ub_resolve_event may call back before it returns; deleting the context forgets what is under way without
 * a word. So each question is listed here until it is answered.
 *
 * A question: `request` is set until it is answered; it is freed by whichever of callback and ub_resolve_event's
 * return comes last. */
#include "dns/unbound.h"

#include "base/log.h"
#include "dns/packet.h"
#include "net/mailbox.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unbound-event.h>
#include <unbound.h>

enum { CLASS_IN = 1, RCODE_NXDOMAIN = 3, SEC_BOGUS = 1, SEC_SECURE = 2 };

struct unbound {
    struct resolver resolver; /* first */
    struct loop *loop;
    struct mailbox inbox;
    struct ub_ctx *ctx;
    struct question *questions;
    pthread_t thread;
};

struct question {
    struct unbound *unbound;
    struct dns_request *request; /* NULL: answered */
    bool is_starting;            /* inside ub_resolve_event */
    struct question *next, *before;
};

static void question_free(struct question *question)
{
    if (question->before)
        question->before->next = question->next;
    else
        question->unbound->questions = question->next;
    if (question->next)
        question->next->before = question->before;
    free(question);
}

static const char *rcode_word(int rcode)
{
    switch (rcode) {
    case 1: return "FORMERR";
    case 2: return "SERVFAIL";
    case 4: return "NOTIMP";
    case 5: return "REFUSED";
    default: return "no answer";
    }
}

static void read_result(struct dns_request *request, int rcode, struct slice packet, int secure, const char *why_bogus)
{
    struct dns_answer *answer = &request->answer;
    *answer = (struct dns_answer){.ttl_seconds = DNS_FAILURE_TTL_MS / 1000};
    if (secure == SEC_BOGUS) {
        answer->status = DNS_BOGUS;
        answer->why = arena_copy(&request->arena, slice_str(why_bogus ? why_bogus : "DNSSEC validation failed"));
    } else if (rcode != 0 && rcode != RCODE_NXDOMAIN) {
        answer->status = DNS_TRY_LATER;
        answer->why = slice_str(rcode_word(rcode));
    } else {
        dns_packet_read(packet, request->name, request->type, &request->arena, answer);
        answer->is_secure = secure == SEC_SECURE && answer->status != DNS_TRY_LATER;
    }
}

static void on_result(void *mydata, int rcode, void *packet, int packet_len, int secure, char *why_bogus,
                      int was_ratelimited)
{
    struct question *question = mydata;
    struct dns_request *request = question->request;
    question->request = NULL;
    read_result(request, rcode, slice_of(packet, packet_len > 0 ? (size_t)packet_len : 0), secure, why_bogus);
    dns_request_answered(request);
    if (!question->is_starting)
        question_free(question);
}

static void start(struct unbound *unbound, struct dns_request *request)
{
    int async_id;
    struct question *question = NEW(struct question);
    question->unbound = unbound;
    question->request = request;
    question->is_starting = true;
    question->next = unbound->questions;
    if (question->next)
        question->next->before = question;
    unbound->questions = question;
    /* "." for the root; every other name has passed dns_name_normalise */
    int error = ub_resolve_event(unbound->ctx, request->name[0] ? request->name : ".", (int)request->type, CLASS_IN,
                                 question, on_result, &async_id);
    question->is_starting = false;
    if (error && question->request) {
        question->request = NULL;
        dns_request_failed(request, DNS_TRY_LATER, ub_strerror(error));
    }
    if (!question->request)
        question_free(question);
}

static void on_questions(struct mailbox *inbox, struct mail_item *batch)
{
    while (batch) {
        struct dns_request *request = (struct dns_request *)batch;
        batch = batch->next;
        start(inbox->owner, request);
    }
}

static void *run(void *arg)
{
    struct unbound *unbound = arg;
    pthread_setname_np(pthread_self(), "dns");
    loop_run(unbound->loop);
    return NULL;
}

static void unbound_ask(struct resolver *resolver, struct dns_request *request)
{
    mailbox_post(&((struct unbound *)resolver)->inbox, &request->item);
}

static void release(struct unbound *unbound)
{
    if (unbound->ctx)
        ub_ctx_delete(unbound->ctx);
    while (unbound->questions) {
        struct question *question = unbound->questions;
        dns_request_failed(question->request, DNS_TRY_LATER, "resolver stopped");
        question_free(question);
    }
    for (struct mail_item *item = mailbox_take(&unbound->inbox), *next; item; item = next) {
        next = item->next;
        dns_request_failed((struct dns_request *)item, DNS_TRY_LATER, "resolver stopped");
    }
    mailbox_release(&unbound->inbox);
    loop_free(unbound->loop);
    free(unbound);
}

static void unbound_free(struct resolver *resolver)
{
    struct unbound *unbound = (struct unbound *)resolver;
    loop_stop(unbound->loop);
    pthread_join(unbound->thread, NULL);
    release(unbound);
}

/* --- settings --- */

static bool set(struct unbound *unbound, const char *option, const char *value, struct fault *why)
{
    int error = ub_ctx_set_option(unbound->ctx, option, value);
    return !error || fault_set(why, FAULT_INPUT, "dns: option %s %s: %s", option, value, ub_strerror(error));
}

static bool set_anchors(struct unbound *unbound, const struct unbound_options *options, struct fault *why)
{
    static const char debian[] = "/usr/share/dns/root.key";
    struct stat there;
    const char *file = options->anchor_file;
    int error;
    if (!file && stat(debian, &there) == 0)
        file = debian;
    if (file && stat(file, &there) != 0) /* libunbound would only notice at the first question */
        return fault_errno(why, "dns: trust anchors in %s", file);
    if (file && (error = ub_ctx_add_ta_file(unbound->ctx, file)))
        return fault_set(why, FAULT_INPUT, "dns: trust anchors in %s: %s", file, ub_strerror(error));
    for (const char *const *anchor = options->anchors; anchor && *anchor; anchor++)
        if ((error = ub_ctx_add_ta(unbound->ctx, *anchor)))
            return fault_set(why, FAULT_INPUT, "dns: trust anchor \"%s\": %s", *anchor, ub_strerror(error));
    if (!file && !options->anchors)
        log_warn("dns", "no trust anchor (install dns-root-data): DNSSEC and DANE are off");
    return true;
}

static bool is_loopback_server(const char *server)
{
    struct slice rest = slice_str(server), address;
    struct ip ip;
    return slice_split(&rest, '@', &address) && ip_parse(address, &ip) && ip_is_loopback(&ip);
}

static bool set_servers(struct unbound *unbound, const struct unbound_options *options, bool is_playground,
                        struct fault *why)
{
    const char *forward = options->forward;
    bool answers_nothing = is_playground && !forward;
    int error;
    if (is_playground && (options->resolv_conf || (forward && !is_loopback_server(forward))))
        return fault_set(why, FAULT_INPUT, "dns: %s: only loopback servers may be asked in demo, bench and tests",
                         options->resolv_conf ? options->resolv_conf : forward);
    if (forward && (error = ub_ctx_set_fwd(unbound->ctx, forward)))
        return fault_set(why, FAULT_INPUT, "dns: forward to %s: %s", forward, ub_strerror(error));
    if (options->resolv_conf && (error = ub_ctx_resolvconf(unbound->ctx, options->resolv_conf)))
        return fault_set(why, FAULT_INPUT, "dns: %s: %s", options->resolv_conf, ub_strerror(error));
    for (const char *const *stub = options->stubs; stub && stub[0] && stub[1]; stub += 2) {
        if (is_playground && !is_loopback_server(stub[1]))
            return fault_set(why, FAULT_INPUT, "dns: %s: only loopback servers may be asked in demo, bench and tests",
                             stub[1]);
        if ((error = ub_ctx_set_stub(unbound->ctx, stub[0], stub[1], 0)))
            return fault_set(why, FAULT_INPUT, "dns: %s at %s: %s", stub[0], stub[1], ub_strerror(error));
    }
    for (const char *const *stub = options->stubs; stub && stub[0] && stub[1]; stub += 2) /* local data comes last */
        if (answers_nothing && (error = ub_ctx_zone_add(unbound->ctx, stub[0], "transparent")))
            return fault_set(why, FAULT_INPUT, "dns: %s: %s", stub[0], ub_strerror(error));
    /* The playground without a forward: what no stub answers is refused here, and nobody is asked. */
    if (answers_nothing && (error = ub_ctx_zone_add(unbound->ctx, ".", "refuse")))
        return fault_set(why, FAULT_WORLD, "dns: %s", ub_strerror(error));
    return true;
}

static bool set_options(struct unbound *unbound, const struct unbound_options *options, bool is_playground,
                        struct fault *why)
{
    static const struct {
        const char *option, *value;
    } settings[] = {
        {"use-syslog:", "no"},
        {"qname-minimisation:", "yes"},
        {"rrset-cache-size:", "16m"},
        {"msg-cache-size:", "8m"},
        {"cache-max-ttl:", "86400"},
        {"cache-max-negative-ttl:", "900"},
        /* the library's defaults are for one user's desktop */
        {"outgoing-range:", "512"},
        {"num-queries-per-thread:", "2048"},
    };
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        if (!set(unbound, settings[i].option, settings[i].value, why))
            return false;
    if (!set(unbound, "module-config:", options->is_insecure ? "iterator" : "validator iterator", why) ||
        !set(unbound, "do-not-query-localhost:", is_playground ? "no" : "yes", why))
        return false;
    return (options->is_insecure || set_anchors(unbound, options, why)) &&
           set_servers(unbound, options, is_playground, why);
}

struct resolver *unbound_resolver_new(struct world *world, const struct unbound_options *options, struct fault *why)
{
    struct unbound *unbound = NEW(struct unbound);
    unbound->resolver = (struct resolver){unbound_ask, unbound_free};
    unbound->loop = loop_new(world);
    mailbox_init(&unbound->inbox, unbound->loop, on_questions, unbound);
    unbound->ctx = ub_ctx_create_event(loop_base(unbound->loop));
    if (!unbound->ctx) {
        fault_set(why, FAULT_WORLD, "dns: libunbound cannot start");
        release(unbound);
        return NULL;
    }
    ub_ctx_debuglevel(unbound->ctx, 0);
    if (!set_options(unbound, options, world->network.mode == NETWORK_LOOPBACK, why)) {
        release(unbound);
        return NULL;
    }
    if (pthread_create(&unbound->thread, NULL, run, unbound) != 0) {
        fault_set(why, FAULT_WORLD, "dns: cannot start a thread");
        release(unbound);
        return NULL;
    }
    return &unbound->resolver;
}
