-- What is too old goes (docs/internals/growth.md), and the books balance all the same: how many deliveries and acceptances went, by
-- campaign (0: transactional).
CREATE TABLE retired (
    campaign_id BIGINT NOT NULL,
    state INTEGER NOT NULL,                    -- enum delivery_state of delivery rows; -1: accepted, by events
    n BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, state)
);

-- PostgreSQL: events by month (UTC), each a table of its own, which is dropped whole. What belongs to no month's table is in event_other.
--postgres DROP INDEX event_delivery;
--postgres DROP INDEX event_problem;
--postgres DROP INDEX event_problem_campaign;
--postgres DROP INDEX event_left_out;
--postgres ALTER TABLE event RENAME TO event_before;
--postgres CREATE TABLE event (LIKE event_before INCLUDING DEFAULTS, CONSTRAINT event_place PRIMARY KEY (bucket, seq, at_ms)) PARTITION BY RANGE (at_ms);
--postgres CREATE TABLE event_other PARTITION OF event DEFAULT;
--postgres INSERT INTO event SELECT * FROM event_before;
--postgres DROP TABLE event_before;
--postgres CREATE INDEX event_delivery ON event (bucket, delivery_id, seq) WHERE ((393226 >> kind) & 1) = 0;
--postgres CREATE INDEX event_problem ON event (id) WHERE ((553072 >> kind) & 1) = 1;
--postgres CREATE INDEX event_problem_campaign ON event (campaign_id, id) WHERE ((553072 >> kind) & 1) = 1;
--postgres CREATE INDEX event_left_out ON event (campaign_id, note) WHERE kind = 2;
