-- Stored mails (submit/message.h). The first schema's table was never written to.
DROP TABLE message;

-- A mail to be sent as it is, once for all its recipients; bucketed by its own id. The body goes when no delivery needs it any more
-- and keep_until_ms has come; what the mail was stays as long as its events. A table with rowids: without them SQLite
-- compares whole rows, bodies and all, on the way to each.
CREATE TABLE message (
    bucket INTEGER NOT NULL,
    id BIGINT NOT NULL,
    brand_id BIGINT NOT NULL,
    key_id BIGINT NOT NULL DEFAULT 0,          -- the access key it came with; 0: none
    mail_from TEXT NOT NULL,                   -- where its sender wants reports to go; '' : the null sender, on the wire too
    from_domain TEXT NOT NULL,                 -- of the From header: whose DKIM key signs
    message_id TEXT NOT NULL DEFAULT '',       -- the Message-ID header, with brackets
    subject TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '',             -- one a line
    label TEXT NOT NULL DEFAULT '',            -- what its sender calls the campaign
    envelope TEXT NOT NULL DEFAULT '',         -- what was said about reports (RFC 3461), as JSON; '' : nothing
    flags INTEGER NOT NULL DEFAULT 0,          -- enum message_flag
    size_bytes BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    keep_until_ms BIGINT NOT NULL,             -- the body is looked at then; 0: it is gone
    deliveries BYTEA NOT NULL,                 -- the ids of them, 8 octets each, the most significant first
    body BYTEA NOT NULL,
    PRIMARY KEY (bucket, id)
);
CREATE INDEX message_keep ON message (keep_until_ms) WHERE keep_until_ms > 0;
