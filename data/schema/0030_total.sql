-- Limits of a site over all our sources and nodes (shape/total.h): the first instant at which a mail may go (the database's clock), and
-- who has how many connections.
CREATE TABLE site_total (
    site TEXT PRIMARY KEY,
    next_us BIGINT NOT NULL
);
CREATE TABLE site_permit (
    site TEXT NOT NULL,
    node INTEGER NOT NULL,
    holder TEXT NOT NULL,                      -- the pool
    life BIGINT NOT NULL,                      -- of the node; of another one: free
    held INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    since_ms BIGINT NOT NULL,
    PRIMARY KEY (site, node, holder)
);
