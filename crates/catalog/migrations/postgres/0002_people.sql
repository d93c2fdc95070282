-- Accounts. `name_key` is the name in lower case: two accounts never differ by case alone.
CREATE TABLE users (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    name_key        TEXT NOT NULL UNIQUE,
    email           TEXT,
    role            TEXT NOT NULL,
    grants          TEXT NOT NULL,
    apps            TEXT,
    password_hash   TEXT,
    disabled        BIGINT NOT NULL DEFAULT 0,
    totp_secret     TEXT,
    totp_confirmed  BIGINT NOT NULL DEFAULT 0,
    totp_last_step  BIGINT NOT NULL DEFAULT 0,
    recovery_codes  TEXT NOT NULL DEFAULT '[]',
    oidc_issuer     TEXT,
    oidc_subject    TEXT,
    last_login_at   BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    revision        BIGINT NOT NULL DEFAULT 1,
    UNIQUE (oidc_issuer, oidc_subject)
);

-- Failed logins by account and by address; `subject` of an account need not exist.
CREATE TABLE login_failures (
    scope           TEXT NOT NULL,
    subject         TEXT NOT NULL,
    failures        BIGINT NOT NULL,
    last_at         BIGINT NOT NULL,
    blocked_until   BIGINT NOT NULL,
    PRIMARY KEY (scope, subject)
);

CREATE TABLE sessions (
    id              TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash      TEXT NOT NULL UNIQUE,
    csrf            TEXT NOT NULL,
    from_address    TEXT,
    agent           TEXT,
    created_at      BIGINT NOT NULL,
    seen_at         BIGINT NOT NULL,
    idle_until      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE tokens (
    id              TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name            TEXT NOT NULL,
    token_hash      TEXT NOT NULL UNIQUE,
    prefix          TEXT NOT NULL,
    role            TEXT NOT NULL,
    grants          TEXT NOT NULL,
    apps            TEXT,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT,
    last_used_at    BIGINT,
    revoked_at      BIGINT
);
CREATE INDEX tokens_user ON tokens (user_id);

-- Logins that went to an identity provider and have not come back yet.
CREATE TABLE login_attempts (
    state_hash      TEXT PRIMARY KEY,
    browser_hash    TEXT NOT NULL,
    nonce           TEXT NOT NULL,
    verifier        TEXT NOT NULL,
    return_to       TEXT NOT NULL,
    expires_at      BIGINT NOT NULL
);

CREATE TABLE setup_tokens (
    token_hash      TEXT PRIMARY KEY,
    created_at      BIGINT NOT NULL
);

-- Each row's hash covers the row and the hash before it; `audit_head` knows the newest, under the catalog's key.
CREATE TABLE audit (
    seq             BIGINT PRIMARY KEY,
    at              BIGINT NOT NULL,
    actor           TEXT NOT NULL,
    actor_kind      TEXT NOT NULL,
    from_address    TEXT,
    action          TEXT NOT NULL,
    object          TEXT NOT NULL,
    app             TEXT,
    before_value    TEXT,
    after_value     TEXT,
    result          TEXT NOT NULL,
    reason          TEXT,
    request_id      TEXT,
    prev_hash       TEXT NOT NULL,
    hash            TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_object ON audit (object, seq);

CREATE TABLE audit_head (
    id              BIGINT PRIMARY KEY,
    seq             BIGINT NOT NULL,
    hash            TEXT NOT NULL,
    seal            TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash, seal) VALUES (1, 0, '', '');

CREATE TABLE idempotency (
    principal       TEXT NOT NULL,
    idem_key        TEXT NOT NULL,
    request_hash    TEXT NOT NULL,
    status          BIGINT,
    body            TEXT,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (principal, idem_key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

CREATE TABLE uploads (
    id              TEXT PRIMARY KEY,
    owner           TEXT NOT NULL,
    app             TEXT,
    file_name       TEXT NOT NULL,
    size_bytes      BIGINT,
    sha256          TEXT,
    received_bytes  BIGINT NOT NULL DEFAULT 0,
    state           TEXT NOT NULL,
    job             TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);
CREATE INDEX uploads_owner ON uploads (owner);

CREATE TABLE deliveries (
    id              TEXT PRIMARY KEY,
    target          TEXT NOT NULL,
    notice_id       TEXT NOT NULL,
    notice          TEXT NOT NULL,
    dedup_key       TEXT NOT NULL,
    state           TEXT NOT NULL,
    attempts        BIGINT NOT NULL DEFAULT 0,
    next_at         BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    sent_at         BIGINT,
    error           TEXT,
    UNIQUE (target, notice_id)
);
CREATE INDEX deliveries_due ON deliveries (state, next_at);
CREATE INDEX deliveries_dedup ON deliveries (target, dedup_key, created_at);
