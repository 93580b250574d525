-- What templates of a stored letter (content/letter.h) see besides: one row for each delivery that has a name or data of its own.
CREATE TABLE delivery_data (
    bucket INTEGER NOT NULL,
    id BIGINT NOT NULL,                        -- the delivery
    name TEXT NOT NULL DEFAULT '',             -- of the recipient, for To
    data TEXT NOT NULL DEFAULT '',             -- a JSON object; '': none
    PRIMARY KEY (bucket, id)
)
--sqlite WITHOUT ROWID
;
