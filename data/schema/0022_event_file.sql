-- How far the events stand in the file of JSON lines (setting events.file), by node.
CREATE TABLE event_file (
    node INTEGER PRIMARY KEY,
    place TEXT NOT NULL,                       -- all events up to here are in the file (event/place.h)
    batch_end TEXT NOT NULL,                   -- from place to here is being written: perhaps there, perhaps in part
    inode BIGINT NOT NULL,                     -- into which file,
    octets BIGINT NOT NULL                     -- and how long it was before
);
