-- What TLS to other servers must be, and how it went.

-- The operator's rules: opportunistic, required, verified. The greater one of domain or site, and brand, holds.
CREATE TABLE tls_rule (
    kind TEXT NOT NULL,                        -- domain, site, brand
    name TEXT NOT NULL,                        -- the domain, the site's name, the brand's id as decimal
    rule TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);

-- MTA-STS policies as fetched, until their max_age is over (RFC 8461).
CREATE TABLE sts_policy (
    domain TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    policy BYTEA NOT NULL,
    fetched_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

-- A brand whose mail all goes to one smart host.
CREATE TABLE relay (
    brand_id BIGINT PRIMARY KEY,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    user_name TEXT NOT NULL DEFAULT '',        -- '' : no AUTH
    password_sealed BYTEA,                     -- sealed by the key file (store/seal.h)
    changed_ms BIGINT NOT NULL
);

-- Sessions by day (UTC) and policy, for TLS-RPT (RFC 8460): failed ones by what failed and where.
CREATE TABLE tls_count (
    day TEXT NOT NULL,                         -- 2026-11-22
    domain TEXT NOT NULL,                      -- the policy's
    policy TEXT NOT NULL,                      -- no-policy-found, sts, tlsa
    result TEXT NOT NULL,                      -- success, or the result-type of RFC 8460 4.3
    mx TEXT NOT NULL,
    sending_ip TEXT NOT NULL,
    receiving_ip TEXT NOT NULL,
    detail TEXT NOT NULL,                      -- the last one's failure-reason-code
    policy_text TEXT NOT NULL,                 -- the policy that was applied, lines
    n BIGINT NOT NULL,
    PRIMARY KEY (day, domain, policy, result, mx, sending_ip, receiving_ip)
);
