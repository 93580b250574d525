/* box.h - mailboxes of other servers that we empty: IMAP, POP3, or a Maildir on this machine
 *
 *     listed --known already? no--> fetched --> kept: inbound row and mark in one transaction --> deleted, or left
 *
 * What was kept is known durably: for IMAP the UIDVALIDITY and the last UID (the row in `mailbox`), else the UIDL or
 * the file's name (a row in `mailbox_seen`). So a crash between keeping and deleting repeats no mail. When a server
 * changes UIDVALIDITY all of the folder is read anew, and what was kept before is known by its content
 * (`mailbox_content`): nothing is missed, nothing counted twice. A mail that is too large is never ours to delete: it
 * has a row in `mailbox_seen` too (IMAP: "UIDVALIDITY.UID").
 *
 * A fetched mail has no envelope: whom it was for is found by the tokens in its headers, or by Message-ID (join.h). */
#ifndef TODOKE_RECEIVE_BOX_H
#define TODOKE_RECEIVE_BOX_H

#include "net/network.h"
#include "store/seal.h"

#define BOX_KINDS(X)              X(IMAP, imap) X(POP3, pop3) X(MAILDIR, maildir)
#define BOX_TLS(X)                X(WHOLE, tls) X(START, starttls) X(NONE, none)
#define BOX_KIND_ENUM(NAME, word) BOX_##NAME,
#define BOX_TLS_ENUM(NAME, word)  BOX_TLS_##NAME,
enum box_kind { BOX_KINDS(BOX_KIND_ENUM) BOX_KIND_COUNT };
enum box_tls { BOX_TLS(BOX_TLS_ENUM) BOX_TLS_COUNT };
struct slice box_kind_word(enum box_kind kind);
struct slice box_tls_word(enum box_tls tls);
NODISCARD bool box_kind_of(struct slice word, enum box_kind *kind);
NODISCARD bool box_tls_of(struct slice word, enum box_tls *tls);

enum {
    BOX_TEXT_MAX = 250,
    BOX_MAIL_MAX = 50 << 20, /* octets; a larger one is named in the log and left where it is */
    BOX_POLL_MIN_S = 1,
};

/* C strings, because libcurl wants them. */
struct box {
    uint64_t id;
    char name[BOX_TEXT_MAX + 1];
    enum box_kind kind;
    enum box_tls tls;
    char host[BOX_TEXT_MAX + 1];
    unsigned port;
    char user[BOX_TEXT_MAX + 1];
    char folder[BOX_TEXT_MAX + 1];  /* IMAP: the folder; MAILDIR: the directory with new/ and cur/ */
    char ca_file[BOX_TEXT_MAX + 1]; /* certificates to trust instead of the system's; empty: the system's */
    bool deletes;
    unsigned poll_s;
    uint64_t uid_validity, last_uid; /* IMAP */
    time_ms checked;
    uint64_t fetched;
    char fault[BOX_TEXT_MAX + 1]; /* why the last round failed; empty: it did not */
};

/* INPUT names the member that is no good, and fills in the port of the kind when it is 0. */
NODISCARD bool box_check(struct box *box, struct fault *why);
/* In write transactions. add: INPUT when the name is taken. */
NODISCARD bool box_add(struct db *db, struct fault *why, const struct seal_key *seal, struct box *box,
                       struct slice password, time_ms now);
NODISCARD bool box_remove(struct db *db, struct fault *why, struct slice name, bool *found);
/* A clock that was set back is no reason to wait until it is where it was (F8). */
bool box_is_due(const struct box *box, time_ms now);
/* How a round went; fault empty: well. */
NODISCARD bool box_checked(struct db *db, struct fault *why, uint64_t id, time_ms now, const char *fault);

/* All of them, or the one of that name; malloc'ed. */
NODISCARD bool box_list(struct db *db, struct fault *why, struct slice name, struct box **boxes, size_t *count);
NODISCARD bool box_password(struct db *db, struct fault *why, const struct seal_key *seal, const struct box *box,
                            struct buf *password);

/* A mail that a round found. bytes empty and is_too_large: it has more than BOX_MAIL_MAX. */
struct box_mail {
    struct slice uid; /* UIDL or file name; IMAP: empty */
    uint64_t number;  /* IMAP: the UID */
    struct slice bytes;
    bool is_too_large;
};
enum box_mark { BOX_NEW, BOX_KEPT, BOX_LEFT /* too large */ };
/* In a write transaction: keep it as an inbound row, unless it is known. */
NODISCARD bool box_keep(struct db *db, struct fault *why, const struct box *box, const struct box_mail *mail,
                        time_ms now, bool *is_new);
/* What is known of these; `marks` has `count` entries. */
NODISCARD bool box_known(struct db *db, struct fault *why, const struct box *box, const struct slice *uids,
                         size_t count, enum box_mark *marks);
/* In a write transaction: forget all but these. */
NODISCARD bool box_forget(struct db *db, struct fault *why, const struct box *box, const struct slice *uids,
                          size_t count);

/* What a round asks its owner. */
struct box_owner {
    void *self;
    /* Fill `marks` for these uids, all that are there (IMAP: only asked for what is left). */
    bool (*listed)(void *self, const struct slice *uids, size_t count, enum box_mark *marks, struct fault *why);
    /* Keep it durably; box->last_uid and uid_validity are up to date when it is asked. */
    bool (*keep)(void *self, struct box *box, const struct box_mail *mail, struct fault *why);
    const _Atomic bool *is_stopping;
};
/* One round: look, fetch what is new, delete what is kept (when the box says so). owner NULL: only look. *count: mails
 * that are there (only looked), or were fetched. Blocks. WORLD: server, network or disk; INPUT: password or folder. */
NODISCARD bool box_collect(struct box *box, const char *password, const struct network *network,
                           const struct box_owner *owner, uint64_t *count, struct fault *why);

#endif
