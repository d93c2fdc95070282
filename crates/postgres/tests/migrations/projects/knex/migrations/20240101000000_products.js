exports.up = (knex) => knex.schema.createTable('product', (table) => table.increments('id'));
exports.down = (knex) => knex.schema.dropTable('product');
