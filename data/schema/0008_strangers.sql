-- Mail from strangers goes through the jail; what it says of itself; reports are kept (docs/reports.md).

ALTER TABLE inbound ADD COLUMN why TEXT NOT NULL DEFAULT '';       -- state 2: why it was put aside
ALTER TABLE inbound ADD COLUMN helo TEXT NOT NULL DEFAULT '';
ALTER TABLE inbound ADD COLUMN from_domain TEXT NOT NULL DEFAULT ''; -- of the only From address
ALTER TABLE inbound ADD COLUMN spf TEXT NOT NULL DEFAULT '';       -- results as RFC 8601 writes them; '': not looked at
ALTER TABLE inbound ADD COLUMN dkim TEXT NOT NULL DEFAULT '';
ALTER TABLE inbound ADD COLUMN dmarc TEXT NOT NULL DEFAULT '';

CREATE TABLE feedback_report (
    id BIGINT PRIMARY KEY,
    kind INTEGER NOT NULL,                     -- enum feedback_kind: 1 DMARC aggregate, 2 DMARC failure, 3 TLS
    org TEXT NOT NULL,
    report_id TEXT NOT NULL,
    domain TEXT NOT NULL,                      -- what it is about
    policy TEXT NOT NULL,                      -- p= as the receiver saw it
    email TEXT NOT NULL,
    begin_ms BIGINT NOT NULL,
    end_ms BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    mail_id BIGINT NOT NULL,                   -- inbound
    good BIGINT NOT NULL,                      -- mails that were aligned, sessions that had TLS
    bad BIGINT NOT NULL,
    is_cut INTEGER NOT NULL,
    UNIQUE (kind, org, report_id, domain)
);
CREATE INDEX feedback_report_domain ON feedback_report (domain, id);
CREATE INDEX feedback_report_mail ON feedback_report (mail_id);

-- One row for each source and outcome of a report.
CREATE TABLE feedback_source (
    report_id BIGINT NOT NULL,
    nth INTEGER NOT NULL,
    ip TEXT NOT NULL,                          -- TLS: the host
    domain TEXT NOT NULL,                      -- the From domain, or the policy's
    outcome TEXT NOT NULL,
    dkim TEXT NOT NULL,
    spf TEXT NOT NULL,
    detail TEXT NOT NULL,
    n BIGINT NOT NULL,
    is_good INTEGER NOT NULL,
    PRIMARY KEY (report_id, nth)
)
--sqlite WITHOUT ROWID
;
