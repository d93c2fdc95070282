module.exports = {
  up: (query, types) => query.createTable('product', { id: { type: types.INTEGER, primaryKey: true } }),
  down: (query) => query.dropTable('product'),
};
