-- A brand's share of a site that is full, beside other brands': deficit round robin (src/queue/turns.h). 1 to 100.
ALTER TABLE brand ADD COLUMN weight INTEGER NOT NULL DEFAULT 1;
