exports.Orders1704153600000 = class Orders1704153600000 {
  name = 'Orders1704153600000';
  async up(runner) {
    await runner.query('CREATE TABLE orders (id bigint PRIMARY KEY)');
  }
  async down(runner) {
    await runner.query('DROP TABLE orders');
  }
};
