-- A relay's rows lie where they came, not where their addresses' hashes lead: of thirty mails in one transaction each touched pages
-- of its own in five trees.

-- (campaign, address) is unique; a stored mail has no campaign, and needs no entry.
--postgres ALTER TABLE delivery DROP CONSTRAINT delivery_bucket_campaign_id_address_key;
--postgres DROP INDEX delivery_apart;

-- SQLite: by id, which begins with the time; accepted, marked and settled rows of the same moment share pages.
--sqlite CREATE TABLE delivery_by_id (
--sqlite     bucket INTEGER NOT NULL,
--sqlite     id INTEGER PRIMARY KEY,
--sqlite     lane_id BIGINT NOT NULL,
--sqlite     brand_id BIGINT NOT NULL,
--sqlite     campaign_id BIGINT,
--sqlite     message_id BIGINT,
--sqlite     contact_id BIGINT NOT NULL DEFAULT 0,
--sqlite     address TEXT NOT NULL,
--sqlite     written TEXT NOT NULL,
--sqlite     state INTEGER NOT NULL,
--sqlite     due_ms BIGINT NOT NULL,
--sqlite     attempts INTEGER NOT NULL DEFAULT 0,
--sqlite     version_id BIGINT NOT NULL DEFAULT 0,
--sqlite     date_ms BIGINT NOT NULL DEFAULT 0,
--sqlite     node INTEGER NOT NULL DEFAULT 0,
--sqlite     accepted_ms BIGINT NOT NULL,
--sqlite     expires_ms BIGINT NOT NULL,
--sqlite     changed_ms BIGINT NOT NULL,
--sqlite     last_seq BIGINT NOT NULL DEFAULT 0
--sqlite );
--sqlite INSERT INTO delivery_by_id (bucket, id, lane_id, brand_id, campaign_id, message_id, contact_id, address, written, state,
--sqlite     due_ms, attempts, version_id, date_ms, node, accepted_ms, expires_ms, changed_ms, last_seq) SELECT bucket, id, lane_id,
--sqlite     brand_id, campaign_id, message_id, contact_id, address, written, state, due_ms, attempts, version_id, date_ms, node,
--sqlite     accepted_ms, expires_ms, changed_ms, last_seq FROM delivery ORDER BY id;
--sqlite DROP TABLE delivery;
--sqlite ALTER TABLE delivery_by_id RENAME TO delivery;
--sqlite CREATE INDEX delivery_bucket ON delivery (bucket);
--sqlite CREATE INDEX delivery_due ON delivery (bucket, lane_id, due_ms, id, state) WHERE state <= 1;

CREATE UNIQUE INDEX delivery_person ON delivery (bucket, campaign_id, address) WHERE campaign_id IS NOT NULL;
-- states 2, 3, 4; not as a range, which SQLite would walk through when asked for one of them
CREATE INDEX delivery_apart ON delivery (bucket, state, due_ms) WHERE ((28 >> state) & 1) = 1;
