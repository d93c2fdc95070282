-- The roles that own and use what everything.sql makes. Roles belong to the cluster, so another database may have brought
-- them already.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['ev_owner', 'ev_reader', 'ev_writer', 'ev_tenant', 'ev role "quoted" 100%', 'ev_ñandú'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I', role);
        END IF;
    END LOOP;
    ALTER ROLE ev_tenant LOGIN PASSWORD 'tenant-password' CONNECTION LIMIT 5 VALID UNTIL '2099-01-01 00:00:00+00';
    GRANT ev_reader TO ev_writer WITH ADMIN OPTION;
    GRANT pg_read_all_stats TO ev_owner;
    COMMENT ON ROLE ev_owner IS 'owns most of it';
    ALTER ROLE ev_reader SET statement_timeout = '5min';
END $$;
