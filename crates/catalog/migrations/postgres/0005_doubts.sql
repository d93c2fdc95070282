-- What a backup lacks that an earlier one held, in words, until somebody accepts it.
ALTER TABLE backups ADD COLUMN shrunk TEXT;
CREATE INDEX backups_shrunk ON backups (app, time) WHERE shrunk IS NOT NULL;
