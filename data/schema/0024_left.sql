-- A mail that is too large to be fetched stays on its server, whatever the mailbox's `deletes` says; imap too, as
-- "UIDVALIDITY.UID".

ALTER TABLE mailbox_seen ADD COLUMN is_left INTEGER NOT NULL DEFAULT 0;
