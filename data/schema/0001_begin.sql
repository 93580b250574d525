-- The first schema. One text for both stores: BIGINT, INTEGER, TEXT, BYTEA mean the same to SQLite and PostgreSQL; a line that
-- begins with "--sqlite " or "--postgres " is for that store only. Times are milliseconds since 1970 (UTC), ids come from the node
-- (base/id.h) and their low 8 bits are the bucket. Enum numbers are those of src/mail/*.h and never change.
--
-- Big tables begin with bucket = hash of the normalised address: contact, delivery, event, suppression and strike of one address live
-- together; every key and unique constraint of such a table starts with it (on Citus it is the distribution column).

-- ── what people decided ──

CREATE TABLE brand (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    from_name TEXT NOT NULL,
    from_address TEXT NOT NULL,
    reply_to TEXT NOT NULL DEFAULT '',
    return_path_domain TEXT NOT NULL,          -- error mail comes back to b-<token>@this
    link_base TEXT NOT NULL,                   -- https://... in front of every public link
    footer TEXT NOT NULL DEFAULT '',           -- who sends, postal address: the law wants it
    in_doubt TEXT NOT NULL DEFAULT 'retry',    -- retry or hold
    created_ms BIGINT NOT NULL
);

CREATE TABLE dkim_key (
    id BIGINT PRIMARY KEY,
    brand_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    algorithm TEXT NOT NULL,                   -- rsa-sha256 or ed25519-sha256
    private_sealed BYTEA NOT NULL,             -- sealed by the key file (store/seal.h)
    public_record TEXT NOT NULL,               -- the TXT record's value
    is_active INTEGER NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE (domain, selector)
);

CREATE TABLE list (
    id BIGINT PRIMARY KEY,
    brand_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE (brand_id, name)
);

-- A version never changes; correcting a content makes a new version.
CREATE TABLE content_version (
    id BIGINT PRIMARY KEY,
    brand_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    subject TEXT NOT NULL,
    preheader TEXT NOT NULL DEFAULT '',
    html TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '',             -- '' : made from the html
    created_ms BIGINT NOT NULL
);

CREATE TABLE campaign (
    id BIGINT PRIMARY KEY,
    brand_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    content_version_id BIGINT NOT NULL,
    list_id BIGINT NOT NULL,
    state TEXT NOT NULL,                       -- draft, expanding, sending, paused, finished
    priority INTEGER NOT NULL DEFAULT 1,       -- 0 transactional, 1 bulk
    expires_after_ms BIGINT NOT NULL,          -- a delivery is given up this long after it was accepted
    expand_bucket INTEGER NOT NULL DEFAULT 0,  -- the cursor of the expansion: next bucket, and
    expand_after BIGINT NOT NULL DEFAULT 0,    -- the last contact done in it
    created_ms BIGINT NOT NULL,
    started_ms BIGINT NOT NULL DEFAULT 0,
    expanded_ms BIGINT NOT NULL DEFAULT 0,
    finished_ms BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX campaign_state ON campaign (state);

-- Holds of brands, campaigns, domains: small, cached by each node for at most 1 s, read again directly before MAIL FROM.
CREATE TABLE hold (
    kind TEXT NOT NULL,                        -- brand, campaign, domain
    name TEXT NOT NULL,                        -- the id as decimal, or the domain
    why TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE TABLE access_key (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_sha256 BYTEA NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL DEFAULT 0       -- 0: never
);

-- Keys of HMACs (return path, links, sessions), sealed.
CREATE TABLE secret (
    name TEXT NOT NULL,
    key_id INTEGER NOT NULL,
    sealed BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (name, key_id)
);

-- ── people ──

CREATE TABLE contact (
    bucket INTEGER NOT NULL,
    id BIGINT NOT NULL,
    address TEXT NOT NULL,                     -- identity: lower-case, A-label (mail/address.h)
    written TEXT NOT NULL,                     -- as it goes into RCPT TO
    name TEXT NOT NULL DEFAULT '',
    fields TEXT NOT NULL DEFAULT '{}',         -- JSON object of further columns
    rfc_violation INTEGER NOT NULL DEFAULT 0,
    consent TEXT NOT NULL DEFAULT '',          -- where the permission comes from
    moved_to BIGINT NOT NULL DEFAULT 0,        -- tombstone: the contact now has this id
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (bucket, id),
    UNIQUE (bucket, address)
)
--sqlite WITHOUT ROWID
;

CREATE TABLE list_member (
    bucket INTEGER NOT NULL,
    list_id BIGINT NOT NULL,
    contact_id BIGINT NOT NULL,
    joined_ms BIGINT NOT NULL,
    PRIMARY KEY (bucket, list_id, contact_id)
)
--sqlite WITHOUT ROWID
;

-- May we write to this address? brand 0: from nobody; topic '': about nothing.
CREATE TABLE suppression (
    bucket INTEGER NOT NULL,
    address TEXT NOT NULL,
    brand_id BIGINT NOT NULL,
    topic TEXT NOT NULL DEFAULT '',
    why TEXT NOT NULL,                         -- error, complaint, unsubscribed, by_hand, cleaning
    reason INTEGER NOT NULL DEFAULT 0,         -- enum reason, for why = error
    since_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL DEFAULT 0,      -- 0: never
    count INTEGER NOT NULL DEFAULT 1,          -- how many errors led to it
    event_id BIGINT NOT NULL DEFAULT 0,
    campaign_id BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, address, brand_id, topic)
)
--sqlite WITHOUT ROWID
;
CREATE INDEX suppression_since ON suppression (since_ms);

-- Errors in a row that count against an address (full mailbox, paused account, the person's filter). A success sets count to 0 and
-- keeps what it was: a receiver that says 250 and sends its error mail later takes the success back. The second success forgets.
CREATE TABLE strike (
    bucket INTEGER NOT NULL,
    address TEXT NOT NULL,
    count INTEGER NOT NULL,
    kept INTEGER NOT NULL DEFAULT 0,
    reason INTEGER NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (bucket, address)
)
--sqlite WITHOUT ROWID
;

-- ── what is owed ──

CREATE TABLE lane (
    id BIGINT PRIMARY KEY,
    priority INTEGER NOT NULL,
    brand_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,               -- 0: transactional
    domain TEXT NOT NULL,
    UNIQUE (campaign_id, domain, brand_id, priority)
);

CREATE TABLE delivery (
    bucket INTEGER NOT NULL,
    id BIGINT NOT NULL,
    lane_id BIGINT NOT NULL,
    brand_id BIGINT NOT NULL,
    campaign_id BIGINT,                        -- NULL: transactional
    message_id BIGINT,                         -- the stored mail of a transactional delivery
    contact_id BIGINT NOT NULL DEFAULT 0,
    address TEXT NOT NULL,                     -- identity
    written TEXT NOT NULL,                     -- RCPT TO
    state INTEGER NOT NULL,                    -- enum delivery_state
    due_ms BIGINT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    version_id BIGINT NOT NULL DEFAULT 0,      -- content version and Date, pinned at the first time on the wire
    date_ms BIGINT NOT NULL DEFAULT 0,
    node INTEGER NOT NULL DEFAULT 0,           -- who has it on the wire
    accepted_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    last_seq BIGINT NOT NULL DEFAULT 0,        -- the event that moved it last
    PRIMARY KEY (bucket, id),
    UNIQUE (bucket, campaign_id, address)
)
--sqlite WITHOUT ROWID
;
CREATE INDEX delivery_due ON delivery (bucket, lane_id, due_ms, id) WHERE state <= 1;
CREATE INDEX delivery_apart ON delivery (bucket, state, due_ms) WHERE state IN (2, 3, 4); -- mistake: allowed, because 0020_predicate.sql makes it anew

-- A stored mail of a transactional delivery; bucketed by its own id.
CREATE TABLE message (
    bucket INTEGER NOT NULL,
    id BIGINT NOT NULL,
    brand_id BIGINT NOT NULL,
    mail_from TEXT NOT NULL,
    body BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (bucket, id)
);

CREATE TABLE lease (
    bucket INTEGER PRIMARY KEY,
    node INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
);

-- ── what happened ──

CREATE TABLE bucket_counter (
    bucket INTEGER PRIMARY KEY,
    seq BIGINT NOT NULL
);

CREATE TABLE event (
    bucket INTEGER NOT NULL,
    seq BIGINT NOT NULL,                       -- without gaps within the bucket, in commit order
    id BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    kind INTEGER NOT NULL,                     -- enum event_kind
    n INTEGER NOT NULL DEFAULT 1,              -- accepted: how many deliveries one batch made in this bucket for this domain
    origin INTEGER NOT NULL DEFAULT 0,
    delivery_id BIGINT,
    campaign_id BIGINT,
    contact_id BIGINT,
    brand_id BIGINT,
    mail_id BIGINT,
    address TEXT,
    domain TEXT,
    site TEXT,
    state_before INTEGER,
    state_after INTEGER,
    reason INTEGER,
    action INTEGER,
    scope INTEGER,
    whose INTEGER,
    permanent INTEGER,
    authenticity INTEGER,
    stage INTEGER,
    code INTEGER,
    status TEXT,
    diagnostic TEXT,
    mark_from INTEGER,
    mark_to INTEGER,
    rule TEXT,
    words TEXT,
    remote_mta TEXT,
    attempt INTEGER,
    next_attempt_ms BIGINT,
    note TEXT,
    PRIMARY KEY (bucket, seq)
)
--sqlite WITHOUT ROWID
;
CREATE INDEX event_delivery ON event (bucket, delivery_id, seq) WHERE kind NOT IN (1, 3);
-- what the pages of error mail list, newest first
CREATE INDEX event_problem ON event (id) WHERE kind IN (4, 5, 6, 12, 13, 14, 19); -- mistake: allowed, because 0020_predicate.sql makes it anew
CREATE INDEX event_problem_campaign ON event (campaign_id, id) WHERE kind IN (4, 5, 6, 12, 13, 14, 19); -- mistake: allowed, because 0020_predicate.sql makes it anew
CREATE INDEX event_left_out ON event (campaign_id, note) WHERE kind = 2;

-- Mail from strangers as it came (error mail, complaints, replies), durable before it is read; bucketed by its own id.
CREATE TABLE inbound (
    bucket INTEGER NOT NULL,
    id BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    state INTEGER NOT NULL,                    -- 0 new, 1 read, 2 could not be read
    mail_from TEXT NOT NULL,
    rcpt_to TEXT NOT NULL,
    peer TEXT NOT NULL,
    raw BYTEA NOT NULL,
    PRIMARY KEY (bucket, id)
);
CREATE INDEX inbound_new ON inbound (bucket, id) WHERE state = 0;

CREATE TABLE reader_cursor (
    reader TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (reader, bucket)
);

-- ── what readers derived from events (report) ──

CREATE TABLE count_state (
    bucket INTEGER NOT NULL,
    campaign_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    state INTEGER NOT NULL,                    -- enum delivery_state; -1: left out at expansion
    n BIGINT NOT NULL,
    PRIMARY KEY (bucket, campaign_id, domain, state)
);

CREATE TABLE count_reason (
    bucket INTEGER NOT NULL,
    campaign_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    reason INTEGER NOT NULL,
    whose INTEGER NOT NULL,
    state INTEGER NOT NULL,                    -- the state its deliveries are in now (deferred, bounced, expired, ...)
    n BIGINT NOT NULL,
    PRIMARY KEY (bucket, campaign_id, domain, reason, whose, state)
);

-- ── imports ──

CREATE TABLE import_run (
    id BIGINT PRIMARY KEY,
    list_id BIGINT NOT NULL,
    file TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    rows_done BIGINT NOT NULL,
    rows_taken BIGINT NOT NULL,
    rows_rejected BIGINT NOT NULL,
    state TEXT NOT NULL,                       -- running, done
    started_ms BIGINT NOT NULL,
    finished_ms BIGINT NOT NULL DEFAULT 0
);

-- The last group of writes each node committed: after a lost connection it tells whether the COMMIT took place (store/writer.c).
CREATE TABLE writer_mark (
    node INTEGER PRIMARY KEY,
    token BIGINT NOT NULL
);
