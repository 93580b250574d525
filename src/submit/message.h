/* message.h - a mail that is stored as it is, once for all its recipients: what comes by SMTP, and single sends by HTTP
 *
 * The bytes are complete before they come here (submit/prepare.h): every header but those that differ from recipient to
 * recipient and the DKIM signature, which the composer adds (app/mailer_stored.c). So a retry is the same mail.
 *
 *     prepared --message_submit, inside a write job--> stored, its deliveries waiting (campaign_id 0, priority 0)
 *              --all deliveries have ended, and keep_until has come: message_sweep--> the body is gone, the row stays
 *
 * A mail is accepted (250, 202) when the job's commit is done, and only then. */
#ifndef TODOKE_SUBMIT_MESSAGE_H
#define TODOKE_SUBMIT_MESSAGE_H

#include "submit/submit.h"

/* numbers in the store */
enum message_flag {
    MESSAGE_NEEDS_8BIT = 1,
    MESSAGE_NEEDS_SMTPUTF8 = 2, /* because of its header; a recipient's local part may need it too */
    MESSAGE_UNSUBSCRIBE = 4,    /* every recipient gets List-Unsubscribe of his own (RFC 8058) */
    MESSAGE_LETTER = 8,         /* the body is no mail yet but a letter (content/letter.h) */
    MESSAGE_NULL_SENDER = 16,   /* MAIL FROM:<> on the wire too: error mail of others, and ours (R13) */
    MESSAGE_REPORTS = 32,       /* mail_from is told by mail what became of it (submit/notice.h) */
    MESSAGE_WAIVES_TLS = 64,    /* TLS-Required: No: delivered whatever its receivers' policies demand of TLS */
};
/* TLS-Required, field by field (RFC 8689 3): does the mail waive its receivers' TLS policies? Only where one field
 * stands, and it says No, in whatever case; everything else is as if it were not there. */
struct tls_required {
    unsigned fields;
    bool says_no;
};
static inline void tls_required_take(struct tls_required *seen, struct slice value)
{
    seen->says_no = slice_equal_caseless(slice_trim(value), SLICE("no"));
    seen->fields++;
}
static inline bool tls_required_is_waived(const struct tls_required *seen)
{
    return seen->fields == 1 && seen->says_no;
}
enum {
    MESSAGE_RECIPIENTS_MAX = 10000, /* of one stored mail */
    MESSAGE_TAGS_MAX = 10,
    MESSAGE_TAG_MAX = 128, /* octets; a label too */
};

struct message {
    uint64_t
        id; /* id_make_anywhere(store_ids(store), now): made before the job, since its Message-ID derives from it */
    uint64_t brand_id, key_id;
    struct slice mail_from;           /* bare, may be empty: whom reports go to. On the wire stands our return path */
    struct slice from_domain;         /* lower-case A-label: chooses the DKIM key */
    struct slice message_id, subject; /* for people and programs that look for it; cut by the caller as he likes */
    struct slice tags, label;         /* tags: one a line */
    struct slice envelope;            /* RFC 3461 wishes as JSON (submit/notice.h); empty: none */
    unsigned wishes;                  /* NOTICE_RELAYED, NOTICE_DELAYED: some recipient's NOTIFY asks for it */
    time_ms delay_at;                 /* then it is late */
    unsigned flags;                   /* enum message_flag */
    size_t recipients;                /* how many, for who composes it; message_submit asks its rows */
    struct slice body;                /* CRLF lines, not dot-stuffed */
    int priority;                     /* 0 transactional, 1 bulk */
    time_ms now, due, expires;        /* due > now: scheduled. expires counts from due */
    time_ms keep_until;               /* the body stays at least until then, for people who look at it */
};

/* Store the mail and its deliveries. Rows are sorted by bucket here, and get their delivery_id; addresses must differ.
 * *news as in submit.h: for engine_submitted once the commit is done. Call it last in the job. INPUT: no recipients, or
 * more than MESSAGE_RECIPIENTS_MAX; an address without domain. */
NODISCARD bool message_submit(struct db *db, struct fault *why, const struct message *message, struct submit_row *rows,
                              size_t count, struct arena *arena, struct submit_news **news, size_t *news_count);

/* What one recipient's templates see, and how he is called; kept with his delivery, gone with the body. */
struct message_data {
    uint64_t delivery_id;
    struct slice name;
    struct slice data; /* a JSON object; empty: none */
};
/* Inside the write job, behind message_submit. */
NODISCARD bool message_data_keep(struct db *db, struct fault *why, const struct message_data *data, size_t count);

/* A stored mail as it was given (wishes, priority, due and expires are not read back). INPUT: there is none. The body
 * is empty when it has been swept. `wants_body` false: without it. */
NODISCARD bool message_find(struct db *db, struct fault *why, uint64_t id, bool wants_body, struct arena *arena,
                            struct message *message);
/* Recipients of what a key handed in (not by the API: no letters), mail by mail, since then: after a restart hourly
 * limits go on where they were. */
NODISCARD bool message_usage(struct db *db, struct fault *why, time_ms since,
                             void (*take)(void *context, uint64_t key_id, time_ms at, size_t recipients),
                             void *context);
/* Its deliveries' ids. */
NODISCARD bool message_deliveries(struct db *db, struct fault *why, uint64_t id, struct arena *arena, uint64_t **ids,
                                  size_t *count);
/* The deliveries of the mails with this Message-ID (as its header has it, with brackets), oldest mail first, at most
 * `most`; none is no fault. On SQLite a search reads an entry of 20 octets for each mail that is kept. */
NODISCARD bool message_named(struct db *db, struct fault *why, struct slice message_id, uint64_t *ids, size_t most,
                             size_t *count);

/* Inside a write job: look at no more than `most` bodies whose keep_until has come; those that no delivery needs go,
 * the others are looked at again an hour later. *looked: how many; as many as `most`: there may be more. */
NODISCARD bool message_sweep(struct db *db, struct fault *why, time_ms now, size_t most, size_t *looked);

#endif
