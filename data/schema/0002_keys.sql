-- Keys: what each may do, for whom, how often; and answers that a repeated request gets again.

ALTER TABLE access_key ADD COLUMN scopes TEXT NOT NULL DEFAULT 'all';       -- words of access/key.h with commas between
ALTER TABLE access_key ADD COLUMN brand_ids TEXT NOT NULL DEFAULT '';       -- decimal ids with commas between; '': every brand
ALTER TABLE access_key ADD COLUMN rate INTEGER NOT NULL DEFAULT 0;          -- requests a minute; 0: no limit
ALTER TABLE access_key ADD COLUMN last_used_ms BIGINT NOT NULL DEFAULT 0;   -- to the minute
ALTER TABLE access_key ADD COLUMN revoked_ms BIGINT NOT NULL DEFAULT 0;     -- 0: not

-- Idempotency-Key: the answer is written in the transaction of what it answers, and kept for 24 hours.
CREATE TABLE idempotency (
    key_id BIGINT NOT NULL,
    token TEXT NOT NULL,
    request_sha256 BYTEA NOT NULL,             -- of method, path and body
    status INTEGER NOT NULL,
    answer BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (key_id, token)
)
--sqlite WITHOUT ROWID
;
CREATE INDEX idempotency_created ON idempotency (created_ms);
