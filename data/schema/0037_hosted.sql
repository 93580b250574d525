-- Files for download (src/hosted). The bytes stand in pieces, once for all files that are the same.
CREATE TABLE hosted_body (
    id BIGINT NOT NULL PRIMARY KEY,
    sha256 BYTEA NOT NULL,
    size_bytes BIGINT NOT NULL,
    state INTEGER NOT NULL,                    -- enum hosted_body_state
    uses BIGINT NOT NULL,                      -- files that are there and have these bytes
    touched_ms BIGINT NOT NULL                 -- the last piece, the last use that came or went
);
CREATE INDEX hosted_body_sha256 ON hosted_body (sha256) WHERE state = 1;
CREATE INDEX hosted_body_unused ON hosted_body (touched_ms) WHERE uses = 0;

CREATE TABLE hosted_piece (
    body_id BIGINT NOT NULL,
    place INTEGER NOT NULL,                    -- from 0; all but the last are HOSTED_PIECE octets
    bytes BYTEA NOT NULL,
    PRIMARY KEY (body_id, place)
);
--postgres ALTER TABLE hosted_piece ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE hosted_file (
    id BIGINT NOT NULL PRIMARY KEY,
    brand_id BIGINT NOT NULL,
    body_id BIGINT NOT NULL,
    key_id BIGINT NOT NULL DEFAULT 0,          -- the access key it came with; 0: none
    message_id BIGINT NOT NULL DEFAULT 0,      -- it came with this mail, as an attachment; 0: by itself
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,          -- enum hosted_state
    ended_ms BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX hosted_file_name ON hosted_file (brand_id, name, id) WHERE state = 0;
CREATE INDEX hosted_file_expires ON hosted_file (expires_ms) WHERE state = 0;
CREATE INDEX hosted_file_ended ON hosted_file (ended_ms) WHERE state <> 0;

-- What people download, beside what they open and click (report/engaged.h).
ALTER TABLE engaged ADD COLUMN downloads INTEGER NOT NULL DEFAULT 0;      -- by people
ALTER TABLE engaged ADD COLUMN downloaded_ms BIGINT NOT NULL DEFAULT 0;   -- the first time; 0: never
ALTER TABLE engaged ADD COLUMN burst_downloads INTEGER NOT NULL DEFAULT 0;
