-- When somebody confirmed that the recovery kit of the repository's key is in a safe place.
ALTER TABLE repositories ADD COLUMN recovery_kit_at BIGINT;
-- What repositories in folders held, one measurement for each day (days since 1970).
CREATE TABLE repository_sizes (
    repository TEXT NOT NULL,
    day BIGINT NOT NULL,
    measured_at BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    free_bytes BIGINT NOT NULL,
    PRIMARY KEY (repository, day)
);
