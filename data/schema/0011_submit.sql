-- What a key may do by SMTP besides its rights (access/submit_right.h), and what SCRAM needs instead of its secret.
CREATE TABLE submit_right (
    key_id BIGINT PRIMARY KEY,
    domains TEXT NOT NULL DEFAULT '',          -- of From, with commas between; '': every domain
    per_hour INTEGER NOT NULL DEFAULT 0,       -- recipients; 0: no limit
    salt BYTEA NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BYTEA NOT NULL,                 -- RFC 5802: neither lets anybody in by itself
    server_key BYTEA NOT NULL
);
