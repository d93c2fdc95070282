exports.up = (knex) => knex.schema.createTable('orders', (table) => table.increments('id'));
exports.down = (knex) => knex.schema.dropTable('orders');
