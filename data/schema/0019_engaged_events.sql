-- Opens and clicks leave the index by delivery: the row of what came of a delivery (engaged) says where they are, and is
-- written for many events at once. An event of theirs may stand in another bucket than its delivery (src/api/clicks.c).
ALTER TABLE engaged ADD COLUMN events TEXT NOT NULL DEFAULT ''; -- "bucket.seq" of the newest, in their order
--sqlite UPDATE engaged SET events = COALESCE((SELECT group_concat(e.bucket || '.' || e.seq, ' ') FROM event e WHERE e.bucket = engaged.bucket AND e.delivery_id = engaged.delivery_id AND e.kind NOT IN (1, 3) AND e.kind IN (17, 18)), '');
--postgres UPDATE engaged SET events = COALESCE((SELECT string_agg(e.bucket || '.' || e.seq, ' ' ORDER BY e.seq) FROM event e WHERE e.bucket = engaged.bucket AND e.delivery_id = engaged.delivery_id AND e.kind NOT IN (1, 3) AND e.kind IN (17, 18)), '');
DROP INDEX event_delivery;
CREATE INDEX event_delivery ON event (bucket, delivery_id, seq) WHERE kind NOT IN (1, 3, 17, 18); -- mistake: allowed, because 0020_predicate.sql makes it anew
