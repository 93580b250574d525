-- Several nodes on one store (store/lease.h). A node's life: its number, renewed with its leases; a new life begins with each start and
-- whenever the node was presumed dead, and what an older life still wants to write is refused.

CREATE TABLE node (
    node INTEGER PRIMARY KEY,
    life BIGINT NOT NULL,
    until_ms BIGINT NOT NULL                   -- the database's clock; 0: stopped, or presumed dead
);

-- Mail of a bucket that leaves by a pool whose sources are on another node: the bucket's owner has handed it to that node.
CREATE TABLE handoff (
    bucket INTEGER NOT NULL,
    pool TEXT NOT NULL,
    node INTEGER NOT NULL,
    since_ms BIGINT NOT NULL,
    PRIMARY KEY (bucket, pool)
);
CREATE INDEX handoff_node ON handoff (node);
