-- Mailboxes of other servers that we empty (docs/mailboxes.md), and what of them is known.

CREATE TABLE mailbox (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,                        -- imap, pop3, maildir
    tls TEXT NOT NULL,                         -- tls, starttls, none
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    user_name TEXT NOT NULL,
    password_sealed BYTEA NOT NULL,            -- by the key file (store/seal.h)
    folder TEXT NOT NULL,                      -- imap: the folder; maildir: the directory
    ca_file TEXT NOT NULL DEFAULT '',
    deletes INTEGER NOT NULL,
    poll_s INTEGER NOT NULL,
    uid_validity BIGINT NOT NULL DEFAULT 0,    -- imap: all mails up to last_uid are kept
    last_uid BIGINT NOT NULL DEFAULT 0,
    fetched BIGINT NOT NULL DEFAULT 0,
    checked_ms BIGINT NOT NULL DEFAULT 0,
    fault TEXT NOT NULL DEFAULT '',            -- why the last round failed
    created_ms BIGINT NOT NULL
);

-- pop3, maildir: kept, and still there
CREATE TABLE mailbox_seen (
    mailbox_id BIGINT NOT NULL,
    uid TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (mailbox_id, uid)
)
--sqlite WITHOUT ROWID
;
