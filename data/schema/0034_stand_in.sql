-- By which pool a pool's mail leaves while it has no way of its own (shape/stand_in.h).
CREATE TABLE pool_stand_in (
    pool TEXT PRIMARY KEY,
    stand_in TEXT NOT NULL,
    changed_ms BIGINT NOT NULL
);
