-- What a campaign's counters add up to (report/report.h), by state and reason, whatever the bucket and the receiver: read by /metrics, the home
-- page and lists, which would add up millions of rows otherwise. By node, so that no reader waits for another's.
CREATE TABLE count_total (
    campaign_id BIGINT NOT NULL,               -- 0: transactional
    node INTEGER NOT NULL,                     -- whose reader counted: only the sum over all of them says anything
    state INTEGER NOT NULL,                    -- as in count_state and count_reason
    reason INTEGER NOT NULL,                   -- -1: whatever the reason (count_state)
    whose INTEGER NOT NULL,                    -- 0 without a reason
    n BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, node, state, reason, whose)
)
--sqlite WITHOUT ROWID
;
INSERT INTO count_total SELECT campaign_id, 0, state, -1, 0, CAST(SUM(n) AS BIGINT) FROM count_state GROUP BY campaign_id, state;
INSERT INTO count_total SELECT campaign_id, 0, state, reason, whose, CAST(SUM(n) AS BIGINT) FROM count_reason GROUP BY campaign_id, state, reason, whose;

-- One campaign's receivers, out of those of all.
CREATE INDEX count_state_campaign ON count_state (campaign_id);
CREATE INDEX count_reason_campaign ON count_reason (campaign_id);
