/* notice.h - who handed in a mail is told by mail what became of it: multipart/report (RFC 3461-3464, M23)
 *
 * The ledger writes a row of notice_owed in the transaction of the outcome (queue/owed_notice.h), for mails that want
 * reports; notice_send turns rows into stored mails, in one transaction each time: told once, whatever crashes. Notices
 * have the null sender and are never told of themselves (R13).
 *
 *     NOTIFY not said   failure
 *     NEVER             nothing
 *     FAILURE           refused for good, or given up: Action: failed
 *     SUCCESS           the other side took it: Action: relayed. The wish is not passed on, since the return path on
 * the wire is ours; so it is the last that is heard (RFC 3461 5.2.2) DELAY             still not delivered after
 * submission.delay_after: Action: delayed, once
 *
 * RET=FULL counts for failures only (RFC 3461 4.3); ENVID and ORCPT are given back as they came. */
#ifndef TODOKE_SUBMIT_NOTICE_H
#define TODOKE_SUBMIT_NOTICE_H

#include "queue/owed_notice.h"
#include "submit/message.h"

struct notice_options {
    struct slice host_name; /* Reporting-MTA */
    time_ms now, expires_after;
    int date_offset_minutes;
};

/* Inside a write job: at most `most` of them. *news, in the arena: for engine_submitted once the commit is done.
 * *taken: rows taken; as many as `most`: there may be more. */
NODISCARD bool notice_send(struct db *db, struct fault *why, const struct notice_options *options, size_t most,
                           struct arena *arena, struct submit_news **news, size_t *news_count, size_t *taken);

/* The notice itself, for tests: of this outcome of this mail, to message->mail_from. */
struct notice {
    uint64_t id; /* of the stored mail that it will be */
    enum notice_kind kind;
    const struct message *message;
    struct slice address, status, diagnostic, remote_mta;
    bool is_expired;
    time_ms at;
    time_ms retry_until;      /* of a delay */
    struct slice from_domain; /* mailer-daemon@this */
};
NODISCARD bool notice_compose(const struct notice *notice, const struct notice_options *options, struct buf *out,
                              struct fault *why);
/* Whether he wants to hear of it (RFC 3461 4.1). */
bool notice_is_wanted(const struct message *message, struct slice address, enum notice_kind kind);

#endif
