-- What the status asks of each app every second, answered from the index alone however many backups there are.
CREATE INDEX backups_holding ON backups (app, repository, time, id);
CREATE INDEX backups_app_policy ON backups (app, policy) WHERE policy IS NOT NULL;
CREATE INDEX backups_proven ON backups (app, time, id) WHERE proven_at IS NOT NULL;
