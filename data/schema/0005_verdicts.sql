-- What is decided about error mail: policies by brand, verdicts that are held (suppress/guard.h), alarms, words that nobody could read.

ALTER TABLE brand ADD COLUMN policy TEXT NOT NULL DEFAULT '';              -- name of a policy; '': the installation's
ALTER TABLE brand ADD COLUMN policy_threshold INTEGER NOT NULL DEFAULT 0;  -- 0: the policy's own

-- The share of unknown users at each site: this window, the one before, and what is normal for it. While the guard holds, answers
-- count into the round instead.
CREATE TABLE site_guard (
    site TEXT PRIMARY KEY,
    is_holding INTEGER NOT NULL DEFAULT 0,
    asked INTEGER NOT NULL DEFAULT 0,          -- 1: the held ones are to be tried again, 2: their verdicts are to be believed
    since_ms BIGINT NOT NULL DEFAULT 0,        -- of the hold
    window_ms BIGINT NOT NULL,                 -- when this window began
    tried BIGINT NOT NULL DEFAULT 0,
    unknown BIGINT NOT NULL DEFAULT 0,
    tried_before BIGINT NOT NULL DEFAULT 0,
    unknown_before BIGINT NOT NULL DEFAULT 0,
    tried_ever BIGINT NOT NULL DEFAULT 0,      -- old windows, the oldest fading
    unknown_ever BIGINT NOT NULL DEFAULT 0,
    round_tried BIGINT NOT NULL DEFAULT 0,
    round_unknown BIGINT NOT NULL DEFAULT 0,
    rounds INTEGER NOT NULL DEFAULT 0,         -- vain tries
    probe_ms BIGINT NOT NULL DEFAULT 0         -- the next try
);
CREATE INDEX site_guard_busy ON site_guard (is_holding, asked) WHERE is_holding = 1 OR asked > 0;
-- Which site a domain was last delivered at: an error mail tells only the domain.
CREATE TABLE site_domain (
    domain TEXT PRIMARY KEY,
    site TEXT NOT NULL
);
CREATE TABLE held_verdict (
    bucket INTEGER NOT NULL,
    delivery_id BIGINT NOT NULL,
    site TEXT NOT NULL,
    address TEXT NOT NULL,
    brand_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    reason INTEGER NOT NULL,                   -- what it would be
    rule TEXT NOT NULL,
    event_id BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    is_owed INTEGER NOT NULL,                  -- 1: the delivery is held; 0: it has ended, only the verdict waits
    PRIMARY KEY (bucket, delivery_id)
);
CREATE INDEX held_verdict_site ON held_verdict (site, since_ms);

-- Warnings to people: one row for each matter, from its beginning to its end.
CREATE TABLE alarm (
    id BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,                        -- unverified_mail, site_guard
    about TEXT NOT NULL,                       -- the site; '' for the whole installation
    n BIGINT NOT NULL,                         -- how many, when last looked at
    normal BIGINT NOT NULL,                    -- how many would be usual
    detail TEXT NOT NULL,                      -- JSON: what was seen, with examples
    since_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    ended_ms BIGINT NOT NULL DEFAULT 0,
    acked_ms BIGINT NOT NULL DEFAULT 0,
    acked_by TEXT NOT NULL DEFAULT '',
    mailed_ms BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX alarm_open ON alarm (kind, about) WHERE ended_ms = 0;
-- Counts by ten minutes, kept for eight days.
CREATE TABLE alarm_tally (
    name TEXT NOT NULL,
    slot_ms BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (name, slot_ms)
);

-- Texts that no rule knows, grouped by likeness (bounce/likeness.h). At most 1,000 rows: the rarest and oldest make room.
CREATE TABLE unread_words (
    fingerprint TEXT PRIMARY KEY,
    words TEXT NOT NULL,                       -- with placeholders
    sample TEXT NOT NULL,                      -- as the first one came
    last_sample TEXT NOT NULL,
    receiver TEXT NOT NULL,                    -- domain of the first
    code INTEGER NOT NULL,
    status TEXT NOT NULL,
    stage INTEGER NOT NULL,
    n BIGINT NOT NULL,
    first_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL
);
CREATE INDEX unread_words_rare ON unread_words (n, last_ms);
