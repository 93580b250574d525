-- What a receiver's words brought upon a way (one source's to one site) and lasts, for the run behind this one: src/shape/pause.h.
CREATE TABLE pause (
    node INTEGER NOT NULL,                     -- whose way it was
    source_id BIGINT NOT NULL,                 -- 0: the address that the system chose there
    site TEXT NOT NULL,
    what TEXT NOT NULL,                        -- reaction_suspend, reaction_rate, reaction_connections, unknown_users, breaker
    reaction TEXT NOT NULL,                    -- its id in data/sites; '' if it was none
    source TEXT NOT NULL,                      -- its address, for people; so are the next three
    rule_file TEXT NOT NULL,
    rule_line INTEGER NOT NULL,
    words TEXT NOT NULL,
    since_ms BIGINT NOT NULL,                  -- the words that did it last
    until_ms BIGINT NOT NULL,
    failures INTEGER NOT NULL,                 -- of a breaker: openings in a row
    PRIMARY KEY (node, source_id, site, what, reaction)
);
CREATE INDEX pause_over ON pause (node, until_ms);
