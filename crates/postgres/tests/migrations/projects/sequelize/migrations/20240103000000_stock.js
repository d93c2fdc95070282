module.exports = {
  up: (query, types) => query.createTable('stock', { id: { type: types.INTEGER, primaryKey: true } }),
  down: (query) => query.dropTable('stock'),
};
