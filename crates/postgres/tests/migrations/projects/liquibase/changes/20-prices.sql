--liquibase formatted sql

--changeset ann:prices
ALTER TABLE product ADD price numeric(12, 2);
--rollback ALTER TABLE product DROP price;

-- changeset ann:"odd name" splitStatements:false
COMMENT ON TABLE product IS 'sold';
