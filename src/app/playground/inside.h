/* inside.h - what the files of the playground share: one struct, all of it on the playground's loop
 *
 *     playground.c  thread, listeners, questions from other threads
 *     session.c     one connection: answers by fate
 *     auth.c        DKIM, SPF and DMARC of one mail
 *     courier.c     sends error mail and its kin by SMTP */
#ifndef TODOKE_APP_PLAYGROUND_INSIDE_H
#define TODOKE_APP_PLAYGROUND_INSIDE_H

#include "app/playground/inbox.h"
#include "app/playground/sites.h"
#include "base/map.h"
#include "dns/resolver.h"
#include "net/listener.h"
#include "net/mailbox.h"
#include <pthread.h>
#include <stdatomic.h>

struct session;
struct courier;

struct site_state {
    struct playground *playground;
    const struct site *site;
    struct listener *listener; /* NULL: connections to it are refused */
    uint64_t connections;
    time_ms busy_until; /* 0: nobody came yet */
    double tokens;      /* of rate_per_s, at most one second's */
    time_ms tokens_at;
};

/* Counters written by the loop, read by anybody. */
struct playground_tally {
    _Atomic uint64_t connections, in_tls, accepted, refused_forever, refused_for_now, lost;
    _Atomic uint64_t fate[FATE_COUNT], notices_sent[FATE_COUNT];
    _Atomic uint64_t notices_failed, notices_waiting;
    _Atomic uint64_t dkim_pass, spf_pass, dmarc_pass, auth_checked;
};
static inline void tally_add(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

enum { REMEMBERED_MOST = 100000 };

struct playground {
    struct playground_options options;
    struct world *world;
    struct loop *loop;
    struct dns_client *dns;
    struct tls_server *tls;
    struct courier *courier;
    struct site_state *states; /* site_count of them */
    struct inbox inbox;
    FILE *ledger;
    struct timer flush;
    struct map first_seen; /* "word address" -> time_ms * : refused for a while (greylisting and kin) */
    struct arena seen_memory;
    uint64_t next_id;
    struct playground_tally tally;
    struct mailbox asked;
    struct session *sessions; /* all that live, to end them when the playground stops */
    pthread_t thread;
    bool is_running, is_stopping;
};

static inline uint64_t playground_id(struct playground *playground)
{
    return ++playground->next_id;
}
/* One line of the ledger: what ("taken", "refused", "notice"), word, code, host, address, message-id. */
void playground_note(struct playground *playground, const char *what, enum fate fate, int code, const char *host,
                     struct slice address, struct slice message_id);

/* session.c */
void session_start(struct site_state *state, int fd, const struct endpoint *peer);
void sessions_end(struct playground *playground);

/* auth.c: ask what the checks need, and call back once (never from inside). */
struct auth_check;
struct auth_input {
    struct ip peer;
    struct slice mail_from, helo, mail; /* live until the answer */
};
struct auth_answer {
    const char *spf, *dkim, *dmarc; /* result words */
    bool spf_passes, dkim_passes, dmarc_passes;
    bool is_spf_exact, is_dkim_exact; /* passing domain == author_domain */
    bool dmarc_refuses;               /* fails, and the policy is reject */
    char author_domain[256];          /* of From; "" when it has none */
};
struct auth_check *auth_start(struct playground *playground, const struct auth_input *input,
                              void (*on_answer)(void *owner, const struct auth_answer *answer), void *owner);
void auth_cancel(struct auth_check *check);

/* courier.c */
struct courier *courier_new(struct playground *playground);
void courier_free(struct courier *courier);
/* Takes copies. Sent `in_ms` from now, tried again each second for a minute when refused for now. */
void courier_send(struct courier *courier, const struct site *site, enum fate fate, time_ms in_ms,
                  struct slice mail_from, struct slice mail_to, struct slice mail);

#endif
