-- Failures that the sender of a stored mail has still to be told of by mail (submit/failure.h); written with the failure itself.
CREATE TABLE notice_owed (
    delivery_id BIGINT PRIMARY KEY,
    message_id BIGINT NOT NULL,
    address TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    is_expired INTEGER NOT NULL,
    status TEXT NOT NULL,                      -- "5.1.1"
    diagnostic TEXT NOT NULL,
    remote_mta TEXT NOT NULL
);
