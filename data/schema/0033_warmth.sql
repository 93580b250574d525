-- A warm-up takes those first who read what comes (docs/pace.md): when a person last opened or clicked (to the day; no proxy, no robot), and
-- campaigns whose deliveries are due in that order, a ms apart: the last of these instants, 0: in no order.
ALTER TABLE contact ADD COLUMN engaged_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN ranked_ms BIGINT NOT NULL DEFAULT 0;
