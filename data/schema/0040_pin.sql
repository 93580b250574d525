-- The source by which a delivery is on the wire; and, once it was in doubt there, by which it is tried again while that source lives. 0: any.
ALTER TABLE delivery ADD COLUMN source_id BIGINT NOT NULL DEFAULT 0;
