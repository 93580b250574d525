-- A mail is found by its Message-ID. SQLite: in the order of arrival, so that new entries share a page; a search reads as many entries as mails are
-- kept, without their bodies. 0: older than this column.
ALTER TABLE message ADD COLUMN name_hash BIGINT NOT NULL DEFAULT 0;
--sqlite CREATE INDEX message_name ON message (id, name_hash);
--postgres CREATE INDEX message_name ON message (name_hash);
