-- People ask to be on a list themselves, and prove that it was they (double opt-in); they choose which lists they want.

-- The title is what people read on the form and on the page of their preferences; lists without one are shown to nobody there.
-- The notice is what they agree to.
ALTER TABLE list ADD COLUMN title TEXT NOT NULL DEFAULT '';
ALTER TABLE list ADD COLUMN notice TEXT NOT NULL DEFAULT '';
ALTER TABLE list ADD COLUMN has_form INTEGER NOT NULL DEFAULT 0; -- anybody may ask at /s/<list id>

-- 1: the address was typed by somebody and never confirmed. Such a contact gets no campaign, whatever list it is on.
ALTER TABLE contact ADD COLUMN unconfirmed INTEGER NOT NULL DEFAULT 0;

-- One row for each request; the proof of the consent once it is confirmed (L2).
CREATE TABLE optin (
    bucket INTEGER NOT NULL,                   -- of the address
    id BIGINT NOT NULL,
    list_id BIGINT NOT NULL,
    brand_id BIGINT NOT NULL,
    address TEXT NOT NULL,                     -- identity
    written TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    lang TEXT NOT NULL DEFAULT 'ja',
    source TEXT NOT NULL,                      -- form, api, preferences
    title TEXT NOT NULL DEFAULT '',            -- of the list and
    notice TEXT NOT NULL DEFAULT '',           -- what was agreed to, as they were shown
    asked_ms BIGINT NOT NULL,
    asked_ip TEXT NOT NULL DEFAULT '',
    asked_agent TEXT NOT NULL DEFAULT '',
    expires_ms BIGINT NOT NULL,
    mails INTEGER NOT NULL DEFAULT 0,          -- sent with the link
    mailed_ms BIGINT NOT NULL DEFAULT 0,
    message_id BIGINT NOT NULL DEFAULT 0,      -- the last of them
    confirmed_ms BIGINT NOT NULL DEFAULT 0,
    confirmed_ip TEXT NOT NULL DEFAULT '',
    confirmed_agent TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (bucket, id)
);
CREATE INDEX optin_address ON optin (bucket, address, list_id);
