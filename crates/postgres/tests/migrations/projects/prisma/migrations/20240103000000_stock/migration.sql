ALTER TABLE stock ADD COLUMN amount integer;
