/* submission_parts.h - what submission.c (who, from, to) and submission_mail.c (the mail) share; nobody else */
#ifndef TODOKE_RECEIVE_SUBMISSION_PARTS_H
#define TODOKE_RECEIVE_SUBMISSION_PARTS_H

#include "base/map.h"
#include "dns/null_mx.h"
#include "net/mailbox.h"
#include "receive/submission.h"

struct submission {
    struct loop *loop;
    struct submission_options options;
    struct session_front *fronts[2]; /* STARTTLS, TLS; NULL: none, or stopped */
    struct mailbox done;
    unsigned pending;
    struct submission_counts counts;
    struct map failures;     /* address -> struct failures: wrong keys */
    struct id_map hours;     /* key -> struct hour: recipients accepted */
    struct null_mx *null_mx; /* NULL: nobody asks */
    struct arena arena;
};

struct wanted {
    struct address_pair {
        struct slice identity, written;
    } address;
    unsigned notify; /* enum smtp_notify; 0: not said */
    struct slice orcpt;
};

/* What a session has said. */
struct client {
    struct submitter who;
    bool is_known, is_null_sender;
    bool ret_full, ret_headers;
    enum who_found scram; /* what the exchange under way will end with */
    struct submitter scram_who;
    struct arena arena; /* of the present envelope */
    struct slice mail_from, envid;
    struct wanted *recipients;
    size_t count, room, reserved; /* reserved: in the key's hour */
    struct map seen;              /* identities */
    struct pending *pending;
    /* The sender's domain is being asked about: after MAIL (unsent NULL), or after the message */
    struct sender_asked {
        struct submission *submission;
        struct session *session;
        struct null_mx_question *question;
        struct pending *unsent;
    } asked;
};

time_ms submission_now(const struct submission *submission);
#define SUBMISSION_NULL_MX "550 5.7.27"
/* Nobody waits for that answer any more. */
void sender_forget(struct client *client);
void pending_free(struct pending *pending); /* NULL is fine */
/* Answer on one line: code and text, without what may not stand there. */
void submission_refuse(struct session *session, const char *reply, struct slice text);
/* It is over: what was reserved for it and not used goes back. */
void envelope_forget(struct submission *submission, struct client *client);
/* The message has been read: prepare it, and give it to the writer. */
void submission_message(struct submission *submission, struct session *session, struct client *client);
/* Nobody waits for it any more. is_unwanted: and it must not be kept. */
void pending_cut(struct client *client, bool is_unwanted);
void submission_done(struct mailbox *mailbox, struct mail_item *batch);

#endif
