-- Counters of campaigns that are over are folded (report/fold.h): 0 not yet, 1 some time after the end, 2 when nothing can happen to its deliveries any more.
ALTER TABLE campaign ADD COLUMN counts_folded INTEGER NOT NULL DEFAULT 0;
