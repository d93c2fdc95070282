-- What a list says of a backup besides its databases: its file trees, as JSON, and its newest migration.
ALTER TABLE backups ADD COLUMN files TEXT NOT NULL DEFAULT '[]';
ALTER TABLE backups ADD COLUMN schema_version TEXT;
