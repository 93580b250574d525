-- Who handed in a mail may ask to hear of success and of delay, too (RFC 3461): one delivery may owe several notices.
ALTER TABLE notice_owed RENAME TO notice_owed_before;
CREATE TABLE notice_owed (
    delivery_id BIGINT NOT NULL,
    kind INTEGER NOT NULL,                     -- enum notice_kind: the bits of NOTIFY
    message_id BIGINT NOT NULL,
    address TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    is_expired INTEGER NOT NULL,
    status TEXT NOT NULL,                      -- "5.1.1"
    diagnostic TEXT NOT NULL,
    remote_mta TEXT NOT NULL,
    retry_until_ms BIGINT NOT NULL DEFAULT 0,  -- of a delay
    PRIMARY KEY (delivery_id, kind)
);
INSERT INTO notice_owed (delivery_id, kind, message_id, address, at_ms, is_expired, status, diagnostic, remote_mta)
    SELECT delivery_id, 4, message_id, address, at_ms, is_expired, status, diagnostic, remote_mta FROM notice_owed_before;
DROP TABLE notice_owed_before;

-- Mails for some recipient of which success or delay is to be told; few, so that every other outcome asks an empty table.
CREATE TABLE notice_wish (
    message_id BIGINT PRIMARY KEY,
    kinds INTEGER NOT NULL,                    -- enum notice_kind: success, delay
    delay_at_ms BIGINT NOT NULL,               -- what is not delivered then is late
    until_ms BIGINT NOT NULL                   -- nothing of it can happen any more
);
CREATE INDEX notice_wish_until ON notice_wish (until_ms);
