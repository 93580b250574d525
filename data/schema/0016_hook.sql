-- Programs of others that are told of events by POST (docs/webhooks.md), and how that went.

CREATE TABLE hook (
    id BIGINT PRIMARY KEY,
    brand_id BIGINT NOT NULL,                  -- whose events; 0: every brand's
    url TEXT NOT NULL,
    kinds BIGINT NOT NULL,                     -- a bit for each kind of event; 0: all
    secret_sealed BYTEA NOT NULL,              -- by the key file (store/seal.h)
    state TEXT NOT NULL,                       -- enabled, disabled, failed
    place TEXT NOT NULL,                       -- all events up to here were answered 2xx (event/place.h)
    batch_id BIGINT NOT NULL DEFAULT 0,        -- what is being told, from place to batch_end; 0: nothing
    batch_ms BIGINT NOT NULL DEFAULT 0,
    batch_end TEXT NOT NULL DEFAULT '',
    attempts BIGINT NOT NULL DEFAULT 0,        -- of this batch, that failed
    failing_since_ms BIGINT NOT NULL DEFAULT 0,
    next_ms BIGINT NOT NULL DEFAULT 0,         -- not before
    told_ms BIGINT NOT NULL DEFAULT 0,         -- the last 2xx
    told BIGINT NOT NULL DEFAULT 0,            -- events
    fault TEXT NOT NULL DEFAULT '',            -- why the last attempt failed
    test_id BIGINT NOT NULL DEFAULT 0,         -- somebody asked for a test
    holder BIGINT NOT NULL DEFAULT 0,          -- the node that is telling it now
    holder_until_ms BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL
);

-- The last attempts of each.
CREATE TABLE hook_delivery (
    id BIGINT PRIMARY KEY,
    hook_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,                  -- webhook-id is msg_ and this
    is_test INTEGER NOT NULL,
    at_ms BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    events BIGINT NOT NULL,
    status INTEGER NOT NULL,                   -- of HTTP; 0: no answer
    fault TEXT NOT NULL,                       -- '': a 2xx
    answer TEXT NOT NULL                       -- how it begins
);
CREATE INDEX hook_delivery_hook ON hook_delivery (hook_id, id);
