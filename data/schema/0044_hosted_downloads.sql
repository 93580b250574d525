-- How often people downloaded a file (src/api/downloads.c): counted with the event, robots not.
ALTER TABLE hosted_file ADD COLUMN downloads BIGINT NOT NULL DEFAULT 0;
