-- Our addresses, what they may send, and which brand goes by which (docs/pace.md).

CREATE TABLE source (
    id BIGINT PRIMARY KEY,
    ip TEXT NOT NULL UNIQUE,                   -- the local address that connections leave from
    public_ip TEXT NOT NULL DEFAULT '',        -- what receivers see, when it is another one (NAT); '': the same
    ehlo_name TEXT NOT NULL,
    pool TEXT NOT NULL,
    weight INTEGER NOT NULL DEFAULT 1,         -- its share of the pool's mail
    node INTEGER NOT NULL DEFAULT 0,           -- the node that owns the address; 0: every one (a single machine)
    state TEXT NOT NULL DEFAULT 'active',      -- active, draining: what a person decided
    trouble TEXT NOT NULL DEFAULT '',          -- what a health check found; '': nothing. Nothing new leaves while it is there
    since_ms BIGINT NOT NULL,                  -- of state or trouble
    created_ms BIGINT NOT NULL
);

ALTER TABLE brand ADD COLUMN pool TEXT NOT NULL DEFAULT '';  -- '': the pool "default", and without one the system chooses

-- A new address begins with few mails a day. caps: one for each step; the step goes on when a day's deferrals and complaints stayed
-- low, and the plan ends behind the last one.
CREATE TABLE warm_up (
    source_id BIGINT NOT NULL,
    grp TEXT NOT NULL,                         -- a site's name, or * for all sites without a plan of their own, together
    caps TEXT NOT NULL,                        -- "50,100,500"
    step INTEGER NOT NULL DEFAULT 0,
    day BIGINT NOT NULL DEFAULT 0,             -- the day that the step holds for: days since 1970, UTC
    why TEXT NOT NULL DEFAULT '',              -- why the last change of day did not go on
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (source_id, grp)
);

-- What daily limits have given out. Reserved in blocks before use, so that no crash and no restart sends more than a day's cap.
CREATE TABLE daily_use (
    source_id BIGINT NOT NULL,                 -- 0: the system's own choice of address
    grp TEXT NOT NULL,                         -- "site NAME" for a rule's daily limit, "warm NAME" for a warm-up's
    day BIGINT NOT NULL,
    reserved BIGINT NOT NULL DEFAULT 0,
    delivered BIGINT NOT NULL DEFAULT 0,
    deferred BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (source_id, grp, day)
);
