module.exports = {
  up: (query, types) => query.createTable('orders', { id: { type: types.INTEGER, primaryKey: true } }),
  down: (query) => query.dropTable('orders'),
};
