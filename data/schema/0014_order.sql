-- What people told the queue to do by hand (todoke queue hold, release, purge): the work list of the nodes, and the record of who did
-- what to which mails. Any filter that is 0 or '' means all of them.
CREATE TABLE queue_order (
    id BIGINT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    who TEXT NOT NULL,
    verb TEXT NOT NULL,                        -- hold, release, purge
    brand_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    site TEXT NOT NULL,                        -- of the delivery's last reply
    accepted_until_ms BIGINT NOT NULL,
    why TEXT NOT NULL,
    moved BIGINT NOT NULL DEFAULT 0,           -- once it is done
    done_ms BIGINT NOT NULL DEFAULT 0          -- 0: under way
);
CREATE INDEX queue_order_open ON queue_order (id) WHERE done_ms = 0;

-- Where an order under way is in each bucket; each is done by the node that owns it. The rows go when all are done.
CREATE TABLE queue_order_todo (
    bucket INTEGER NOT NULL,
    order_id BIGINT NOT NULL,
    after_id BIGINT NOT NULL DEFAULT 0,        -- the deliveries up to this one are done
    moved BIGINT NOT NULL DEFAULT 0,
    is_done INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, order_id)
);
