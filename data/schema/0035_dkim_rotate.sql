-- A key of DKIM waits (is_active 0, retired_ms 0) until its record is in the DNS, signs (1), and is kept for some days behind that.
ALTER TABLE dkim_key ADD COLUMN retired_ms BIGINT NOT NULL DEFAULT 0;
