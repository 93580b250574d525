-- Who is owed in which lane is read at each start: from the index alone when it carries the state (SQLite asks for the column that
-- the index is partial by), instead of from every row of a million.
DROP INDEX delivery_due;
CREATE INDEX delivery_due ON delivery (bucket, lane_id, due_ms, id, state) WHERE state <= 1;
