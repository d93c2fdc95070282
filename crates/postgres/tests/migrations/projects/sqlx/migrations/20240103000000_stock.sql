-- no-transaction
CREATE INDEX CONCURRENTLY stock_by_id ON stock (id);
