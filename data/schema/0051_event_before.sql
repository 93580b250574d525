-- When a delivery had come into the state that an event moved it out of: the event that says so is found by its time. Only of what had been delivered.
ALTER TABLE event ADD COLUMN before_ms BIGINT;
