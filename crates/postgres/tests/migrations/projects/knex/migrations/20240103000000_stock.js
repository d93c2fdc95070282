exports.up = (knex) => knex.schema.createTable('stock', (table) => table.increments('id'));
exports.down = (knex) => knex.schema.dropTable('stock');
