-- A key that is paused lets nobody in until it is released (access/key.h): the alarm of its own rate may do that.
ALTER TABLE access_key ADD COLUMN paused_ms BIGINT NOT NULL DEFAULT 0;     -- since; 0: not
