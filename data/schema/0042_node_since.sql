-- What `todoke node list` says of a node: since when it lives this life, and which program it is.
ALTER TABLE node ADD COLUMN since_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN version TEXT NOT NULL DEFAULT '';
