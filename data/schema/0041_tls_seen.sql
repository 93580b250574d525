-- MX hosts that had TLS, where the rule `seen` holds (tls_rule; src/deliver/tls_seen.h): nothing goes there in clear for setting tls.remember.
CREATE TABLE tls_seen (
    host TEXT PRIMARY KEY,
    seen_ms BIGINT NOT NULL
);
CREATE INDEX tls_seen_old ON tls_seen (seen_ms);
