-- Mail of one brand or campaign to one domain that a person sent by another pool of sources (todoke queue move); '' : its brand's pool.
ALTER TABLE lane ADD COLUMN pool TEXT NOT NULL DEFAULT '';
CREATE INDEX lane_pool ON lane (id) WHERE pool <> '';

-- Further filters of an order, and where a move goes to.
ALTER TABLE queue_order ADD COLUMN source TEXT NOT NULL DEFAULT '';  -- the address that was named, for people
ALTER TABLE queue_order ADD COLUMN pool TEXT NOT NULL DEFAULT '';    -- by which the mail leaves; '' : any
ALTER TABLE queue_order ADD COLUMN to_pool TEXT NOT NULL DEFAULT ''; -- of a move; '' : back to the brand's own
