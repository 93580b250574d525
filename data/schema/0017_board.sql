-- What goes on now in the delivery threads, while somebody asks (todoke explain site, todoke top, GET /sites): src/deliver/board.h.
CREATE TABLE board_wish (
    name TEXT PRIMARY KEY,                     -- a domain or a site; '': whatever is busy
    wish BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
);
CREATE TABLE board_node (
    node INTEGER PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    wish BIGINT NOT NULL,                      -- the newest wish that this answer knew
    routes_left_out BIGINT NOT NULL
);
CREATE TABLE board_row (
    node INTEGER NOT NULL,
    n INTEGER NOT NULL,
    kind INTEGER NOT NULL,                     -- 1 a way (source, site), 2 a domain's route
    body TEXT NOT NULL,                        -- JSON
    PRIMARY KEY (node, n)
);
