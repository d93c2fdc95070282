-- Who asked for a job, as an account: a name can be changed. And what was agreed to, as the hash of its plan.
ALTER TABLE jobs ADD COLUMN asked_by TEXT;
ALTER TABLE jobs ADD COLUMN agreed_plan TEXT;
-- The account that made a token for another one.
ALTER TABLE tokens ADD COLUMN made_by TEXT;
-- The other account that gave this one its password, or took its second factor, and when.
ALTER TABLE users ADD COLUMN proofs_by TEXT;
ALTER TABLE users ADD COLUMN proofs_at BIGINT;
