/* session.h - SMTP connections to us: a listener, its sessions, their bounds; what is answered is the owner's policy
 *
 * Joins net/listener, net/stream, TLS and the server machine (smtp/server.h), and knows nothing of what the mail is
 * for. One front belongs to one loop. Every bound is kept here: sessions in all and for each address, the length of a
 * session, a client's silence (shorter when the house is nearly full: M6), memory for mail under way. */
#ifndef TODOKE_RECEIVE_SESSION_H
#define TODOKE_RECEIVE_SESSION_H

#include "net/listener.h"
#include "net/stream.h"
#include "smtp/server.h"

struct session_front;
struct session;

/* Zeros are the defaults named behind each line. */
struct session_limits {
    unsigned sessions;        /* at the same time; 0: 1000. More: 421 4.3.2 */
    unsigned sessions_of_one; /* from one address (IPv6: one /64); 0: 50. More: 421 4.7.0 */
    time_ms session_time;     /* a whole session; 0: 1 hour */
    time_ms stressed_silence; /* how long a client may be silent when 3/4 of the sessions are taken; 0: 10 s */
    time_ms answer_time;      /* how long the policy may think; 0: 120 s. Then it is 451 4.3.0 (R7) */
    size_t memory;            /* octets of mail under way in all sessions; 0: 256 MiB. More: 452 4.3.1 */
};

/* The policy. Events are those of smtp/server.h; CONNECT (too many), TLS_BEGIN, BODY and CLOSE are handled here. */
struct session_policy {
    /* A question, or RESET. Answer with smtp_server_accept and kin on session_machine(), here or later; later needs
     * session_go_on. Unanswered questions that are none of the policy's concern may be accepted here. */
    void (*on_event)(void *owner, struct session *session, const struct smtp_server_event *event);
    /* The open question is older than answer_time: answer it now. NULL: 451 4.3.0 is said here. */
    void (*on_overdue)(void *owner, struct session *session);
    /* It is over, answered or not; forget it. */
    void (*on_end)(void *owner, struct session *session);
};

struct session_options {
    struct listener_options listener;
    struct smtp_server_settings smtp; /* has_tls is set from `tls` */
    struct session_limits limits;
    struct tls_server *tls; /* NULL: no STARTTLS. Not owned */
    bool is_tls_first;      /* TLS from the first byte (465) */
};

/* WORLD: as listener_new. Options are copied; texts they point to stay alive. */
struct session_front *session_front_new(struct loop *loop, const struct session_options *options,
                                        const struct session_policy *policy, void *owner, struct fault *why);
/* Take no more connections. Sessions under way hear 421 and end: at once, or, where a question is open, after its
 * answer. The loop must run on until these answers are there, and a moment longer (SESSION_LAST_WORDS_MS) so that they
 * are heard. False: there were none, nothing to wait for. */
enum { SESSION_LAST_WORDS_MS = 200 };
bool session_front_stop(struct session_front *front);
/* As stop, but nobody is waited for; on_end is called for each. */
void session_front_free(struct session_front *front);
struct endpoint session_front_endpoint(const struct session_front *front);

struct smtp_server *session_machine(struct session *session);
const struct endpoint *session_peer(const struct session *session);
/* "Received: from HELO ([address])\r\n\tby HOST with ESMTPSA" (RFC 5321 4.4, RFC 3848): what follows is the caller's.
 * Of the name that was said only what may stand in one is written. */
void session_trace_begin(const struct session *session, struct slice host_name, struct buf *out);
/* What was said with EHLO; empty before. */
struct slice session_helo(const struct session *session);
/* The message so far. Kept until its MESSAGE question is answered, or RESET. */
struct slice session_body(const struct session *session);
/* Room for the policy's own. */
void session_set_data(struct session *session, void *data);
void *session_data(const struct session *session);

/* An open question was answered outside on_event. The session may be over when this returns. */
void session_go_on(struct session *session);

#endif
