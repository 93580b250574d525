/* failure.h - who handed in a mail is told of its failure by mail: multipart/report (RFC 3461-3464, M23)
 *
 * The ledger writes a row of notice_owed in the transaction of the failure, for mails that want reports; failure_send
 * turns rows into stored mails, in one transaction each time: told once, whatever crashes. Notices have the null sender
 * and are never told of themselves (R13). NOTIFY=NEVER, and NOTIFY without FAILURE, is silence. What was asked of
 * SUCCESS and DELAY is not told. */
#ifndef TODOKE_SUBMIT_FAILURE_H
#define TODOKE_SUBMIT_FAILURE_H

#include "submit/message.h"

struct failure_options {
    struct slice host_name; /* Reporting-MTA */
    time_ms now, expires_after;
    int date_offset_minutes;
};

/* Inside a write job: at most `most` of them. *news, in the arena: for engine_submitted once the commit is done.
 * *taken: rows taken; as many as `most`: there may be more. */
NODISCARD bool failure_send(struct db *db, struct fault *why, const struct failure_options *options, size_t most,
                            struct arena *arena, struct submit_news **news, size_t *news_count, size_t *taken);

/* The notice itself, for tests: of this failure of this mail, to message->mail_from. */
struct failure {
    uint64_t id; /* of the stored mail that it will be */
    const struct message *message;
    struct slice address, status, diagnostic, remote_mta;
    bool is_expired;
    time_ms failed_at;
    struct slice from_domain; /* mailer-daemon@this */
};
NODISCARD bool failure_write(const struct failure *notice, const struct failure_options *options, struct buf *out,
                             struct fault *why);
/* Whether he wants to hear of it (RFC 3461 4.1). */
bool failure_is_wanted(const struct message *message, struct slice address);

#endif
