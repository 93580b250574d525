/* join.h - error mail meets our own records: who is it about, is it genuine, and what follows
 *
 *     inbound row (durable) --read--> claims --join: token, Message-ID, store--> authenticity --> event, state,
 * exclusion
 *
 *   genuine      the envelope's recipient is one of our signed return paths; or the mail quotes the Message-ID of a
 * mail that we really sent to that very address. Only these change anything, and only that one delivery's address (M24,
 * S12); by a return path that recipients of one transaction share, those whom the mail names, of that domain, and to
 * whom it really went (mailauth/return_path.h): if it names nobody of them, it is unverified. forged       it came to a
 * return path whose signature is not ours, or is a phish dressed as an error mail backscatter  it is about a mail with
 * our Message-ID form that we never sent to that address unverified   anything else
 *
 * A mail to u-<token>@ unsubscribes (List-Unsubscribe by mail, L4), whatever it says; a token that is not ours is a
 * forgery like any other.
 *
 * Ordinary mail, which claims nothing, is kept and no more. All but genuine claims are counted as one EVENT_UNVERIFIED
 * each, and touch no contact. Reading happens outside the writer's thread; the outcome, its event and the row's state
 * "read" are one transaction, so a crash in between reads the mail again and counts it once. */
#ifndef TODOKE_RECEIVE_JOIN_H
#define TODOKE_RECEIVE_JOIN_H

#include "mailauth/return_path.h"
#include "net/mailbox.h"
#include "queue/ledger.h"
#include "receive/jail.h"
#include "receive/record.h"

/* A received mail as its row has it. */
struct inbound_row {
    uint64_t id;
    time_ms at;
    struct slice mail_from;
    struct slice rcpt_to; /* empty: not known, it came from a mailbox; then its headers are asked */
    struct slice peer, helo, raw;
};

/* Make the mail durable: inside a write job. Fills id. */
NODISCARD bool inbound_save(struct db *db, struct fault *why, struct inbound_row *mail, time_ms now);

/* What one mail means for our records, before it is written. Slices in the arena, the mail and the rules. */
struct join {
    uint64_t mail_id;
    struct ledger_move *moves; /* final failures: deliveries to be bounced */
    size_t move_count;
    struct event *events; /* everything that moves nothing: delays, complaints, auto-replies, unverified */
    size_t event_count;
    const struct report_record *report; /* to be kept; NULL: none */
    struct slice from_domain;
    struct slice put_aside; /* it could not be read: why, and nothing else is set */
};

struct joiner {
    const struct rules *rules;
    struct rules_scratch *scratch; /* the thread's */
    const struct token_ring *ring;
    struct db *reader;
};
/* What a mail's record means: look up what it is about. WORLD: the store cannot be read. Never INPUT: whatever the
 * record says, there is an answer. The record stays as long as the join. */
NODISCARD bool join_record(const struct joiner *joiner, const struct inbound_row *mail,
                           const struct mail_record *record, time_ms now, struct arena *arena, struct join *join,
                           struct fault *why);
/* The same with the reading, in this process: for tests and tools. */
NODISCARD bool join_read(const struct joiner *joiner, const struct inbound_row *mail, time_ms now, struct arena *arena,
                         struct join *join, struct fault *why);
/* Only what the claim of a mail is worth, which changes nothing: for commands. Its headers stand for the envelope. */
NODISCARD bool join_prove(const struct joiner *joiner, const struct mime_mail *mail, const struct bounce *bounce,
                          time_ms now, struct arena *arena, enum authenticity *authenticity, struct fault *why);
/* Write it: inside a write job. A mail that was joined already changes nothing; one about a delivery whose bucket
 * another node holds stays new, for that node. */
NODISCARD bool join_write(const struct ledger *ledger, struct db *db, struct fault *why, struct join *join);
/* It cannot be read, or what it means cannot be written (a fault that will not pass): put it aside for a person, state
 * 2, with why. In a write job. */
NODISCARD bool join_give_up(struct db *db, struct fault *why, uint64_t mail_id, struct slice reason);

/* Whoever this delivery went to asks its brand to stop (L4, M46): inside a write job. *found false: there is no such
 * delivery any more. */
NODISCARD bool join_unsubscribe(const struct ledger *ledger, struct db *db, struct fault *why, uint64_t delivery_id,
                                time_ms now, bool *found);

/* A thread that follows new inbound rows and joins them, woken after commits and by the store's poll. */
struct join_reader;
struct arrivals;
struct join_reader_options {
    struct leases *leases; /* of several nodes each reads the mails of its own buckets; NULL: there is only one */
    struct store *store;
    struct world *world;
    const struct rules *rules;
    struct ledger ledger;
    const struct token_ring *ring;
    struct arrivals *arrivals; /* checks who sent it; not owned. NULL: nobody does */
    struct jail *jail; /* reads the mails, and is this thread's from here on; not owned. NULL: tests, read in place */
};
struct join_reader *join_reader_start(const struct join_reader_options *options, struct fault *why);
void join_reader_stop(struct join_reader *reader);

/* Bytes that somebody wants to have read, for their meaning alone: they go through the jail as a received mail does, in
 * their turn, and nothing follows from them. From any thread; `done` on the reader's. The asker waits for it before
 * the reader is stopped. */
struct join_question {
    struct mail_item item;
    struct slice mail; /* the asker's, until done */
    void (*done)(struct join_question *question);
    struct arena arena;        /* of the answer; the asker lets it go */
    struct mail_record record; /* when is_read */
    bool is_read;
    struct fault why; /* not read: INPUT the mail (its reader died of it), WORLD: not now */
};
void join_reader_ask(struct join_reader *reader, struct join_question *question);

#endif
