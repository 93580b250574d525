-- Who made a key through the API (its limits are not more than the maker's, and it draws on the maker's rate), and since when sessions of
-- a key count: those begun before are over (access/key.h).
ALTER TABLE access_key ADD COLUMN maker_id BIGINT NOT NULL DEFAULT 0;          -- 0: the command line
ALTER TABLE access_key ADD COLUMN sessions_ended_ms BIGINT NOT NULL DEFAULT 0; -- 0: never
