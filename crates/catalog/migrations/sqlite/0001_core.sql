-- Apps, policies, jobs, events, backups. Times are milliseconds since 1970, truth is 0 or 1, JSON is text.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE apps (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    revision BIGINT NOT NULL,
    managed_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE repositories (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    revision BIGINT NOT NULL,
    managed_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE policies (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    revision BIGINT NOT NULL,
    managed_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE targets (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    revision BIGINT NOT NULL,
    managed_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    app TEXT,
    repository TEXT,
    policy TEXT,
    trigger_kind TEXT NOT NULL,
    created_by TEXT NOT NULL,
    priority BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    run_at BIGINT NOT NULL,
    scheduled_for BIGINT,
    started_at BIGINT,
    finished_at BIGINT,
    attempts BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    node TEXT,
    fence BIGINT NOT NULL,
    lease_until BIGINT,
    cancel_requested BIGINT NOT NULL,
    held BIGINT NOT NULL,
    approval TEXT NOT NULL,
    approved_by TEXT,
    dedup_key TEXT,
    concurrency_key TEXT,
    phase TEXT,
    done_bytes BIGINT,
    total_bytes BIGINT,
    item TEXT,
    error TEXT,
    result TEXT,
    soft_limit_secs BIGINT NOT NULL,
    hard_limit_secs BIGINT NOT NULL,
    log_lines BIGINT NOT NULL,
    correlation TEXT,
    revision BIGINT NOT NULL
);
-- The order in which jobs are claimed.
CREATE INDEX jobs_queue ON jobs (priority DESC, run_at, id) WHERE state = 'queued';
-- One job that waits or runs for each dedup key, one that runs for each concurrency key. The run of a schedule is made once
-- for all time.
CREATE UNIQUE INDEX jobs_dedup ON jobs (dedup_key)
    WHERE (state IN ('queued', 'running') OR scheduled_for IS NOT NULL) AND dedup_key IS NOT NULL;
CREATE UNIQUE INDEX jobs_running_key ON jobs (concurrency_key) WHERE state = 'running' AND concurrency_key IS NOT NULL;
CREATE INDEX jobs_lease ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_state ON jobs (state, kind);
CREATE INDEX jobs_app ON jobs (app, id);
CREATE INDEX jobs_policy ON jobs (policy, kind, id);

CREATE TABLE job_log (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    line BIGINT NOT NULL,
    at BIGINT NOT NULL,
    level TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, line)
);

CREATE TABLE nodes (
    node TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    slots BIGINT NOT NULL,
    kinds TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    topic TEXT NOT NULL,
    app TEXT,
    subject TEXT NOT NULL,
    data TEXT NOT NULL
);
-- Those that replace the one before.
CREATE INDEX events_replaced ON events (topic, subject) WHERE topic IN ('progress', 'log');

CREATE TABLE backups (
    repository TEXT NOT NULL,
    id TEXT NOT NULL,
    app TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    time BIGINT NOT NULL,
    databases TEXT NOT NULL,
    description TEXT NOT NULL,
    tags TEXT NOT NULL,
    pinned BIGINT NOT NULL,
    partial BIGINT NOT NULL,
    checked_at BIGINT,
    proven_at BIGINT,
    proven_seconds DOUBLE PRECISION,
    damaged_at BIGINT,
    drill_failed_at BIGINT,
    policy TEXT,
    job TEXT,
    row_count BIGINT,
    bytes BIGINT,
    bytes_added BIGINT,
    seconds DOUBLE PRECISION,
    hostname TEXT NOT NULL,
    username TEXT NOT NULL,
    written_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (repository, id)
);
CREATE INDEX backups_time ON backups (time, id);
CREATE INDEX backups_app_time ON backups (app, time, id);
CREATE INDEX backups_policy_time ON backups (policy, time, id);
CREATE INDEX backups_id ON backups (id);
