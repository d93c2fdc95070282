-- Every kind of object that a PostgreSQL database can hold, with data in all that hold data.
--
-- Loads as a superuser on PostgreSQL 14 to 18; what only newer majors know is guarded. The extension pgkeep_sample comes from
-- the folder beside this file. Security labels are missing: no label provider comes with PostgreSQL that works without SELinux.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET timezone = 'UTC';
SET check_function_bodies = on;
SELECT current_setting('server_version_num')::int >= 150000 AS v15,
       current_setting('server_version_num')::int >= 160000 AS v16,
       current_setting('server_version_num')::int >= 170000 AS v17,
       current_setting('server_version_num')::int >= 180000 AS v18,
       current_database() AS this_database,
       getdatabaseencoding() = 'UTF8' AS utf8,
       EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AS icu \gset

-- Settings of the database -------------------------------------------------------------------------
SELECT format('COMMENT ON DATABASE %1$I IS ''all of it: 100%%, "quoted"''; ALTER DATABASE %1$I SET work_mem = ''7MB'';
    ALTER DATABASE %1$I SET "myapp.setting" = ''a, b''; ALTER ROLE ev_reader IN DATABASE %1$I SET search_path = app, public;
    ALTER DATABASE %1$I CONNECTION LIMIT 93; GRANT CREATE ON DATABASE %1$I TO ev_owner; REVOKE TEMPORARY ON DATABASE %1$I FROM PUBLIC;
    GRANT CONNECT, TEMPORARY ON DATABASE %1$I TO ev_writer WITH GRANT OPTION', :'this_database') \gexec

-- Schemas ------------------------------------------------------------------------------------------
CREATE SCHEMA app AUTHORIZATION ev_owner;
CREATE SCHEMA types;
CREATE SCHEMA "Schéma with space";
CREATE SCHEMA empty_schema;
COMMENT ON SCHEMA app IS 'the application''s own';
GRANT USAGE ON SCHEMA app TO ev_reader, ev_writer;
GRANT CREATE ON SCHEMA app TO ev_writer WITH GRANT OPTION;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
CREATE SCHEMA sample_extension;

-- Extensions ---------------------------------------------------------------------------------------
CREATE SCHEMA extensions;
CREATE EXTENSION citext SCHEMA extensions;
CREATE EXTENSION hstore SCHEMA extensions;
CREATE EXTENSION pg_trgm SCHEMA extensions;
CREATE EXTENSION btree_gist SCHEMA extensions;
CREATE EXTENSION btree_gin SCHEMA extensions;
CREATE EXTENSION ltree SCHEMA extensions;
CREATE EXTENSION pgcrypto SCHEMA extensions;
CREATE EXTENSION "uuid-ossp" SCHEMA extensions;
CREATE EXTENSION intarray SCHEMA extensions;
CREATE EXTENSION unaccent SCHEMA extensions;
CREATE EXTENSION bloom SCHEMA extensions;
CREATE EXTENSION lo SCHEMA extensions;
CREATE EXTENSION tablefunc SCHEMA extensions;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION file_fdw;
CREATE EXTENSION pgkeep_sample;
COMMENT ON EXTENSION hstore IS 'changed by the application';
INSERT INTO sample_extension.setting VALUES ('own', 'a value of the application', false), ('tab	and \ backslash', NULL, false);
INSERT INTO sample_extension.ticket (setting) VALUES ('own'), (NULL), ('shipped');
GRANT SELECT ON sample_extension.setting TO ev_reader;

-- Collations and text search -----------------------------------------------------------------------
CREATE COLLATION types.c_like (locale = 'C');
\if :icu
CREATE COLLATION types.german_phonebook (provider = icu, locale = 'de-u-co-phonebk');
CREATE COLLATION types.case_insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
COMMENT ON COLLATION types.case_insensitive IS 'not deterministic';
\endif
CREATE TEXT SEARCH DICTIONARY app.plain_words (TEMPLATE = pg_catalog.simple, stopwords = english, accept = false);
CREATE TEXT SEARCH PARSER app.own_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, HEADLINE = prsd_headline, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE app.own_template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH CONFIGURATION app.search (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION app.search ALTER MAPPING FOR asciiword, word WITH extensions.unaccent, app.plain_words, english_stem;
ALTER TEXT SEARCH CONFIGURATION app.search OWNER TO ev_owner;
COMMENT ON TEXT SEARCH CONFIGURATION app.search IS 'for the search box';

-- Types --------------------------------------------------------------------------------------------
CREATE TYPE types.mood AS ENUM ('sad', 'ok', 'it''s "fine"', 'happy');
ALTER TYPE types.mood ADD VALUE 'neutral' BEFORE 'ok';
CREATE TYPE types.address AS (street text, "Number" integer, zip character varying(10) COLLATE "C");
ALTER TYPE types.address ADD ATTRIBUTE country character(2);
COMMENT ON TYPE types.address IS 'a composite';
COMMENT ON COLUMN types.address.zip IS 'five digits mostly';
CREATE TYPE types.nested AS (home types.address, moods types.mood[]);
CREATE DOMAIN types.positive AS numeric(12, 3) DEFAULT 1 NOT NULL CONSTRAINT above_zero CHECK (VALUE > 0);
CREATE DOMAIN types.short_text AS text COLLATE "C" CHECK (length(VALUE) < 100);
ALTER DOMAIN types.short_text ADD CONSTRAINT no_spaces CHECK (VALUE !~ ' ') NOT VALID;
CREATE DOMAIN types.many AS types.positive[] CHECK (cardinality(VALUE) < 10);
COMMENT ON DOMAIN types.positive IS 'more than nothing';
COMMENT ON CONSTRAINT above_zero ON DOMAIN types.positive IS 'why it is so';
CREATE FUNCTION types.float_distance(double precision, double precision) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 - $2';
CREATE TYPE types.float_range AS RANGE (subtype = double precision, subtype_diff = types.float_distance, multirange_type_name = types.float_multirange);
CREATE TYPE types.shell_only;
CREATE TYPE types.small;
CREATE FUNCTION types.small_in(cstring) RETURNS types.small LANGUAGE internal IMMUTABLE STRICT AS 'int2in';
CREATE FUNCTION types.small_out(types.small) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int2out';
CREATE TYPE types.small (INPUT = types.small_in, OUTPUT = types.small_out, INTERNALLENGTH = 2, PASSEDBYVALUE, ALIGNMENT = int2);
GRANT USAGE ON TYPE types.mood TO ev_reader;
REVOKE USAGE ON TYPE types.address FROM PUBLIC;
ALTER TYPE types.mood OWNER TO ev_owner;

-- Functions, procedures, aggregates, operators, casts ------------------------------------------------
CREATE FUNCTION app.add_tax(amount numeric, rate numeric DEFAULT 0.19, OUT gross numeric, OUT tax numeric)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 3 AS $$ SELECT amount * (1 + rate), amount * rate $$;
CREATE FUNCTION app.fresh_sum(VARIADIC numbers integer[]) RETURNS integer LANGUAGE plpgsql STRICT SECURITY DEFINER LEAKPROOF
    SET search_path = app, pg_temp SET work_mem = '5MB' AS $body$
DECLARE
    total integer := 0;
    n integer;
BEGIN
    FOREACH n IN ARRAY numbers LOOP
        total := total + n; -- a comment with 'quotes', $$ and \ in it
    END LOOP;
    RETURN total;
END $body$;
CREATE FUNCTION app.rows_of(lowest integer) RETURNS TABLE (n integer, label text) LANGUAGE sql STABLE ROWS 7 AS
    $$ SELECT g, 'row ' || g FROM generate_series(lowest, lowest + 6) AS g $$;
CREATE FUNCTION app.standard_body(a integer, b integer) RETURNS integer LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT a * b + 1; END;
CREATE FUNCTION app."Odd name; DROP"(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE PROCEDURE app.do_nothing(INOUT counter integer) LANGUAGE plpgsql AS $$ BEGIN counter := counter + 1; END $$;
COMMENT ON FUNCTION app.add_tax(numeric, numeric) IS E'two\nlines and a \\ backslash';
COMMENT ON PROCEDURE app.do_nothing(integer) IS 'does nothing';
REVOKE ALL ON FUNCTION app.fresh_sum(integer[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.fresh_sum(integer[]) TO ev_writer;
ALTER FUNCTION app.rows_of(integer) OWNER TO ev_owner;
CREATE FUNCTION types.mood_rank(types.mood) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS 'SELECT array_position(enum_range(NULL::types.mood), $1)';
CREATE CAST (types.mood AS integer) WITH FUNCTION types.mood_rank(types.mood) AS ASSIGNMENT;
CREATE CAST (types.address AS extensions.citext) WITH INOUT;
COMMENT ON CAST (types.mood AS integer) IS 'the rank';
CREATE FUNCTION types.address_same(types.address, types.address) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1).street = ($2).street';
CREATE OPERATOR types.~~~ (FUNCTION = types.address_same, LEFTARG = types.address, RIGHTARG = types.address, COMMUTATOR = OPERATOR(types.~~~), RESTRICT = eqsel, JOIN = eqjoinsel);
COMMENT ON OPERATOR types.~~~ (types.address, types.address) IS 'on the same street';
CREATE FUNCTION types.reverse_compare(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS 'SELECT btint4cmp($2, $1)';
CREATE OPERATOR FAMILY types.backwards USING btree;
CREATE OPERATOR CLASS types.int_backwards FOR TYPE integer USING btree FAMILY types.backwards AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 types.reverse_compare(integer, integer);
COMMENT ON OPERATOR CLASS types.int_backwards USING btree IS 'the largest first';
ALTER OPERATOR FAMILY types.backwards USING btree OWNER TO ev_owner;
CREATE AGGREGATE app.product(double precision) (SFUNC = float8mul, STYPE = double precision, INITCOND = '1', COMBINEFUNC = float8mul, PARALLEL = SAFE);
CREATE FUNCTION app.longest_step(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN length($2) > length($1) OR $1 IS NULL THEN $2 ELSE $1 END $$;
CREATE AGGREGATE app.longest(text) (SFUNC = app.longest_step, STYPE = text);
COMMENT ON AGGREGATE app.product(double precision) IS 'multiplies';
CREATE FUNCTION app.transform_in(internal) RETURNS internal LANGUAGE internal IMMUTABLE STRICT AS 'prsd_lextype';
CREATE TRANSFORM FOR types.address LANGUAGE sql (FROM SQL WITH FUNCTION app.transform_in(internal));
CREATE FUNCTION app.own_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE own_plpgsql HANDLER app.own_handler;
CREATE ACCESS METHOD own_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE FUNCTION app.latin_copy(integer, integer, cstring, internal, integer, boolean) RETURNS integer LANGUAGE c STRICT AS '$libdir/utf8_and_iso8859_1', 'iso8859_1_to_utf8';
CREATE CONVERSION app.own_conversion FOR 'LATIN1' TO 'UTF8' FROM app.latin_copy;

-- Every built-in type, at its edges ------------------------------------------------------------------
CREATE TABLE types.all_types (
    id integer PRIMARY KEY,
    a_bool boolean, an_int2 smallint, an_int4 integer, an_int8 bigint, a_float4 real, a_float8 double precision,
    a_numeric numeric, a_numeric_small numeric(10, 2), a_money money, a_char character(5), a_varchar character varying(20), a_text text,
    one_char "char", a_name name, a_bytea bytea, a_bit bit(7), a_varbit bit varying(70), a_date date, a_time time, a_timetz timetz,
    a_timestamp timestamp, a_timestamptz timestamptz, a_rounded timestamptz(0), an_interval interval, a_year_month interval year to month,
    a_uuid uuid, a_json json, a_jsonb jsonb, a_path jsonpath, an_xml xml, an_inet inet, a_cidr cidr, a_mac macaddr, a_mac8 macaddr8,
    a_point point, a_line line, an_lseg lseg, a_box box, a_gpath path, a_polygon polygon, a_circle circle,
    a_tsvector tsvector, a_tsquery tsquery, an_oid oid, a_regclass regclass, a_regtype regtype, a_regrole regrole, an_lsn pg_lsn, a_snapshot pg_snapshot,
    an_int4range int4range, an_int8range int8range, a_numrange numrange, a_tsrange tsrange, a_tstzrange tstzrange, a_daterange daterange,
    an_int4multirange int4multirange, a_nummultirange nummultirange, a_datemultirange datemultirange, a_tstzmultirange tstzmultirange,
    a_float_range types.float_range, a_float_multirange types.float_multirange,
    a_mood types.mood, an_address types.address, a_nested types.nested, a_positive types.positive, a_short types.short_text, many types.many,
    int_array integer[], text_matrix text[][], mood_array types.mood[], address_array types.address[], range_array int4range[], json_array jsonb[],
    a_citext extensions.citext, an_hstore extensions.hstore, an_ltree extensions.ltree, a_small types.small
);
INSERT INTO types.all_types (id) VALUES (0); -- a_positive takes its default, all else is null
INSERT INTO types.all_types VALUES (1, true, -32768, -2147483648, -9223372036854775808, 'NaN', '-Infinity', 'NaN', 99999999.99, '-92233720368547758.08',
    'ab', '', E'tab\t newline\n return\r backslash \\ quote '' bell \x07 \\. \\N', 'x', repeat('n', 63)::name, '\x00ff5c0a27'::bytea, B'1010101', B'', '4713-01-01 BC', '24:00:00',
    '23:59:59.999999+15:59', '-infinity', 'infinity', '2024-02-29 23:59:59.6+02', '-178000000 years', '1 year 2 mons', 'ffffffff-ffff-ffff-ffff-ffffffffffff',
    '{"b":1, "a" : [1,2,  3], "b":2}', '{"b": 1, "a": null, "ü": "\u0001"}', 'strict $.a[*] ? (@.b > 1)', '<a b="c">d &amp; e</a>', '::1/64', '10.0.0.0/8',
    '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1e308,-0)', '{1,-1,0}', '[(0,0),(1,1)]', '((0,0),(2,2))', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(1,1),0.1>',
    'fat:1A cat:2,3B ''it''''s''', 'fat & (rat | !cat:*A) <2> dog', 4294967295, 'types.all_types', 'types.mood', 'ev_owner', 'FFFFFFFF/FFFFFFFF', '10:20:10,14,15',
    'empty', '[1,)', '(,)', '[2024-01-01 00:00,2024-02-01 00:00)', '(-infinity,infinity)', '[2024-01-01,2024-12-31]', '{}', '{[1.5,2.5],(7,)}', '{[2024-01-01,2024-02-01)}', '{(,)}',
    '[1.5,NaN]', '{[0,1),(2,3]}', 'it''s "fine"', ROW ('Ünï "street", 5', NULL, '', NULL), ROW (ROW ('a', 1, 'b', 'DE'), ARRAY ['ok', NULL]::types.mood[]), 0.001, 'short', ARRAY [1, 2.5]::types.positive[],
    '[-2:0]={1,NULL,3}', '{{"a","NULL"},{NULL,"\"\\"}}', '{}', ARRAY [ROW ('x', 1, 'y', 'FR')::types.address, NULL], '{empty,"[1,5)"}', ARRAY ['{"k": [1, 2]}'::jsonb],
    'CaSe', '"a"=>NULL, "b c"=>"d\"e"', 'top.middle.leaf', '-7');
INSERT INTO types.all_types (id, an_int2, an_int4, an_int8, a_float4, a_float8, a_numeric, a_money, a_text, a_date, a_timestamptz, a_timestamp, an_interval, a_time, a_bytea, a_box, an_address)
    VALUES (2, 32767, 2147483647, 9223372036854775807, 1.17549435e-38, 1.7976931348623157e308, 1e-1000 + 1e1000, 0, '', 'infinity', '294276-12-31 23:59:59.999999Z', '4714-11-24 00:00:00 BC', '00:00:00.000001', '00:00', '', '((0,0),(0,0))', ROW (NULL, NULL, NULL, NULL)),
           (3, 0, -1, 0, '-0', '-0', -0.000, 0.01, repeat('long text, compressible. ', 4000), '2000-01-01', '1900-01-01 00:00:00+00', '2000-01-01', '-1 mon +1 day -00:00:01', '12:00:00.1', decode(repeat('00ff', 5000), 'hex'), NULL, NULL),
           (4, 1, 1, 1, 'Infinity', 4.9e-324, 'Infinity', 1, E'\\.', '5874897-12-31', 'epoch', 'infinity', '1 year', '12:00', '\x5c2e', NULL, NULL),
           (5, 1, 1, 1, 0.1, 0.1, '-Infinity', 1, '\N', 'epoch', '-infinity', 'epoch', '@ 1 day ago', '00:00:00.000001', '\x', NULL, NULL);
\if :utf8
INSERT INTO types.all_types (id, a_text, a_char, a_varchar, a_citext) VALUES (6, 'ünïcödé 日本語 🐘 é combining e' || U&'\0301' || U&' \FEFF\200B\2028', '日本', '🐘', 'ÑANDÚ');
\endif
\if :v17
CREATE TABLE types.newer_types (id integer, forever interval, past interval);
INSERT INTO types.newer_types VALUES (1, 'infinity', '-infinity');
\endif

-- Tables ---------------------------------------------------------------------------------------------
CREATE TABLE app.no_columns ();
INSERT INTO app.no_columns SELECT FROM generate_series(1, 3);
CREATE TABLE app.empty (id integer, note text DEFAULT 'it''s %s' || E'\n');
CREATE UNLOGGED TABLE app.scratch (id serial PRIMARY KEY, note text);
INSERT INTO app.scratch (note) SELECT 'unlogged ' || n FROM generate_series(1, 10) AS n;
CREATE TABLE app.dropped (a integer, b text, c integer, d text DEFAULT 'd', e integer);
INSERT INTO app.dropped SELECT n, 'b' || n, n * 2, 'd' || n, n FROM generate_series(1, 5) AS n;
ALTER TABLE app.dropped DROP COLUMN b, DROP COLUMN d;
ALTER TABLE app.dropped ADD COLUMN f text DEFAULT 'added later';
CREATE TABLE app.all_dropped (a integer);
INSERT INTO app.all_dropped VALUES (1), (2);
ALTER TABLE app.all_dropped DROP COLUMN a;
CREATE TABLE app.identity (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY -3 MINVALUE -1000 MAXVALUE 10 CYCLE),
    other integer GENERATED BY DEFAULT AS IDENTITY, old serial, older bigserial, price numeric, gross numeric GENERATED ALWAYS AS (price * 1.19) STORED
);
INSERT INTO app.identity (price) SELECT n * 1.5 FROM generate_series(1, 6) AS n;
CREATE TABLE app.settings_of_columns (
    plain text, squeezed text COMPRESSION pglz, counted integer, quoted "char"
) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_vacuum_threshold = 77);
ALTER TABLE app.settings_of_columns ALTER plain SET STORAGE EXTERNAL, ALTER counted SET STATISTICS 500, ALTER counted SET (n_distinct = -0.5), ALTER quoted SET STATISTICS 0;
INSERT INTO app.settings_of_columns VALUES (repeat('plain ', 2000), repeat('squeezed ', 2000), 1, '"');
CREATE TABLE app.typed OF types.address (street PRIMARY KEY, zip WITH OPTIONS DEFAULT '00000');
INSERT INTO app.typed VALUES ('Main street', 1, '12345', 'DE');
CREATE TABLE app.other_access (id integer) USING own_heap;
INSERT INTO app.other_access VALUES (1);
\if :v18
CREATE TABLE app.virtual_columns (a integer CONSTRAINT a_known NOT NULL, b integer GENERATED ALWAYS AS (a * 2) VIRTUAL);
INSERT INTO app.virtual_columns VALUES (1), (2);
ALTER TABLE app.virtual_columns ADD COLUMN c integer;
ALTER TABLE app.virtual_columns ADD CONSTRAINT c_known NOT NULL c NOT VALID;
CREATE TABLE app.temporal (id integer, valid daterange, PRIMARY KEY (id, valid WITHOUT OVERLAPS));
CREATE TABLE app.temporal_child (id integer, parent integer, valid daterange, FOREIGN KEY (parent, PERIOD valid) REFERENCES app.temporal (id, PERIOD valid));
INSERT INTO app.temporal VALUES (1, '[2024-01-01,2024-06-01)'), (1, '[2024-06-01,)');
INSERT INTO app.temporal_child VALUES (1, 1, '[2024-03-01,2024-09-01)');
CREATE TABLE app.not_enforced (id integer, CONSTRAINT small CHECK (id < 10) NOT ENFORCED);
INSERT INTO app.not_enforced VALUES (99);
\endif

-- Constraints ----------------------------------------------------------------------------------------
CREATE TABLE app.person (
    id integer CONSTRAINT person_key PRIMARY KEY, boss integer, email text NOT NULL, born date, died date,
    CONSTRAINT boss_exists FOREIGN KEY (boss) REFERENCES app.person ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT email_once UNIQUE (email) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT born_first CHECK (died IS NULL OR died >= born),
    CONSTRAINT not_inherited CHECK (id > 0) NO INHERIT
);
INSERT INTO app.person SELECT n, nullif(n + 1, 51), 'p' || n || '@example.org', date '1950-01-01' + n, NULL FROM generate_series(1, 50) AS n;
UPDATE app.person SET boss = 1 WHERE id = 50; -- a circle
CREATE TABLE app.invoice (id integer PRIMARY KEY, main_line integer, person integer REFERENCES app.person (id) MATCH FULL ON UPDATE CASCADE ON DELETE RESTRICT);
CREATE TABLE app.invoice_line (id integer PRIMARY KEY, invoice integer NOT NULL REFERENCES app.invoice ON DELETE CASCADE);
INSERT INTO app.invoice SELECT n, n * 2, n FROM generate_series(1, 20) AS n;
INSERT INTO app.invoice_line SELECT n, 1 + n % 20 FROM generate_series(1, 60) AS n;
ALTER TABLE app.invoice ADD CONSTRAINT main_line_exists FOREIGN KEY (main_line) REFERENCES app.invoice_line DEFERRABLE;
CREATE TABLE app.unchecked (id integer, person integer);
INSERT INTO app.unchecked VALUES (-1, 9999), (1, 1); -- breaks what is added now
ALTER TABLE app.unchecked ADD CONSTRAINT positive_id CHECK (id > 0) NOT VALID;
ALTER TABLE app.unchecked ADD CONSTRAINT known_person FOREIGN KEY (person) REFERENCES app.person NOT VALID;
CREATE TABLE app.booking (
    room integer, during tstzrange, cancelled boolean DEFAULT false,
    CONSTRAINT no_overlap EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (NOT cancelled)
);
INSERT INTO app.booking SELECT n % 3, tstzrange(t, t + interval '1 hour') FROM (SELECT n, timestamptz '2024-01-01' + n * interval '1 hour' AS t FROM generate_series(1, 9) AS n) AS times;
CREATE TABLE app.included (a integer, b text, c integer, CONSTRAINT a_once PRIMARY KEY (a) INCLUDE (b) WITH (fillfactor = 80), UNIQUE (c, a));
INSERT INTO app.included VALUES (1, 'one', NULL), (2, 'two', 2);
ALTER TABLE app.included REPLICA IDENTITY FULL;
ALTER TABLE app.included CLUSTER ON a_once;
CREATE TABLE app.indexed_identity (a integer NOT NULL, b text);
CREATE UNIQUE INDEX indexed_identity_a ON app.indexed_identity (a);
ALTER TABLE app.indexed_identity REPLICA IDENTITY USING INDEX indexed_identity_a;
INSERT INTO app.indexed_identity VALUES (1, 'x');
\if :v15
CREATE TABLE app.nulls_once (a integer, b integer, UNIQUE NULLS NOT DISTINCT (a), CONSTRAINT partly_nulled FOREIGN KEY (a, b) REFERENCES app.included (c, a) ON DELETE SET NULL (b));
\endif
COMMENT ON CONSTRAINT no_overlap ON app.booking IS 'one guest a room';

-- Partitions and inheritance ---------------------------------------------------------------------------
CREATE TABLE app.measure (id bigint GENERATED BY DEFAULT AS IDENTITY, region text NOT NULL, taken date NOT NULL, value double precision, CONSTRAINT measure_key PRIMARY KEY (region, taken, id)) PARTITION BY LIST (region);
CREATE TABLE app.measure_north PARTITION OF app.measure FOR VALUES IN ('north', 'north-east') PARTITION BY RANGE (taken);
CREATE TABLE app.measure_north_2023 PARTITION OF app.measure_north FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE app.measure_north_2024 PARTITION OF app.measure_north FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id);
CREATE TABLE app.measure_north_2024_0 PARTITION OF app.measure_north_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.measure_north_2024_1 PARTITION OF app.measure_north_2024 (value DEFAULT 7 CHECK (value < 1e9)) FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE "Schéma with space"."South's" (value double precision, wasted text, id bigint NOT NULL, taken date NOT NULL, region text NOT NULL); -- other order of columns
ALTER TABLE "Schéma with space"."South's" DROP COLUMN wasted;
ALTER TABLE app.measure ATTACH PARTITION "Schéma with space"."South's" FOR VALUES IN ('south', NULL);
CREATE TABLE app.measure_rest PARTITION OF app.measure DEFAULT;
CREATE INDEX measure_taken ON app.measure (taken, value);
CREATE INDEX measure_half ON ONLY app.measure (value);
CREATE INDEX measure_rest_half ON app.measure_rest (value);
ALTER INDEX app.measure_half ATTACH PARTITION app.measure_rest_half; -- stays invalid: other partitions lack it
INSERT INTO app.measure (region, taken, value)
    SELECT (ARRAY ['north', 'north-east', 'south', 'west'])[1 + n % 4], date '2023-06-01' + n, n / 7.0 FROM generate_series(1, 500) AS n;
CREATE TABLE app.to_hash (k integer, v text) PARTITION BY HASH (k);
CREATE TABLE app.to_hash_0 PARTITION OF app.to_hash FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE app.to_hash_1 PARTITION OF app.to_hash FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE app.to_hash_2 PARTITION OF app.to_hash FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO app.to_hash SELECT n, 'v' || n FROM generate_series(1, 100) AS n;
CREATE TABLE app.by_mood (m types.mood, n integer) PARTITION BY HASH (m); -- hashes of enum values differ from database to database
CREATE TABLE app.by_mood_0 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.by_mood_1 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO app.by_mood SELECT m, row_number() OVER () FROM unnest(enum_range(NULL::types.mood)) AS m;
CREATE TABLE app.by_expression (at timestamptz, note text) PARTITION BY RANGE (date_trunc('month', at AT TIME ZONE 'UTC'), lower(note) COLLATE "C");
CREATE TABLE app.by_expression_all PARTITION OF app.by_expression FOR VALUES FROM (MINVALUE, MINVALUE) TO (MAXVALUE, MAXVALUE);
INSERT INTO app.by_expression VALUES ('2024-01-01', 'A');
CREATE TABLE app.without_partitions (a integer) PARTITION BY RANGE (a);
CREATE TABLE app.animal (name text, legs integer DEFAULT 4, CONSTRAINT some_legs CHECK (legs >= 0));
CREATE TABLE app.bird (wings integer NOT NULL, legs integer DEFAULT 2) INHERITS (app.animal);
CREATE TABLE app.toy (price numeric);
CREATE TABLE app.toy_bird () INHERITS (app.bird, app.toy);
ALTER TABLE app.toy_bird NO INHERIT app.toy;
INSERT INTO app.animal VALUES ('cat'); INSERT INTO app.bird VALUES ('crow', 2, 2); INSERT INTO app.toy_bird VALUES ('duck', 2, 2, 9.99);
COMMENT ON TABLE app.measure IS 'what was measured'; COMMENT ON COLUMN app.measure.value IS 'in °C or "%"';

-- Indexes ----------------------------------------------------------------------------------------------
CREATE TABLE app.document (id integer PRIMARY KEY, title text, body text, tags text[], data jsonb, spot point, at timestamptz, ip inet, words tsvector, path extensions.ltree);
INSERT INTO app.document SELECT n, 'Title ' || n, repeat('word' || n || ' ', 20), ARRAY ['t' || n % 5, 'u'], jsonb_build_object('n', n, 'odd', n % 2 = 1),
    point(n, -n), timestamptz '2024-01-01' + n * interval '1 minute', ('192.0.2.' || n % 250)::inet, to_tsvector('english', 'word' || n), ('top.n' || n)::extensions.ltree FROM generate_series(1, 300) AS n;
CREATE INDEX document_partial ON app.document (at DESC NULLS LAST) WHERE data ->> 'odd' = 'true';
CREATE INDEX document_expression ON app.document (lower(title), (data ->> 'n') COLLATE "C" text_pattern_ops);
CREATE INDEX document_tags ON app.document USING gin (tags) WITH (fastupdate = off);
CREATE INDEX document_data ON app.document USING gin (data jsonb_path_ops);
CREATE INDEX document_words ON app.document USING gin (words, title extensions.gin_trgm_ops);
CREATE INDEX document_spot ON app.document USING gist (spot);
CREATE INDEX document_path ON app.document USING gist (path extensions.gist_ltree_ops (siglen = 100));
CREATE INDEX document_spot_sp ON app.document USING spgist (spot);
CREATE INDEX document_at ON app.document USING brin (at timestamptz_minmax_multi_ops) WITH (pages_per_range = 8, autosummarize = on);
CREATE INDEX document_hash ON app.document USING hash (title);
CREATE INDEX document_bloom ON app.document USING bloom (id, title) WITH (length = 80, col1 = 2);
CREATE INDEX document_backwards ON app.document (id types.int_backwards);
CREATE INDEX document_including ON app.document (id) INCLUDE (title) WITH (fillfactor = 60);
ALTER INDEX app.document_expression ALTER COLUMN 1 SET STATISTICS 321;
COMMENT ON INDEX app.document_spot IS 'near to';
CREATE STATISTICS app.document_statistics (ndistinct, dependencies, mcv) ON id, title, at FROM app.document;
CREATE STATISTICS app.document_expressions ON lower(title), (id % 7) FROM app.document;
ALTER STATISTICS app.document_statistics SET STATISTICS 77;
COMMENT ON STATISTICS app.document_statistics IS 'for the planner';

-- Sequences ---------------------------------------------------------------------------------------------
CREATE SEQUENCE app.at_its_end AS smallint MAXVALUE 100 CYCLE;
SELECT setval('app.at_its_end', 100, true) AS done \gset
CREATE SEQUENCE app.never_called START 5 INCREMENT -5 MINVALUE -9223372036854775808 MAXVALUE 5 CACHE 20;
CREATE SEQUENCE app.at_the_limit;
SELECT setval('app.at_the_limit', 9223372036854775807) AS done \gset
CREATE SEQUENCE app.set_not_called AS integer;
SELECT setval('app.set_not_called', 42, false) AS done \gset
CREATE SEQUENCE app.owned_by_column OWNED BY app.empty.id;
ALTER SEQUENCE app.at_its_end OWNER TO ev_owner;
GRANT USAGE ON SEQUENCE app.at_its_end TO ev_writer;
\if :v15
CREATE UNLOGGED SEQUENCE app.unlogged_sequence;
SELECT nextval('app.unlogged_sequence') AS done \gset
\endif

-- Views ---------------------------------------------------------------------------------------------------
CREATE VIEW app.adults WITH (security_barrier) AS SELECT id, email FROM app.person WHERE born < date '2006-01-01' WITH CASCADED CHECK OPTION;
CREATE RECURSIVE VIEW app.chain (id, boss, depth) AS
    SELECT id, boss, 1 FROM app.person WHERE id = 1 UNION ALL SELECT p.id, p.boss, depth + 1 FROM chain JOIN app.person AS p ON p.boss = chain.id WHERE depth < 60;
CREATE VIEW app.first_of_circle AS SELECT 1 AS a;
CREATE VIEW app.second_of_circle AS SELECT a FROM app.first_of_circle;
CREATE OR REPLACE VIEW app.first_of_circle AS SELECT a FROM app.second_of_circle; -- two views that need each other
ALTER VIEW app.adults ALTER COLUMN email SET DEFAULT 'nobody@example.org';
CREATE VIEW app.grouped AS SELECT id, email, count(*) FROM app.person GROUP BY id; -- needs the primary key
\if :v15
CREATE VIEW app.as_invoker WITH (security_invoker) AS SELECT * FROM app.person;
\endif
CREATE MATERIALIZED VIEW app.by_region AS SELECT region, count(*) AS n, sum(value) AS total FROM app.measure GROUP BY region;
CREATE UNIQUE INDEX by_region_region ON app.by_region (region);
CREATE MATERIALIZED VIEW app.a_on_top AS SELECT sum(n) AS all_of_them FROM app.by_region; -- sorts before what it needs
CREATE MATERIALIZED VIEW app.not_filled AS SELECT * FROM app.a_on_top WITH NO DATA;
GRANT SELECT ON app.measure TO ev_owner;
ALTER MATERIALIZED VIEW app.by_region OWNER TO ev_owner;
COMMENT ON VIEW app.chain IS 'who leads whom'; COMMENT ON MATERIALIZED VIEW app.by_region IS 'refreshed at night'; COMMENT ON COLUMN app.adults.email IS 'of a view';

-- Rules and triggers -----------------------------------------------------------------------------------------
CREATE RULE no_delete AS ON DELETE TO app.animal WHERE OLD.name = 'cat' DO INSTEAD NOTHING;
CREATE RULE adults_insert AS ON INSERT TO app.adults DO INSTEAD INSERT INTO app.person (id, email, born) VALUES (NEW.id, NEW.email, '2000-01-01');
COMMENT ON RULE no_delete ON app.animal IS 'cats stay';
CREATE TABLE app.audit (id bigserial PRIMARY KEY, what text, at timestamptz DEFAULT now());
CREATE FUNCTION app.write_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO app.audit (what) VALUES (TG_NAME || ' ' || TG_OP); RETURN coalesce(NEW, OLD); END $$;
-- Were it to fire while data is restored, its rows would be there twice and these tables' rows not at all.
CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
CREATE TRIGGER document_audit AFTER INSERT OR DELETE OR UPDATE OF title ON app.document FOR EACH ROW EXECUTE FUNCTION app.write_audit();
CREATE TRIGGER document_refuse BEFORE INSERT ON app.document FOR EACH STATEMENT EXECUTE FUNCTION app.refuse();
CREATE TRIGGER document_refs AFTER UPDATE ON app.document REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION app.write_audit();
CREATE TRIGGER "view's trigger" INSTEAD OF UPDATE ON app.grouped FOR EACH ROW EXECUTE FUNCTION app.write_audit('argument''s', 'two');
CREATE CONSTRAINT TRIGGER late_audit AFTER INSERT ON app.invoice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id > 5) EXECUTE FUNCTION app.write_audit();
CREATE TRIGGER measure_audit AFTER INSERT ON app.measure FOR EACH ROW EXECUTE FUNCTION app.write_audit();
CREATE TRIGGER disabled_audit BEFORE TRUNCATE ON app.person FOR EACH STATEMENT EXECUTE FUNCTION app.write_audit();
ALTER TABLE app.person DISABLE TRIGGER disabled_audit;
ALTER TABLE app.document ENABLE ALWAYS TRIGGER document_audit;
ALTER TABLE app.document ENABLE REPLICA TRIGGER document_refuse;
ALTER TABLE app.measure_rest DISABLE TRIGGER measure_audit;
COMMENT ON TRIGGER document_audit ON app.document IS 'who did it';
INSERT INTO app.audit (what) VALUES ('by hand');

-- Row security ---------------------------------------------------------------------------------------------------
CREATE TABLE app.tenant_data (tenant name DEFAULT current_user, secret text);
INSERT INTO app.tenant_data VALUES ('ev_tenant', 'mine'), ('someone', 'theirs');
ALTER TABLE app.tenant_data ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.tenant_data FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON app.tenant_data FOR ALL TO ev_tenant, ev_writer USING (tenant = current_user) WITH CHECK (tenant = current_user AND secret <> '');
CREATE POLICY strict ON app.tenant_data AS RESTRICTIVE FOR SELECT USING (secret IS NOT NULL);
COMMENT ON POLICY own_rows ON app.tenant_data IS 'each their own';

-- Foreign data -----------------------------------------------------------------------------------------------------
CREATE FOREIGN DATA WRAPPER bare_wrapper OPTIONS (debug 'true');
CREATE SERVER elsewhere TYPE 'postgresql' VERSION '15' FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '192.0.2.1', dbname 'elsewhere', port '5432');
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE USER MAPPING FOR ev_owner SERVER elsewhere OPTIONS (user 'them', password 'foreign-password');
CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (user 'public');
CREATE FOREIGN TABLE app.remote (id integer OPTIONS (column_name 'ID') NOT NULL, at timestamptz DEFAULT now(), CONSTRAINT id_known CHECK (id > 0)) SERVER elsewhere OPTIONS (schema_name 'public', table_name 'remote');
CREATE FOREIGN TABLE app.accounts_file (name text, rest text) SERVER files OPTIONS (filename '/etc/hostname', format 'text', delimiter ':');
GRANT USAGE ON FOREIGN SERVER elsewhere TO ev_owner; GRANT USAGE ON FOREIGN DATA WRAPPER bare_wrapper TO ev_owner;
COMMENT ON SERVER elsewhere IS 'never reached'; COMMENT ON FOREIGN TABLE app.remote IS 'no data here';
ALTER SERVER elsewhere OWNER TO ev_owner;

-- Publications and subscriptions -------------------------------------------------------------------------------------
CREATE PUBLICATION everything_published FOR ALL TABLES WITH (publish = 'insert, update');
CREATE PUBLICATION some_published FOR TABLE app.person, ONLY app.animal;
\if :v15
CREATE PUBLICATION filtered FOR TABLE app.document (id, title) WHERE (id > 10) WITH (publish_via_partition_root = true);
CREATE PUBLICATION whole_schema FOR TABLES IN SCHEMA types, TABLE app.person;
\endif
COMMENT ON PUBLICATION some_published IS 'for the warehouse';
CREATE SUBSCRIPTION from_elsewhere CONNECTION 'host=192.0.2.1 dbname=elsewhere user=replicator' PUBLICATION p1, "p 2" WITH (connect = false, slot_name = NONE, enabled = false, create_slot = false);
COMMENT ON SUBSCRIPTION from_elsewhere IS 'never enabled';

-- Large objects -----------------------------------------------------------------------------------------------------------
SELECT lo_from_bytea(100001, '\x00010203ff') AS one, lo_from_bytea(100002, '') AS two, lo_from_bytea(100003, decode(repeat('5c2e0a00', 300000), 'hex')) AS three \gset
SELECT lo_put(100001, 3000000, 'after a hole') AS done \gset
ALTER LARGE OBJECT 100001 OWNER TO ev_owner;
GRANT SELECT ON LARGE OBJECT 100001 TO ev_reader; GRANT UPDATE ON LARGE OBJECT 100003 TO ev_writer WITH GRANT OPTION;
COMMENT ON LARGE OBJECT 100001 IS 'a photo';
CREATE TABLE app.photo (id integer PRIMARY KEY, content extensions.lo);
INSERT INTO app.photo VALUES (1, 100001), (2, 100003);
CREATE TRIGGER photo_manage BEFORE UPDATE OR DELETE ON app.photo FOR EACH ROW EXECUTE FUNCTION extensions.lo_manage(content);

-- Names ----------------------------------------------------------------------------------------------------------------------
CREATE TABLE app."select" ("from" integer PRIMARY KEY, "Where" text, "with space" text, "per%cent %s" text, "quo""te" text, "apos'trophe" text, "back\slash" text, "dollar$" text, "a.b" text);
INSERT INTO app."select" VALUES (1, 'a', 'b', '%s', '"', '''', '\', '$$', '.');
CREATE TABLE app."new
line; DROP TABLE app.person; --" ("col
umn" integer);
INSERT INTO app."new
line; DROP TABLE app.person; --" VALUES (1), (2);
COMMENT ON TABLE app."new
line; DROP TABLE app.person; --" IS E'a comment with\na new line; and \\connect postgres';
CREATE TABLE app.a_name_of_sixty_three_bytes_which_is_all_that_a_name_may_have_x (a_column_of_sixty_three_bytes_which_is_all_that_a_name_may_have integer PRIMARY KEY);
INSERT INTO app.a_name_of_sixty_three_bytes_which_is_all_that_a_name_may_have_x VALUES (7);
CREATE TABLE app." leading and trailing " (" " integer);
CREATE TABLE app."CamelCase" ("Id" serial PRIMARY KEY, "userName" text UNIQUE);
INSERT INTO app."CamelCase" ("userName") VALUES ('x');
CREATE TABLE "Schéma with space"."Ünïcode Täble" ("ñ" integer REFERENCES app."CamelCase", "日本" text);
INSERT INTO "Schéma with space"."Ünïcode Täble" VALUES (1, 'x');
CREATE TABLE app.wide (id integer PRIMARY KEY);
SELECT format('ALTER TABLE app.wide ADD COLUMN c%s integer DEFAULT %s', n, n) FROM generate_series(1, 300) AS n \gexec
INSERT INTO app.wide (id) VALUES (1), (2);

-- Owners and grants -----------------------------------------------------------------------------------------------------------
ALTER TABLE app.person OWNER TO ev_owner;
ALTER TABLE app.document OWNER TO ev_owner;
ALTER TABLE app."select" OWNER TO "ev role ""quoted"" 100%";
ALTER TABLE "Schéma with space"."Ünïcode Täble" OWNER TO "ev_ñandú";
GRANT SELECT, INSERT ON app.person TO ev_writer WITH GRANT OPTION;
GRANT SELECT (id, email), UPDATE (email) ON app.person TO ev_reader;
GRANT ALL ON app.document TO PUBLIC;
REVOKE ALL ON app.invoice FROM postgres;
GRANT SELECT ON app.invoice TO "ev role ""quoted"" 100%";
GRANT SELECT ON ALL TABLES IN SCHEMA types TO ev_reader;
\if :v17
GRANT MAINTAIN ON app.person TO ev_writer;
\endif
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO ev_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE ev_owner GRANT USAGE ON SEQUENCES TO ev_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE ev_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA types GRANT USAGE ON TYPES TO ev_writer WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO ev_reader;
\if :v15
GRANT SET ON PARAMETER log_min_messages TO ev_owner;
\endif

-- What fires on DDL comes last -----------------------------------------------------------------------------------------------------
CREATE FUNCTION app.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO app.audit (what) VALUES ('ddl ' || tg_tag); END $$;
CREATE FUNCTION app.on_drop() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'nothing may be dropped here'; END $$;
CREATE EVENT TRIGGER note_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE') EXECUTE FUNCTION app.on_ddl();
CREATE EVENT TRIGGER no_drops ON sql_drop EXECUTE FUNCTION app.on_drop();
ALTER EVENT TRIGGER no_drops DISABLE;
CREATE EVENT TRIGGER always_on ON ddl_command_start WHEN TAG IN ('CREATE CAST') EXECUTE FUNCTION app.on_ddl();
ALTER EVENT TRIGGER always_on ENABLE ALWAYS;
ALTER EVENT TRIGGER note_ddl OWNER TO postgres;
COMMENT ON EVENT TRIGGER note_ddl IS 'notes what changed';
\if :v17
CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION app.on_ddl();
ALTER EVENT TRIGGER on_login DISABLE;
\endif

REFRESH MATERIALIZED VIEW app.by_region;
REFRESH MATERIALIZED VIEW app.a_on_top;
