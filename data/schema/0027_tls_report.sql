-- What became of a day's TLS-RPT reports (src/report/tls_report.h). rua '': the question to DNS where they go.
CREATE TABLE tls_report (
    day TEXT NOT NULL,
    domain TEXT NOT NULL,
    rua TEXT NOT NULL,
    state TEXT NOT NULL,                       -- waiting, none, sent, failed
    attempts INTEGER NOT NULL DEFAULT 0,
    at_ms BIGINT NOT NULL,
    next_ms BIGINT NOT NULL DEFAULT 0,
    why TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (day, domain, rua)
);
CREATE INDEX tls_report_waiting ON tls_report (next_ms) WHERE state = 'waiting';
