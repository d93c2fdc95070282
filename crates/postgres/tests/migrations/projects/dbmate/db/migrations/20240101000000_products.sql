-- migrate:up
CREATE TABLE product (id bigint PRIMARY KEY);

-- migrate:down
DROP TABLE product;
