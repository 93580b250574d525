-- What was kept of an IMAP folder, by content: a server that counts anew (UIDVALIDITY) shows every mail again under another number.
CREATE TABLE mailbox_content (
    mailbox_id BIGINT NOT NULL,
    sha256 BYTEA NOT NULL,
    uid_validity BIGINT NOT NULL,              -- of the counting that `met` is about
    kept INTEGER NOT NULL,                     -- copies of it that were kept
    met INTEGER NOT NULL,                      -- copies met in this counting
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (mailbox_id, sha256)
)
--sqlite WITHOUT ROWID
;
CREATE INDEX mailbox_content_at ON mailbox_content (mailbox_id, at_ms);
