-- What people ordered of the pace (todoke queue suspend, resume): src/shape/suspension.h, src/queue/order.h.
CREATE TABLE suspension (
    site TEXT NOT NULL,
    source_id BIGINT NOT NULL,                 -- 0: by all sources
    source TEXT NOT NULL,                      -- its address, for people
    until_ms BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (site, source_id)
);
ALTER TABLE queue_order ADD COLUMN source_id BIGINT NOT NULL DEFAULT 0; -- of a suspend or a resume: by this one alone
ALTER TABLE queue_order ADD COLUMN until_ms BIGINT NOT NULL DEFAULT 0;  -- of a suspend

-- The nodes that lived when an order about the pace was given: each carries it out in its memory, and says so here.
CREATE TABLE queue_order_node (
    order_id BIGINT NOT NULL,
    node INTEGER NOT NULL,
    moved BIGINT NOT NULL DEFAULT 0,           -- ways (a source's to a site) that it changed
    done_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, node)
);
CREATE INDEX queue_order_node_open ON queue_order_node (node, order_id) WHERE done_ms = 0;
