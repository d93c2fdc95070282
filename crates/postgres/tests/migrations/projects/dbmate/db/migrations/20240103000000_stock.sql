-- migrate:up
CREATE TABLE stock (id bigint PRIMARY KEY);

-- migrate:down
DROP TABLE stock;
