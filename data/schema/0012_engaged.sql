-- Opens and clicks: what a content counts, and what came of it (report/engaged.h).
ALTER TABLE content_version ADD COLUMN counts_clicks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE content_version ADD COLUMN counts_opens INTEGER NOT NULL DEFAULT 0;

-- One row for each delivery that somebody or something opened or clicked.
CREATE TABLE engaged (
    bucket INTEGER NOT NULL,
    delivery_id BIGINT NOT NULL,
    opens INTEGER NOT NULL,                    -- by people
    clicks INTEGER NOT NULL,                   -- by people
    opened_ms BIGINT NOT NULL,                 -- the first time; 0: never
    clicked_ms BIGINT NOT NULL,
    burst_ms BIGINT NOT NULL,                  -- clicks close together: since when,
    burst_links BIGINT NOT NULL,               -- which links (a bit each, number modulo 63),
    burst_clicks INTEGER NOT NULL,             -- how many were counted as a person's
    PRIMARY KEY (bucket, delivery_id)
)
--sqlite WITHOUT ROWID
;

CREATE TABLE count_engaged (
    bucket INTEGER NOT NULL,
    campaign_id BIGINT NOT NULL,
    what INTEGER NOT NULL,                     -- enum engaged_what
    n BIGINT NOT NULL,
    PRIMARY KEY (bucket, campaign_id, what)
)
--sqlite WITHOUT ROWID
;
CREATE INDEX count_engaged_campaign ON count_engaged (campaign_id);
