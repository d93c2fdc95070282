-- What pg_extension_config_dump marks is part of a dump, the rest comes with CREATE EXTENSION.

CREATE TABLE sample_extension.setting (name text PRIMARY KEY, value text, builtin boolean NOT NULL DEFAULT false);
INSERT INTO sample_extension.setting VALUES ('shipped', 'by the extension', true);
SELECT pg_catalog.pg_extension_config_dump('sample_extension.setting', 'WHERE NOT builtin');

CREATE SEQUENCE sample_extension.ticket_seq;
SELECT pg_catalog.pg_extension_config_dump('sample_extension.ticket_seq', '');

CREATE TABLE sample_extension.ticket (id integer PRIMARY KEY DEFAULT nextval('sample_extension.ticket_seq'), setting text REFERENCES sample_extension.setting);
SELECT pg_catalog.pg_extension_config_dump('sample_extension.ticket', '');

CREATE TABLE sample_extension.scratch (note text);

CREATE FUNCTION sample_extension.answer() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 42';
CREATE VIEW sample_extension.own_setting AS SELECT name, value FROM sample_extension.setting WHERE NOT builtin;
