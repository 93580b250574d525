-- How many recipients of a brand's identical mail (stored mail, the same octets for all) may go in one SMTP transaction: 1 to 1000.
ALTER TABLE brand ADD COLUMN recipients_per_transaction INTEGER NOT NULL DEFAULT 1;
